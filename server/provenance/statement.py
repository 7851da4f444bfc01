"""Statement: what we say of a film, a still or a channel: what made it, of whom, with whose consent. Never a name. Decides without I/O.

It is shown at /api/channels/{channel}/provenance, kept beside recordings, and signed into what leaves us (C2PA 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

LABEL = "io.github.telequilt.avatar"
"Of our own assertion: reverse-domain, as C2PA asks (specification 2.2, section 6.2.1)."
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"IPTC's vocabulary of how pictures came to be, which C2PA and the EU's code of practice point to."
COMPOSITE, TRAINED, CAPTURED = "compositeSynthetic", "trainedAlgorithmicMedia", "compositeCapture"
LIVE = "live-picture"
"The consent of whoever shows their own camera's picture: there is no portrait to agree to."
UNSTATED = "unstated"
"Nobody was asked: whose face it is (a film that was rendered without --consent), or what moves it (a client that does not say)."
CAMERA, FILM, PUPPET = "camera", "film", "puppet"
"What moves it, as whoever sends it says."
SEVERAL = "several"
"That of a picture with several people in it, each with a consent of their own (Statement.agreed)."
ALIKE, UNLIKE, CONFIRMED, UNCOMPARED = "alike", "unlike", "unlike-confirmed", "not-compared"
"How the caller's face and the portrait compare, where an identity model is installed; and what the caller said of it."


@dataclass(frozen=True)
class Engine:
    """What made the pictures."""

    name: str
    code_sha256: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    "File -> SHA-256."
    synthetic_weights: bool = False
    members: tuple[Engine, ...] = ()
    "Of a table: what made those who sit at it."


@dataclass(frozen=True)
class Consent:
    """To the portrait that is shown."""

    category: str
    "pipeline.avatars.Consent, or live-picture."
    stated: float | None = None
    "Seconds since 1970; None where nobody had to."


@dataclass(frozen=True)
class Agreed:
    """To being recorded, by everybody in a call."""

    members: int
    portraits: Mapping[str, int]
    "Category of consent -> members whose portrait was brought with it."


@dataclass(frozen=True)
class Statement:
    """All that is said."""

    session: str
    "An id of this one stay of a caller in a channel: ties films and stills of it together, and says nothing else."
    began: float
    "Seconds since 1970."
    engine: Engine
    consent: Consent
    mark: str
    "What every view says it is; empty where the operator has switched the mark off."
    driven: tuple[str, ...] = (UNSTATED,)
    "By what it was moved since it began: camera, film, puppet, unstated."
    likeness: str = UNCOMPARED
    seen_by: str = ""
    "Who may see it, in words."
    geometry: bool = False
    "Heads leave the server as geometry, and are drawn where they are seen."
    shown: tuple[str, ...] = ()
    "Where else it is shown: this machine's display, another server."
    agreed: Agreed | None = None
    "To a recording; None where nobody had to be asked."
    tiling: Mapping[str, Any] = field(default_factory=dict)
    "Of a film or a still: columns, rows, views, aspect."
    software: str = field(default_factory=lambda: f"Telequilt {version('telequilt')}")

    @property
    def source_type(self) -> str:
        """IPTC's word for how it came to be."""
        nobody = set(self.driven) == {PUPPET}
        if self.consent.category == LIVE and PUPPET not in self.driven:
            return CAPTURED
        return TRAINED if nobody and self.consent.category == "synthetic" else COMPOSITE

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"digital_source_type": self.source_type}

    def of(self, columns: int, rows: int, views: int, aspect: float) -> Statement:
        """Of a picture that is tiled so."""
        return replace(self, tiling={"columns": columns, "rows": rows, "views": views, "aspect": aspect})


def manifest(told: Mapping[str, Any], title: str, kind: str) -> dict[str, Any]:
    """What C2PA's builder takes, of a `told` statement, for a file of MIME type `kind`."""
    name, _, release = str(told["software"]).partition(" ")
    began = datetime.fromtimestamp(told["began"], UTC).isoformat(timespec="seconds")
    made = {
        "action": "c2pa.created",
        "digitalSourceType": SOURCE_TYPES + told["digital_source_type"],
        "softwareAgent": {"name": name, "version": release},
        "when": began,
        "description": described(told),
    }
    return {
        "claim_generator_info": [{"name": name, "version": release}],
        "title": title,
        "format": kind,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [made]}},
            {"label": LABEL, "data": dict(told) | {"began": began}},
        ],
    }


CONSENTS = {
    "me": "the person shown brought their own portrait",
    "consenting": "whoever brought the portrait says that the person shown agreed",
    "synthetic": "whoever brought the portrait says that it shows nobody",
    "public-domain": "the portrait is in the public domain",
    UNSTATED: "nobody has said whose face it is",
    SEVERAL: "each member of the call brought a portrait, and said whose it is",
    LIVE: "no portrait: the caller's own camera",
}
"Category -> for people."


DRIVERS = {
    CAMERA: "a person's face before a camera",
    FILM: "the face in a film",
    PUPPET: "a scripted face, which is nobody's",
    UNSTATED: "a face of which nothing says whether it was before a camera",
}
"What moves an avatar, for people."
SHOWN = {
    CAMERA: "a camera's picture of the caller",
    FILM: "a film that the caller sent",
    PUPPET: "a scripted face, which is nobody's",
    UNSTATED: "a picture of which nothing says whether a camera took it just then",
}
"What the engine *live* cuts out, for people."


def described(told: Mapping[str, Any]) -> str:
    """One sentence for people."""
    category, driven = told["consent"]["category"], told["driven"]
    drivers = driven if isinstance(driven, list | tuple) else [UNSTATED]  # earlier films say `true`, of all alike
    if category == LIVE:
        shown = ", then ".join(SHOWN.get(one, SHOWN[UNSTATED]) for one in drivers)
        return f"{shown[0].upper()}{shown[1:]}; cut out and shown in relief from several angles."
    what = "Synthetic 3D avatars of several people" if category == SEVERAL else "A synthetic 3D avatar of a portrait"
    joined = ", and by " if category == SEVERAL else ", then by "
    return f"{what}, moved by {joined.join(DRIVERS.get(one, DRIVERS[UNSTATED]) for one in drivers)}."

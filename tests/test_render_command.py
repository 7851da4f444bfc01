"""Offline rendering with everything real: the sample photo, the puppet as driver, MediaPipe, the relief engine, x264."""

import hashlib
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from display import offaxis
from display.optics import Cameras, fan
from display.screen import nearest_views, screen
from display.tiling import OFF_AXIS
from display.views import ViewSet
from pipeline.puppet import HEIGHT, WIDTH, Puppet, puppet_portrait
from server.__main__ import app
from server.commands.quilt_film import OutputRefused, checked_output
from server.commands.render import OffAxis, chosen_screen
from server.media.clips import facts, frames
from server.provenance.keys import Keys
from server.provenance.reading import examine
from server.provenance.verdict import Finding
from tests.exported import head
from tests.painted import PaintedEngine, PaintedState

COUNT = 8


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(photo, driving clip with sound)."""
    folder = tmp_path_factory.mktemp("material")
    photo, clip = folder / "photo.png", folder / "driver.mp4"
    cv2.imwrite(str(photo), cv2.cvtColor(puppet_portrait().pixels, cv2.COLOR_RGB2BGR))
    with av.open(str(clip), "w") as container:
        video = container.add_stream("libx264", rate=Fraction(25))
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=48_000)
        for frame in islice(Puppet().frames(), COUNT):
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")))
        for block in range(COUNT * 2):
            tone = np.sin(np.arange(960) * 0.06 + block).astype(np.float32)[None] * 0.3
            samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            samples.rate, samples.pts = 48_000, block * 960
            container.mux(sound.encode(samples))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return photo, clip


@pytest.fixture(autouse=True)
def own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own: keys that sign are made there."""
    folder = tmp_path_factory.mktemp("own")
    monkeypatch.setenv("TELEQUILT_DATA_DIR", str(folder))
    return folder


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


def test_a_quilt_film_holds_every_frame_and_the_sound_and_says_what_it_is(
    material: tuple[Path, Path], tmp_path: Path, own: Path
):
    photo, clip = material
    code, said = run("render", "--portrait", photo, "--driver", clip, "--out", tmp_path / "me.mp4", "--consent", "me")
    assert code == 0, said
    film = tmp_path / "me_qs6x4a1.mp4"
    assert film.name in said.replace("\n", "")
    told = facts(film)
    assert (told.width, told.height, told.frames, told.has_sound) == (1536, 1024, COUNT, True)
    assert told.comment == OFF_AXIS
    signed = examine(film, Keys(own / "provenance").anchors())
    assert signed.finding is Finding.VALID, signed
    assert (signed.stated["consent"]["category"], signed.stated["mark"]) == ("me", "AI avatar")
    assert signed.stated["tiling"]["views"] == 24
    assert [path.name for path in tmp_path.iterdir()] == [film.name]
    last = list(frames(film))[-1].pixels
    tiles = [last[top : top + 256, left : left + 256] for left, top in map(screen("telequilt").tile_origin, range(24))]
    assert min(tile.mean() for tile in tiles) > 20, "a view is empty"
    steps = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(tiles)]
    across = np.abs(tiles[0].astype(int) - tiles[-1]).mean()
    assert across > 2 * max(steps), "neighbouring views must differ less than the outermost ones"


def test_an_avatar_that_was_made_elsewhere_stands_in_place_of_a_photo(
    material: tuple[Path, Path], tmp_path: Path, own: Path
):
    _, clip = material
    avatar, film = tmp_path / "ada.zip", tmp_path / "ada.mp4"
    avatar.write_bytes(head().zipped())
    code, said = run("render", "--portrait", avatar, "--driver", clip, "--out", film, "--view", 12, "--no-mark")
    assert code == 0, said
    assert "licence: made with LAM" in said
    stated = examine(film, Keys(own / "provenance").anchors()).stated
    assert stated["engine"]["name"] == "splats"
    assert stated["engine"]["weights"]["avatar"] == hashlib.sha256(avatar.read_bytes()).hexdigest()
    seen = [frame.pixels for frame in frames(film)]
    assert len(seen) == COUNT
    assert all(picture.std() > 10 for picture in seen)


@pytest.mark.parametrize(
    ("words", "engine", "says"),
    [
        (("render", "--driver", "talk.mp4", "--out", "me.mp4"), "relief", "leave --engine out"),
        (("mesh", "--out", "me.glb"), "relief", "no surface"),
        (("mesh", "--out", "me.glb"), "splats", "no surface"),
    ],
)
def test_what_is_not_made_of_such_an_avatar_is_said_in_one_line(
    material: tuple[Path, Path], tmp_path: Path, words: tuple[str, ...], engine: str, says: str
):
    avatar = tmp_path / "ada.zip"
    avatar.write_bytes(head().zipped())
    told = [str(material[1]) if word == "talk.mp4" else word for word in words]
    told = [str(tmp_path / word) if word.startswith("me.") else word for word in told]
    code, said = run(*told, "--portrait", avatar, "--engine", engine)
    assert code == 2
    assert says in said
    assert [path.name for path in tmp_path.iterdir()] == ["ada.zip"]


@pytest.mark.parametrize(
    "times",
    [
        [0, 1, 2, 4, 5, 6],  # of thirty a second one is missing
        [0, 1, 2.4, 3.1, 5.7, 6, 6.01, 40],  # a screen recorder's
        pytest.param([0, 1, 1, 2, 3], marks=pytest.mark.soak),  # one time twice
        pytest.param([7, 8, 9], marks=pytest.mark.soak),  # from the middle of something
    ],
    ids=["one missing", "uneven", "twice", "late"],
)
def test_a_clip_of_variable_frame_rate_keeps_its_times_and_all_its_frames(
    material: tuple[Path, Path], tmp_path: Path, times: list[float]
):
    photo, _ = material
    clip, made = tmp_path / "phone.mkv", tmp_path / "one.mp4"
    clock = Fraction(1, 30_000)
    with av.open(str(clip), "w") as container:
        video = container.add_stream("mjpeg", rate=Fraction(30))
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        video.codec_context.time_base = clock
        for number, (at, frame) in enumerate(zip(times, Puppet().frames(), strict=False)):
            picture = av.VideoFrame.from_ndarray(frame.pixels, format="rgb24").reformat(format="yuvj420p")
            picture.pts, picture.time_base = number * 1000, clock
            for packet in video.encode(picture):
                packet.pts = packet.dts = round(at * 1000)
                packet.time_base = clock
                container.mux(packet)
    code, said = run("render", "--portrait", photo, "--driver", clip, "--out", made, "--view", 12)
    assert code == 0, said
    came = [frame.captured for frame in frames(made)]
    assert len(came) == len(times)
    assert np.diff(came) == pytest.approx(np.diff([at / 30 for at in times]), abs=2e-3)


def test_one_view_is_ordinary_video(material: tuple[Path, Path], tmp_path: Path):
    photo, clip = material
    code, said = run("render", "--portrait", photo, "--driver", clip, "--out", tmp_path / "one.mp4", "--view", 12)
    assert code == 0, said
    told = facts(tmp_path / "one.mp4")
    assert (told.width, told.height, told.comment) == (512, 512, "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--portrait": "nowhere.jpg"}, "nowhere.jpg"),
        ({"--driver": "nowhere.mp4"}, "is not a file"),
        ({"--out": "missing/folder/x.mp4"}, "mkdir -p"),
        ({"--out": "x.avi"}, "x.mp4"),
        ({"--out": "x_qs8x6a0.75.mp4"}, "_qs6x4a1.mp4"),
        ({"--engine": "magic"}, "relief"),
        ({"--screen": "holodeck"}, "portrait"),
        ({"--view": "99"}, "views 0 to 23"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_and_leaves_nothing(
    material: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], words: str
):
    monkeypatch.chdir(tmp_path)
    photo, clip = material
    options = {"--portrait": str(photo), "--driver": str(clip), "--out": "x.mp4"} | change
    code, said = run("render", *(word for pair in options.items() for word in pair))
    assert code == 2, said
    assert words in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_photo_without_a_face_is_refused(material: tuple[Path, Path], tmp_path: Path):
    wall = tmp_path / "wall.png"
    cv2.imwrite(str(wall), np.full((600, 600, 3), 170, np.uint8))
    code, said = run("render", "--portrait", wall, "--driver", material[1], "--out", tmp_path / "x.mp4")
    assert code == 2
    assert "face" in said


def test_the_tiling_is_added_to_a_name_that_lacks_it(tmp_path: Path):
    portrait = screen("portrait")
    assert checked_output(tmp_path / "x.mp4", portrait).name == "x_qs8x6a0.75.mp4"
    assert checked_output(tmp_path / "x_qs8x6a0.75.mp4", portrait).name == "x_qs8x6a0.75.mp4"
    with pytest.raises(OutputRefused, match="single view"):
        checked_output(tmp_path / "x_qs8x6a0.75.mp4", chosen_screen("portrait", 3))


def test_help_teaches():
    code, said = run("--help")
    assert code == 0
    assert all(word in said for word in ("serve", "render", "puppet", "doctor"))
    for command in ("serve", "render", "puppet", "doctor"):
        code, said = run(command, "--help")
        assert code == 0
        assert len(said) > 200


def test_doctor_finds_this_machine_fit():
    code, said = run("doctor")
    assert "Face tracking" in said
    assert "Video encoder" in said
    assert "Engine relief" in said
    assert "a check of our own" not in said
    assert code in (0, 1)  # 1 only where something must be mended, e.g. port 8000 is taken


def test_a_puppet_without_a_server_says_how_to_start_one():
    code, said = run("puppet", "--server", "http://127.0.0.1:9", "--seconds", "1")
    assert code == 2
    assert "python -m server serve" in said


class Striped(PaintedEngine):
    """In perspective; a keystone bends its first row."""

    def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
        images = super().render(state, cameras).images
        images[:, ::16, :, 2] = images[:, :, ::16, 2] = 0
        return ViewSet(images, cameras.first)


def test_films_hold_off_axis_views():
    target = replace(screen("telequilt"), focus=0.02)
    seen = OffAxis(Striped(), target, target).render(PaintedState(0), fan(target)).images
    orbit = Striped().render(PaintedState(0), fan(target))
    wanted = offaxis.straightened(orbit, offaxis.homographies(fan(target), focus=0.02))
    assert (seen == wanted.images).all()
    assert (seen[-1, 0, :, 2] != orbit.images[-1, 0, :, 2]).any()


def test_an_engine_that_projects_in_parallel_draws_them_itself(relief, sample_portrait):
    """Sharper and for nothing. The views of 17.5 degrees: what they warp to, silhouettes and fine texture apart."""
    target = replace(screen("telequilt"), focus=0.02)
    state = relief.drive(relief.enrol(sample_portrait), sample_portrait)
    seen = OffAxis(relief, target, target).render(state, fan(target)).images.numpy().astype(int)
    orbit = relief.render(state, fan(target))
    wanted = offaxis.straightened(orbit, offaxis.homographies(fan(target), focus=0.02, parallel=True)).images.numpy()
    for view in (0, 7, 12, 23):
        apart, before = (
            np.abs(seen[view] - wanted[view]).mean(),
            np.abs(orbit.images.numpy()[view] - wanted[view]).mean(),
        )
        assert apart < 1.5, (view, apart)
        assert apart < before / 2, (view, apart, before)


def test_views_are_repeated_to_fill_a_grid_and_rendered_once():
    product, rendered = screen("telequilt"), []

    class Counting(PaintedEngine):
        def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
            rendered.append(len(cameras))
            return super().render(state, cameras)

    film = product.filled(9, 5)
    views = OffAxis(Counting(), product, film).render(PaintedState(0), fan(film))
    assert rendered == [24]
    assert (views.images[:, 0, 0, 0] == torch.tensor(nearest_views(45, 24)) * 10 % 256).all()


def test_a_grid_is_filled_on_request(material: tuple[Path, Path], tmp_path: Path):
    photo, clip = material
    code, said = run(
        *("render", "--portrait", photo, "--driver", clip, "--out", tmp_path / "me.mp4"),
        *("--fill", "8x6", "--focus", "0.01", "--depth", "0.8"),
    )
    assert code == 0, said
    with av.open(str(tmp_path / "me_qs8x6a1.mp4")) as film:
        picture = next(film.decode(video=0)).to_ndarray(format="rgb24")
    tiles = picture.reshape(6, 256, 8, 256, 3)[::-1].swapaxes(1, 2).reshape(48, 256, 256, 3).astype(int)
    for view in range(0, 48, 2):
        assert np.abs(tiles[view] - tiles[view + 1]).mean() < 3
    assert np.abs(tiles[0] - tiles[47]).mean() > 5


@pytest.mark.parametrize(
    "words", [("--fill", "8"), ("--fill", "0x6"), ("--fill", "8x99"), ("--view", "3", "--fill", "8x6")]
)
def test_what_cannot_be_filled_is_refused(words: tuple[str, ...], material: tuple[Path, Path], tmp_path: Path):
    photo, clip = material
    code, said = run("render", "--portrait", photo, "--driver", clip, "--out", tmp_path / "me.mp4", *words)
    assert code == 2
    assert "for instance 8x6" in said or "are for quilts" in said
    assert list(tmp_path.iterdir()) == []

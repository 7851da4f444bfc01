"""Lip sync: how far sound and picture are apart for a viewer, counted from their capture; sound passed on at once, and held back.

    python -m benchmarks.lip_sync

    python -m benchmarks.lip_sync --peers chromium --ages 0:40,20:170,40:40

Every camera picture carries its number, which the server draws into the quilt made from it, and the sound carries its time, a
tone that climbs. Caller and viewer are aiortc's, which tells when packets arrive, or one page of a headless Chromium, which
tells what is seen and played. A page hears sound before the sound card does, and sees pictures by the screen's clock: by how much
what it measures differs from the browser's own account is found within the page, without any server, and subtracted. The offset
is positive where sound is late. Each run has the server in a process of its own.
"""

from __future__ import annotations

import asyncio
import base64
import io
import time
import wave
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import av
import httpx
import numpy as np
import typer
from aiortc.mediastreams import MediaStreamTrack
from rich.console import Console
from rich.table import Table

from benchmarks.glass_to_glass import Camera, film, witnessed_server
from benchmarks.lib.harness import RESULTS, write
from benchmarks.live import barcode, browsers, chirp, filmed
from benchmarks.live.lossy import Links, Narrow, without_candidates
from benchmarks.live.offsets import MEDIAN, SLEWING, Aged, ages, gaps, offsets, steady, summary
from server.webrtc import patches
from server.webrtc.client import PictureTrack, playing, publishing
from server.webrtc.live_video import LiveVideo

PUPPET_FRAMES = 200
CONTROL_SECONDS = 15.0
RATE = 25.0
SETTLED = 5.0
"Seconds after which it goes on as the link carries it."
LOOK_AHEAD = 312 / 48_000
"Seconds by which libopus's packets say what was before the time that they carry (OPUS_GET_LOOKAHEAD at 48 kHz)."


class Peers(StrEnum):
    AIORTC = "aiortc"
    CHROMIUM = "chromium"


class Microphone(MediaStreamTrack):
    """Hears the chirp, 20 ms at a time, each given when its last sample was captured."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._at, self.begun = 0, time.monotonic()
        self.captured: float | None = None

    async def recv(self) -> av.AudioFrame:
        self.captured = self.begun + self._at / chirp.RATE
        await asyncio.sleep(max(0.0, self.captured + chirp.BLOCK / chirp.RATE - time.monotonic()))
        frame = av.AudioFrame.from_ndarray(chirp.wave(self._at, chirp.BLOCK)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = chirp.RATE, self._at, Fraction(1, chirp.RATE)
        self._at += chirp.BLOCK
        return frame


@dataclass
class Viewer:
    """What an aiortc viewer gets: of each, (arrival, the sender's RTP time in seconds, what it carries)."""

    pictures: list[tuple[float, float, int]] = field(default_factory=list)
    sounds: list[tuple[float, float, float]] = field(default_factory=list)
    reports: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {"video": [], "audio": []})
    "Of sender reports: (wall clock, RTP time), seconds."

    def __post_init__(self) -> None:
        self._decoder = av.CodecContext.create("libopus", "r")
        self.pcm: list[np.ndarray] = []

    def opened(self, kind: str, receiver: Any) -> None:
        rate = 90_000 if kind == "video" else chirp.RATE
        patches.tap_reports(
            receiver, lambda source, sent, rtp: self.reports[kind].append((sent, rtp / rate)) if sent else None
        )
        if kind == "audio":
            patches.take_packets(receiver, self._sound)

    def _sound(self, packet: Any, data: bytes, codec: Any) -> bool:
        now = time.monotonic()
        for frame in self._decoder.decode(av.Packet(data)) if data else []:
            block = chirp.samples(frame)
            self.pcm.append(block)
            if (told := chirp.read(block)) is not None:
                self.sounds.append((now, packet.timestamp / chirp.RATE, told))
        return False

    async def watch(self, video: MediaStreamTrack) -> None:
        assert isinstance(video, LiveVideo)
        while True:
            frame, rtp = await video.take()
            now = time.monotonic()
            luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)
            if (number := barcode.read(luma[: barcode.HEIGHT, : barcode.WIDTH])) is not None:
                self.pictures.append((now, rtp, number))


async def call(port: int, pictures: list[np.ndarray], seconds: float) -> dict[str, Any]:
    """One call between aiortc's peers, from the viewer's first picture on."""
    camera = PictureTrack(Camera(pictures).take, RATE)
    microphone, viewer = Microphone(), Viewer()
    base = f"http://127.0.0.1:{port}"
    carried = lambda source, rtp, arrived: rtp / 90_000  # noqa: E731
    async with (
        publishing(f"{base}/whip/lips?avatar=sample", camera, microphone),
        playing(f"{base}/whep/lips?as=quilt", "video", "audio", captured=carried, opened=viewer.opened) as tracks,
    ):
        watching = asyncio.create_task(viewer.watch(tracks["video"]))
        while not viewer.pictures:
            await asyncio.sleep(0.02)
        async with httpx.AsyncClient(base_url=base, timeout=30, trust_env=False) as http:
            await filmed.begin(http, "lips")
            await asyncio.sleep(seconds)
            film_of_it = await filmed.end(http, "lips")
        watching.cancel()
    at, _, numbers = (np.array(one) for one in zip(*viewer.pictures, strict=True))
    heard, _, told = (np.array(one) for one in zip(*viewer.sounds, strict=True))
    seen = Aged(at, at - camera.begun - numbers / RATE)  # when each was due: a busy machine draws it later
    # a packet's middle is heard half a packet after its begin
    half = chirp.BLOCK / chirp.RATE / 2
    said = ages(heard + half, told, microphone.begun)
    times, found = offsets(seen, said, at[0])
    apart = _reports_apart(viewer, camera, microphone)
    facts: dict[str, Any] = {
        "reports_apart_ms": apart,
        "gaps": gaps(np.concatenate(viewer.pcm)),
        "picture_age_ms": _middle(seen),
        "recording": filmed.apart(io.BytesIO(film_of_it), camera.begun, RATE, microphone.begun),
    }
    return facts | {"sound_age_ms": _middle(said), "at_s": times, "offsets_ms": found}


def _middle(aged: Aged) -> float:
    return round(1e3 * float(np.median(aged.age)), 1)


def _reports_apart(viewer: Viewer, camera: PictureTrack, microphone: Microphone) -> float | None:
    """Milliseconds by which the wall clocks of sound and picture differ in reports about one capture: what each says its capture
    was, by the RTP time that carried it."""
    said = {}
    known = {
        "video": [(rtp, camera.begun + number / RATE) for _, rtp, number in viewer.pictures],
        "audio": [(rtp, told) for _, rtp, told in viewer.sounds],
    }
    for kind, pairs in known.items():
        rtp, captured = (np.array(one) for one in zip(*pairs, strict=True))
        differences = []
        for sent, at in viewer.reports[kind]:
            near = int(np.abs(rtp - at).argmin())
            if abs(rtp[near] - at) < 2:
                differences.append(sent - at + rtp[near] - captured[near])
        if not differences:
            return None
        said[kind] = np.array(differences)
    middle = chirp.BLOCK / chirp.RATE / 2 - LOOK_AHEAD
    phase = float(np.median((said["audio"] + middle - np.median(said["video"]) - microphone.begun + 0.5) % 1.0)) - 0.5
    return round(1e3 * phase, 2)


def call_in_chromium(
    port: int, pictures: list[np.ndarray], seconds: float, control: float, links: Links | None = None
) -> dict[str, Any]:
    """The same call with both ends in one page, after the control within it; the viewer behind one of `links`, if there are any."""
    from playwright.sync_api import sync_playwright

    wants = {"channel": "lips", "seconds": seconds, "control": control, "code": browsers.CODE}
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        how = browsers.flags(film(pictures, RATE, Path(folder)), _sound(Path(folder)))
        browser = playwright.chromium.launch(**how)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        if links is not None:
            page.route("**/whep/lips?*", partial(_through, links))
        saw = page.evaluate(browsers.script("lip_peers.js"), wants)
        browser.close()
    times, found, facts = _of_page(saw, saw["call"])
    itself, waits = _account(saw["call"], times, found)
    bias = 0.0
    if saw["control"]:
        there, alone, _ = _of_page(saw, saw["control"])
        own, _ = _account(saw["control"], there, alone)
        bias = float(np.median([measured - told for _, measured, told in own]))
    heard = next((one for one in saw["statistics"] if one["kind"] == "audio"), {})
    names = (
        "concealedSamples",
        "totalSamplesReceived",
        "silentConcealedSamples",
        "fecPacketsReceived",
        "packetsReceived",
    )
    facts |= {"control_ms": round(bias, 1), "audio": {name: heard.get(name) for name in names}} | waits
    facts |= {"browsers_own_ms": round(float(np.median([told for _, _, told in itself])), 1) if itself else None}
    if links is not None and (narrowed := links.links[-1].narrowed):
        seen = np.array([when for _, when in saw["call"]["seen"]]) / 1e3 + saw["origin"] / 1e3
        facts |= {"narrowed": _after(narrowed, seen, links.links[-1].came)}
    return facts | {"server_report": saw["report"], "at_s": times, "offsets_ms": found - bias}


def _after(narrowed: float, seen: np.ndarray, came: list[tuple[float, int]]) -> dict[str, Any]:
    """How pictures went on once the link had become narrow, at `narrowed`: `seen` when, `came` how many bytes when."""
    later = seen[seen > narrowed]
    pauses = np.diff(np.concatenate([seen[seen <= narrowed][-1:], later]))
    at, sizes = (np.array(one, float) for one in zip(*came, strict=True))
    settled = at - narrowed > SETTLED
    return {
        "longest_pause_s": round(float(pauses.max()), 2),
        "pauses_over_a_fifth": [
            [round(float(when - narrowed), 2), round(float(pause), 2)]
            for when, pause in zip(later, pauses, strict=True)
            if pause > 0.2
        ],
        "megabit_per_second_settled": round(
            8e-6 * float(sizes[settled].sum()) / max(float(at[-1]) - narrowed - SETTLED, 0.1), 2
        ),
        "pictures_per_second_settled": round(
            float((later - narrowed > SETTLED).sum() / max(later[-1] - narrowed - SETTLED, 0.1)), 1
        ),
    }


def _account(got: dict[str, Any], times: np.ndarray, found: np.ndarray) -> tuple[list[tuple[float, float, float]], Any]:
    """((seconds, the offset measured then, what the browser itself makes of it), of each second in which it knows), and for how
    long sound and picture wait in its buffers, milliseconds.

    It goes by the sender's reports, and counts what a page does not see: how long the sound card keeps sound, when a picture is
    drawn (estimatedPlayoutTimestamp of each, webrtc-stats).
    """
    begun, rows, waits = got["seen"][0][1] / 1e3, [], {"sound": [], "picture": []}
    for before, now in pairwise(got["itself"]):
        if not {"audio", "video"} <= before.keys() & now.keys():
            continue
        for name, kind in (("sound", "audio"), ("picture", "video")):
            waited, given = (now[kind][at] - before[kind][at] for at in (1, 2))
            waits[name].append(1e3 * waited / max(given, 1))
        apart = now["video"][0] - now["audio"][0]  # the later of two is the content that is ahead
        near = np.abs(times - (now["at"] / 1e3 - begun)) < 0.5
        if now["video"][0] and now["audio"][0] and apart and near.any():
            rows.append((float(now["at"]), float(np.median(found[near])), float(apart)))
    waited = {name: round(float(np.median(one)), 1) for name, one in waits.items() if one}
    return rows, {"waits_in_browser_ms": waited}


def _through(links: Links, route: Any) -> None:
    """A WHEP exchange whose media go through a link of its own."""
    if route.request.method != "POST":
        route.continue_()
        return
    answer = route.fetch(post_data=without_candidates(route.request.post_data))
    route.fulfill(response=answer, body=links.through(answer.text()))


def _sound(folder: Path) -> Path:
    """Ten periods of the chirp, which a browser's fake microphone plays again and again."""
    path = folder / "chirp.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, chirp.RATE, 0, "NONE", ""))
        file.writeframes(chirp.wave(0, 10 * chirp.RATE).tobytes())
    return path


def _of_page(saw: dict[str, Any], got: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Offsets, and more, of what one viewer in the page got."""
    at_microphone, told_there, _ = _heard(saw["microphone"])
    origin = np.unwrap(at_microphone - told_there, period=chirp.PERIOD)
    heard, told, pcm = _heard(got["heard"])
    smooth = np.convolve(np.pad(origin, 25, mode="edge"), np.ones(51) / 51, mode="valid")
    said = Aged(heard, (heard - told - np.interp(heard, at_microphone, smooth)) % chirp.PERIOD)
    seen = _seen(saw["captured"], got["seen"])
    times, found = offsets(seen, said, seen.at[0])
    return times, found, {"gaps": gaps(pcm), "picture_age_ms": _middle(seen), "sound_age_ms": _middle(said)}


def _heard(heard: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(when, the chirp's time then) of each block that has one, and all samples; seconds of the page's clock."""
    pcm = np.frombuffer(base64.b64decode(heard["pcm"]), np.int16)
    arrived, counts = (np.array(one, float) for one in zip(*heard["times"], strict=True))
    rate = heard["rate"]
    begins = steady(arrived / 1e3, counts, rate)
    firsts = np.concatenate([[0.0], np.cumsum(counts[:-1])])
    if (
        rate != chirp.RATE
    ):  # fake microphones have another; the tone lies so low that a straight line between samples is one
        firsts *= chirp.RATE / rate
        pcm = np.interp(np.arange(0, len(pcm), rate / chirp.RATE), np.arange(len(pcm)), pcm).astype(np.int16)
    middles = np.arange(chirp.BLOCK // 2, len(pcm) - chirp.BLOCK, chirp.BLOCK)
    when = np.interp(middles, firsts, begins)
    told = [chirp.read(pcm[one - chirp.BLOCK // 2 : one + chirp.BLOCK // 2]) for one in middles]
    clear = [number for number, one in enumerate(told) if one is not None]
    return when[clear], np.array([told[one] for one in clear], float), pcm


def _seen(captured: list[list[float]], seen: list[list[float]]) -> Aged:
    """Pictures by the newest capture of their number before they were seen; left out where the page missed that capture, and knows
    only the one of the film's last round."""
    at, age, newest = [], [], -1
    for number, when in seen:
        taken = [moment for one, moment in captured if one == number and moment <= when]
        if taken and number != newest and when - max(taken) < 500 * PUPPET_FRAMES / RATE:
            at.append(when / 1e3)
            age.append((when - max(taken)) / 1e3)
            newest = number
    return Aged(np.array(at), np.array(age))


def main(
    seconds: Annotated[
        float, typer.Option(min=6, help="Length of each run, from the viewer's first picture on.")
    ] = 60.0,
    peers: Annotated[Peers, typer.Option(help="Who calls and who views.")] = Peers.AIORTC,
    stand_in: Annotated[bool, typer.Option(help="An engine that costs nothing, for times that are scripted.")] = False,
    loss: Annotated[float, typer.Option(min=0, max=0.5, help="Share of the viewer's datagrams that get lost.")] = 0.0,
    jitter: Annotated[float, typer.Option(min=0, max=0.2, help="Seconds by which the others are late, at most.")] = 0.0,
    narrow: Annotated[str, typer.Option(help="10:5 is a link that carries 5 Mbit/s from the tenth second on.")] = "",
    ages: Annotated[str, typer.Option(help="How old pictures are: 0:40,20:170 is 40 ms, and 170 from 20 s on.")] = "",
    screen: Annotated[str, typer.Option(help="Whose quilt.")] = "telequilt",
    port: Annotated[int, typer.Option(help="Where the server listens meanwhile.")] = 8767,
    before: Annotated[bool, typer.Option(help="Measure sound that is passed on at once, too.")] = True,
    out: Annotated[Path, typer.Option(help="Folder for the JSON and the picture.")] = RESULTS,
) -> None:
    """Measure how far sound and picture are apart for a viewer of a live call on this machine."""
    from pipeline.puppet import Puppet

    console = Console()
    with console.status("drawing what the camera sees"):
        pictures = [frame.pixels for frame in islice(Puppet().frames(), PUPPET_FRAMES)]
    lossy = loss > 0 or jitter > 0 or bool(narrow)
    if lossy and peers is not Peers.CHROMIUM:
        raise typer.BadParameter("--loss, --jitter and --narrow go with --peers chromium, which conceals and corrects")
    becomes = (
        Narrow(*(float(one) * unit for one, unit in zip(narrow.split(":"), (1, 1e6), strict=True))) if narrow else None
    )
    links = Links(loss, jitter, from_server=True, narrow=becomes) if lossy else None
    measure = {
        Peers.AIORTC: lambda: asyncio.run(call(port, pictures, seconds)),
        Peers.CHROMIUM: partial(call_in_chromium, port, pictures, seconds, CONTROL_SECONDS, links),
    }[peers]
    runs: dict[str, dict[str, Any]] = {}
    for name, more in {**({"at once": ["--at-once"]} if before else {}), "held back": []}.items():
        options = [
            *more,
            *(["--links"] if narrow else []),
            *(["--stand-in"] if stand_in else []),
            *([f"--ages={ages}"] if ages else []),
        ]
        with (
            console.status(f"sound {name}: {seconds:g} s"),
            witnessed_server(port, "cpu", screen, more=options),
        ):
            run = measure()
        rounded = {key: [round(float(one), 2) for one in run[key]] for key in ("at_s", "offsets_ms")}
        runs[name] = summary(run["at_s"], run["offsets_ms"]) | run | rounded
    console.print(_table(runs, peers))
    name = f"lip_sync_{peers}{'_scripted' if ages else ''}{'_narrow' if narrow else '_lossy' if lossy else ''}"
    facts = {"seconds": seconds, "ages": ages, "loss": loss, "jitter_s": jitter, "narrow": narrow, "runs": runs}
    if links is not None:
        links.close()
        facts["datagrams"] = [{"carried": one.carried, "lost": one.lost} for one in links.links]
    path = write(name, facts, out)
    _picture(runs, ages, path.with_suffix(".png"))
    console.print(f"{path}\n{path.with_suffix('.png')}")


def _table(runs: dict[str, dict[str, Any]], peers: Peers) -> Table:
    table = Table(title=f"sound minus picture at the viewer ({peers}), ms, from the third second on")
    columns = ("median_ms", "p2.5_ms", "p97.5_ms", "least_ms", "most_ms", "first_second_within")
    for heading in ("sound", *columns, "picture's age", "longest gap"):
        table.add_column(heading, justify="right")
    for name, run in runs.items():
        cells = [run.get(column) for column in columns] + [run["picture_age_ms"], run["gaps"]["longest_ms"]]
        table.add_row(name, *map(str, cells))
    return table


def _picture(runs: dict[str, dict[str, Any]], ages: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(11, 3.8), layout="constrained")
    axis.axhspan(*SLEWING, color="0.95")
    axis.axhspan(*MEDIAN, color="#cfe8d5")
    for (name, run), colour in zip(runs.items(), ("#d55e00", "#0072b2"), strict=False):
        axis.plot(run["at_s"], run["offsets_ms"], ".-", ms=3, lw=0.8, color=colour, label=f"sound {name}")
    for step in ages.split(",")[1:]:
        axis.axvline(float(step.partition(":")[0]), color="0.6", lw=0.8, ls=":")
    axis.axhline(0, color="0.5", lw=0.6)
    axis.set(xlabel="seconds since the viewer's first picture", ylabel="sound later than picture, ms", xlim=(0, None))
    axis.set_title("light: acceptable (ITU-R BT.1359-1); green: not noticed (ATSC IS-191)", fontsize=9)
    axis.legend(frameon=False, loc="lower right")
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    typer.run(main)

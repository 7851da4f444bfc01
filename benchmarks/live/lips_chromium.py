"""Lips in a page: one call with both ends in a headless Chromium, out of what that page says it saw and played."""

from __future__ import annotations

import base64
import wave
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.glass_to_glass import PUPPET_FRAMES, film
from benchmarks.live import browsers, chirp
from benchmarks.live.lips_aiortc import RATE
from benchmarks.live.lossy import Links
from benchmarks.live.network import without_candidates
from benchmarks.live.offsets import Aged, gaps, middle, offsets, steady

SETTLED = 5.0
"Seconds after which it goes on as the link carries it."


def call(
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
    return times, found, {"gaps": gaps(pcm), "picture_age_ms": middle(seen), "sound_age_ms": middle(said)}


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

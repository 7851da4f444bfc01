"""Members: a call of two in its own pages, each in a headless Chromium of its own: how often and how old they see each other, what
they hear, and how soon one whose browser was killed is back.

    python -m benchmarks.members

    python -m benchmarks.members --check return

    python -m benchmarks.members --check windows

Camera pictures carry their numbers, which the server draws into the quilts made from them; each microphone hears a tone of its
own. Both browsers and the server share this machine's cores; the figures of a single channel (glass_to_glass --peers chromium)
are the measure.
"""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import httpx
import numpy as np
import psutil
import typer
from rich.console import Console

from benchmarks.glass_to_glass import PUPPET_FRAMES, call_in_chromium, film, witnessed_server
from benchmarks.lib.harness import RESULTS, write
from benchmarks.live import browsers
from benchmarks.live.people import TONES, Call, People, join, sees
from pipeline.clock import percentiles

RATE = 25.0
SINGLE_SECONDS = 12.0
"Of a single channel before, in a Chromium that is caller and viewer: how quick this machine is in this hour."
WARM_UP = 8.0
"Seconds after both see each other that are not counted."
RETURNS = 3
WRITTEN_SECONDS = 7.0
"Within which Chromium has written to the disk what pages keep."
MOST_FILLED = 6
"Captures from one that was noted to the next between which those that were not are reckoned."
HEARD = 8.0
"Seconds of what each hears that are listened to, after all else."
LOOK_EVERY = 4.0
"Seconds between looks at what the server says."


class Check(StrEnum):
    SEE = "see"
    RETURN = "return"
    WINDOWS = "windows"


# ---- how they see and hear each other ----


def see(people: People, call: Call, seconds: float, server: psutil.Process) -> dict[str, Any]:
    """Both are in the call for `seconds`."""
    alone = call_in_chromium(people.chromium, call.port, people.film, SINGLE_SECONDS, server)
    (_, ana), (_, bo) = people.come("Ana", call.host), people.come("Bo", call.invite("Bo"))
    pages = {"Ana": ana, "Bo": bo}
    for name, page in pages.items():
        join(page, name)
    for page in pages.values():
        sees(page)
    for page in pages.values():
        page.evaluate(browsers.script("member.js"), {"code": browsers.CODE})
    time.sleep(WARM_UP)
    for page in pages.values():
        page.evaluate("member.begin()")
    before, browsed, machine = sum(server.cpu_times()[:2]), _cores(people.folder), psutil.cpu_times()
    begun = time.monotonic()
    course = []
    while (passed := time.monotonic() - begun) < seconds:
        course += [_state(one) | {"at_s": round(passed, 1)} for one in _channels(call)]
        time.sleep(LOOK_EVERY)
    took, spent, now = time.monotonic() - begun, sum(server.cpu_times()[:2]) - before, psutil.cpu_times()
    browsers_spent = {
        kind: round((cores - browsed.get(kind, 0.0)) / took, 2) for kind, cores in _cores(people.folder).items()
    }
    saw = {name: page.evaluate("member.told()") for name, page in pages.items()}
    for name, page in pages.items():
        saw[name]["heard"] = page.evaluate(f"member.hear({HEARD})")
    told = {name: _told(saw, name, other, took) for name, other in (("Ana", "Bo"), ("Bo", "Ana"))}
    return {
        "members": told,
        "server_cores": round(spent / took, 2),
        "browsers_cores": browsers_spent,
        "idle_cores": round((now.idle - machine.idle) / took, 2),
        "stolen_cores": round((now.steal - machine.steal) / took, 2),
        "single": {name: alone[name] for name in ("fps", "age_ms", "server_cores", "peers_cores")},
        "course": course,
        "channels": _channels(call),
    }


def _channels(call: Call) -> list[dict[str, Any]]:
    return httpx.get(f"{call.base}/api/channels", trust_env=False).json()


def _state(channel: dict[str, Any]) -> dict[str, Any]:
    """How one is made and sent at a moment; milliseconds."""
    (stream,) = channel["streams"] or [{}]
    sent = {name: stream.get(name) for name in ("width", "height", "voice_delay_ms", "lip_offset_ms")}
    ages = {"made_ms": channel["session"]["age"]["p50"], "sent_ms": stream.get("age", {}).get("p50")}
    return {"seat": channel["name"].rpartition(".")[2], "rung": channel["detail"]["rung"], **ages, **sent}


def _told(saw: dict[str, Any], name: str, other: str, took: float) -> dict[str, Any]:
    """What `name` saw and heard of `other`."""
    ages, times = _ages(filled(saw[other]["captured"]), saw[name]["seen"])
    gaps = np.diff(times) if len(times) > 1 else np.zeros(1)
    return {
        "fps": round(saw[name]["pictures"] / took, 2),
        "numbers_read": round(len(times) / max(saw[name]["pictures"], 1), 2),
        "numbers_lost": _lost(saw[name], times),
        "age_ms": percentiles(ages),
        "age_p95_ms_by_ten_seconds": _by_ten_seconds(ages, times),
        "longest_pause_s": round(float(gaps.max()), 2),
        "picture": f"{saw[name]['width']}x{saw[name]['height']}",
        **_heard(saw[name]["heard"], TONES[name], TONES[other]),
        "browser": _account(*saw[name]["lines"]),
    }


def _lost(saw: dict[str, Any], times: list[float]) -> dict[str, int]:
    """Why so many pictures have no age: the browser showed them without calling back, no number was in them, or it was the one before
    once more, or one whose capture nobody noted."""
    looks = saw["looks"]
    return {"missed": looks["missed"], "unread": looks["unread"], "repeated_or_unknown": len(saw["seen"]) - len(times)}


def _account(before: dict[str, Any], after: dict[str, Any]) -> dict[str, float | str | None]:
    """Where the milliseconds go in a browser, by its own account (W3C webrtc-stats): means over what was measured."""
    sent, came, heard = "outbound-rtp video", "inbound-rtp video", "inbound-rtp audio"

    def grew(line: str, name: str) -> float:
        return after[line].get(name, 0.0) - before[line].get(name, 0.0)

    def mean(line: str, total: str, count: str) -> float | None:
        return round(1e3 * grew(line, total) / grew(line, count), 1) if grew(line, count) else None

    return {
        "camera_encoded_ms": mean(sent, "totalEncodeTime", "framesEncoded"),
        "camera_paced_ms": mean(sent, "totalPacketSendDelay", "packetsSent"),
        "camera_size": f"{after[sent].get('frameWidth')}x{after[sent].get('frameHeight')}",
        "camera_sent": grew(sent, "framesSent"),
        "camera_limited_by": after[sent].get("qualityLimitationReason"),
        "picture_assembled_ms": mean(came, "totalAssemblyTime", "framesAssembledFromMultiplePackets"),
        "picture_waited_ms": mean(came, "jitterBufferDelay", "jitterBufferEmittedCount"),
        "picture_to_wait_ms": mean(came, "jitterBufferTargetDelay", "jitterBufferEmittedCount"),
        "picture_least_wait_ms": mean(came, "jitterBufferMinimumDelay", "jitterBufferEmittedCount"),
        "picture_decoded_ms": mean(came, "totalDecodeTime", "framesDecoded"),
        "picture_in_all_ms": mean(came, "totalProcessingDelay", "framesDecoded"),
        "sound_waited_ms": mean(heard, "jitterBufferDelay", "jitterBufferEmittedCount"),
        "sound_to_wait_ms": mean(heard, "jitterBufferTargetDelay", "jitterBufferEmittedCount"),
        "sound_least_wait_ms": mean(heard, "jitterBufferMinimumDelay", "jitterBufferEmittedCount"),
    }


def _cores(folder: Path) -> dict[str, float]:
    """Processor seconds so far of the browsers, by what their processes are for."""
    spent: Counter[str] = Counter()
    for process in psutil.process_iter(["cmdline", "cpu_times"]):
        told = process.info["cmdline"] or ()
        if any(one.startswith(f"--user-data-dir={folder}") for one in told):
            kinds = [one for one in told if one.startswith(("--type=", "--utility-sub-type="))]
            kind = kinds[-1].split("=")[1].split(".")[0] if kinds else "browser"
            spent[kind] += sum(process.info["cpu_times"][:2])
    return dict(spent)


def filled(captured: list[list[float]]) -> list[list[float]]:
    """[number, ms] of each capture with those between that a busy page missed, where they came evenly: numbers come round."""
    whole: list[list[float]] = captured[:1]
    for (number, at), (after, then) in pairwise(captured):
        steps = round((after - number) % PUPPET_FRAMES)
        if 1 < steps <= MOST_FILLED and abs((then - at) / steps - 1e3 / RATE) < 0.2 * 1e3 / RATE:
            between = (step / steps for step in range(1, steps))
            whole += [[(number + round(share * steps)) % PUPPET_FRAMES, at + share * (then - at)] for share in between]
        whole.append([after, then])
    return whole


def _ages(captured: list[list[float]], seen: list[list[float]]) -> tuple[list[float], list[float]]:
    """(ages, when) of each new picture, seconds: by the newest capture of its number, numbers coming round."""
    ages, times, newest = [], [], -1.0
    for number, when in seen:
        taken = [at for one, at in captured if one == number and at <= when]
        if taken and number != newest and when - max(taken) < 500 * PUPPET_FRAMES / RATE:
            ages.append((when - max(taken)) / 1e3)
            times.append(when / 1e3)
            newest = number
    return ages, times


def _by_ten_seconds(ages: list[float], times: list[float]) -> list[float]:
    begun = times[0] if times else 0.0
    spans = range(int((times[-1] - begun) // 10)) if times else ()
    within = (
        [age for age, at in zip(ages, times, strict=True) if at - begun >= 10 * n and at - begun < 10 * n + 10]
        for n in spans
    )
    return [percentiles(some).p95 for some in within]


def _heard(heard: dict[str, Any], own: float, others: float) -> dict[str, float]:
    """How loud the other's tone is, dB of full scale, and one's own below that, in the median of blocks of 100 ms."""
    pcm, rate = np.frombuffer(base64.b64decode(heard["pcm"]), np.int16) / 32768, heard["rate"]
    size = rate // 10
    blocks = pcm[: len(pcm) // size * size].reshape(-1, size) * np.hanning(size) * 2 / size
    at = np.arange(size) / rate
    loud = {tone: np.abs(blocks @ np.exp(-2j * np.pi * tone * at)) for tone in (own, others)}
    level = 20 * np.log10(float(np.median(loud[others])) + 1e-9)
    below = 20 * np.log10((float(np.median(loud[own])) + 1e-9) / (float(np.median(loud[others])) + 1e-9))
    return {"other_dbfs": round(level, 1), "own_below_other_db": round(below, 1)}


# ---- one who comes back ----


def comes_back(people: People, call: Call) -> dict[str, Any]:
    """Ana stays; Bo's browser is killed, begun again, and opens its link."""
    link = call.invite("Bo")
    _, ana = people.come("Ana", call.host)
    join(ana, "Ana")
    _, bo = people.come("Bo", link)
    join(bo, "Bo")
    for page in (ana, bo):
        sees(page)
    return {"returns": [_returned(people, call, ana, link) for _ in range(RETURNS)]}


def _returned(people: People, call: Call, ana: Any, link: str) -> dict[str, Any]:
    time.sleep(WRITTEN_SECONDS)
    number = next(one["seat"] for one in call.seats() if one["name"] == "Bo")
    begun = time.monotonic()
    people.kill("Bo")
    ana.wait_for_function("document.querySelector('#places .place')?.dataset.state !== 'live'", polling=20)
    noticed = time.monotonic() - begun
    while next(one for one in call.seats() if one["seat"] == number)["state"] != "away":
        time.sleep(0.02)
    away = time.monotonic() - begun
    ana.evaluate(_NOTE)
    _, bo = people.come("Bo", link)
    origin = bo.evaluate("performance.timeOrigin")
    after = {
        "seat_present_s": _when(lambda: _seat(call, number)["state"] == "present", origin),
        "seat_live_s": _when(lambda: _seat(call, number)["publishing"] == "live", origin),
    }
    ana.wait_for_function("window.back", polling=20)
    after["seen_again_s"] = round((ana.evaluate("window.back") - origin) / 1e3, 2)
    sees(bo)
    after["sees_again_s"] = round((bo.evaluate("performance.timeOrigin + performance.now()") - origin) / 1e3, 2)
    same = _seat(call, number)["name"] == "Bo" and len(call.seats()) == 2
    return {"noticed_s": round(noticed, 2), "away_s": round(away, 2), "same_seat": same, **after, "heard": _hears(ana)}


_NOTE = """
window.back = 0;
const look = () => {
  if (document.querySelector("#places .place").dataset.state === "live") window.back = performance.timeOrigin + performance.now();
  else setTimeout(look, 10);
};
look();
"""
"Notes when the other is seen again."


def _seat(call: Call, number: int) -> dict[str, Any]:
    return next(
        (one for one in call.seats() if one["seat"] == number), {"state": "gone", "publishing": "none", "name": ""}
    )


def _when(come: Callable[[], bool], origin: float) -> float:
    while not come():
        time.sleep(0.02)
    return round(time.time() - origin / 1e3, 2)


def _hears(page: Any) -> bool:
    """Whether the other is heard within five seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if page.locator("#places .place").get_attribute("data-speaking") == "true":
            return True
        time.sleep(0.1)
    return False


# ---- two windows of one seat ----


def windows(people: People, call: Call, seconds: float) -> dict[str, Any]:
    """Bo opens his link in a second window, and nobody touches either for `seconds`."""
    link = call.invite("Bo")
    context, first = people.come("Bo", link)
    join(first, "Bo")
    first.wait_for_selector("body[data-at=call]")
    second = context.new_page()
    second.goto(link)
    second.wait_for_selector("body[data-at=call]")
    first.wait_for_selector("body[data-at=over]")
    for page in (first, second):
        page.evaluate(_TURNS)
    time.sleep(seconds)
    at = [page.evaluate("document.body.dataset.at") for page in (first, second)]
    turns = [page.evaluate("turns") for page in (first, second)]
    return {"seconds": seconds, "first": at[0], "second": at[1], "turns": turns, "seats": len(call.seats())}


_TURNS = """
window.turns = [];
new MutationObserver(() => turns.push(document.body.dataset.at)).observe(document.body, { attributeFilter: ["data-at"] });
"""
"Notes wherever a page goes."


def main(
    check: Annotated[Check, typer.Option(help="What is looked at.")] = Check.SEE,
    seconds: Annotated[float, typer.Option(min=5, help="For how long.")] = 60.0,
    adapt: Annotated[bool, typer.Option(help="Give up detail where the machine is too slow.")] = True,
    port: Annotated[int, typer.Option(help="Where the server listens meanwhile.")] = 8768,
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = RESULTS,
) -> None:
    """Measure a call of two in its pages on this machine."""
    from playwright.sync_api import sync_playwright

    from pipeline.puppet import Puppet

    console = Console()
    with console.status("drawing what the cameras see"):
        pictures = [frame.pixels for frame in islice(Puppet().frames(), PUPPET_FRAMES)]
    with ExitStack() as opened:
        opened.enter_context(console.status(f"a call of two: {check}"))
        server = opened.enter_context(witnessed_server(port, "cpu", "telequilt", adapt))
        folder = Path(opened.enter_context(TemporaryDirectory(ignore_cleanup_errors=True)))
        people = People(opened.enter_context(sync_playwright()), folder, film(pictures, RATE, folder))
        call = Call(port)
        facts = {
            Check.SEE: lambda: see(people, call, seconds, server),
            Check.RETURN: lambda: comes_back(people, call),
            Check.WINDOWS: lambda: windows(people, call, seconds),
        }[check]()
    console.print({name: one for name, one in facts.items() if name != "channels"})
    console.print(write(f"members_{check}", {"seconds": seconds, "adapt": adapt, **facts}, out))


if __name__ == "__main__":
    typer.run(main)

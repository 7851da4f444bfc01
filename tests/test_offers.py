"""Offers of clients that are not like ours, careless or hostile: what is served, what is refused, and that nothing is left."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from server.problems import Problem
from server.webrtc import h264, offers
from tests.live import SDP, Client, Clip, located, serving, settings_for, until
from tests.test_whip import FRAGMENT, offered, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIDS = ("", " ", "0 0", "a b", "\0", "\x7f", "é", "(0)", "0\t", "x" * 5000)
"What is no token, or no mid of a section."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimpleNamespace]:
    settings = settings_for(tmp_path_factory.mktemp("data"), connect_seconds=5)
    async with serving(settings) as (base, app), httpx.AsyncClient(base_url=base, timeout=30) as http:
        await http.post("/whip/one", content="", headers=SDP)  # its connection stands, so that files can be counted
        yield SimpleNamespace(http=http, lobby=app.state.lobby)


def left() -> tuple[int, int]:
    """(threads, open files) of this process."""
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def bundle(sdp: str, *mids: str) -> str:
    return re.sub(r"a=group:BUNDLE [^\r\n]*", f"a=group:BUNDLE {' '.join(mids)}", sdp)


# --- mids and bundles


async def test_a_bundle_names_the_sections_of_its_offer_and_nothing_else(live):
    sdp = await offered("video", "audio")
    wrong = [bundle(sdp, *mids) for mids in (("x", "0"), ("0", "x"), ("0", "0", "1"), ("0,1",), ("0", "1", "1"))]
    wrong += [sdp.replace("a=mid:0", f"a=mid:{mid}") for mid in (*MIDS, "1", "other")]
    wrong += [sdp.replace("a=mid:0\r\n", "")]
    before = left()
    for one in wrong:
        problem(await live.http.post("/whip/one", content=one.encode(), headers=SDP), 400, "malformed-sdp")
        assert not live.lobby.channels
    await until(lambda: left()[1] <= before[1])
    assert left()[0] <= before[0] + 1  # asyncio's own pool may have grown by one


async def test_a_section_outside_the_bundle_may_have_no_mid():
    sdp = await offered("video")
    plain = re.sub(r"a=(?:group|mid):[^\r\n]*\r\n", "", sdp)
    assert offers.publishing(plain).mids == ("",)


async def test_whatever_a_library_meets_in_an_offer_is_the_clients_fault_and_leaves_nothing(live):
    """Mutated offers, among them whatever passes our own checks and makes aiortc raise later."""
    chance = random.Random(9)
    offers_made = [await offered("video", "audio"), await offered("audio", "video")]
    answers: dict[int, int] = {}
    before = left()
    for _ in range(120):
        lines = chance.choice(offers_made).split("\r\n")
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(lines))
            lines[at] = mutated(chance, lines[at])
        answer = await live.http.post("/whip/one", content="\r\n".join(lines).encode(), headers=SDP)
        answers[answer.status_code] = answers.get(answer.status_code, 0) + 1
        if answer.status_code == 201:
            await live.http.delete(located(answer))
        assert not live.lobby.channels
    assert set(answers) <= {201, 400, 422}, answers
    assert len(answers) == 3, answers  # each kind has been seen
    await until(lambda: left()[1] <= before[1])
    assert left()[0] <= before[0] + 1


def mutated(chance: random.Random, line: str) -> str:
    name, colon, value = line.partition(":")
    places = [
        "",
        line + line,
        line[: chance.randrange(len(line) + 1)],
        f"{name}{colon}",
        f"{name}{colon}{value[::-1]}",
        f"{name}{colon}-1",
        f"{name}{colon}99999999999999999999",
        line.replace("0", chance.choice("9xé\0 ")),
        line.replace(" ", ""),
    ]
    return chance.choice(places)


async def test_what_aiortc_raises_is_told_as_the_offers_fault(live, monkeypatch):
    async def raising(*_: object) -> None:
        raise KeyError("mid")

    monkeypatch.setattr(RTCPeerConnection, "setRemoteDescription", raising)
    answer = await live.http.post("/whip/one", content=await offered("video"), headers=SDP)
    problem(answer, 400, "malformed-sdp")
    assert not live.lobby.channels


async def test_a_viewer_whose_caller_leaves_while_it_comes_in_is_told_to_ask_again(live, monkeypatch):
    """The caller ends between the viewer's offer and its answer, which is when addresses are gathered."""
    answering = RTCPeerConnection.setLocalDescription

    async def meanwhile(connection: RTCPeerConnection) -> None:
        await live.lobby.leave("one", live.lobby.live("one").caller)
        await answering(connection)

    async with Client(live.http) as caller:
        assert (await caller.publish("one")).status_code == 201
        sdp = await offered("video", direction="recvonly")
        monkeypatch.setattr(RTCPeerConnection, "setLocalDescription", meanwhile)
        answer = await live.http.post("/whep/one", content=sdp, headers=SDP)
        problem(answer, 404, "not-live")
        assert int(answer.headers["retry-after"]) > 0
    assert not live.lobby.channels


CANDIDATES = [
    "1 1 udp 2130706431 999.0.2.7 40000 typ host",
    "1 1 udp 2130706431 192.0.2.7 99999999 typ host",
    "1 1 udp 99999999999999999999 192.0.2.7 40000 typ host",
    "1 99 udp 1 192.0.2.7 40000 typ host",
    "1 1 sctp 1 192.0.2.7 40000 typ host",
    "1 1 tcp 1 192.0.2.7 9 typ host tcptype active",
    "1 1 udp 1 :: 0 typ prflx raddr x rport y",
    "1 1 udp 1 \0 40000 typ host",
    "1 1 udp -1 192.0.2.7 -1 typ \u00e9",
    "1 1 udp 1 fe80::1%eth0 40000 typ host",
    "1 1 udp 1 192.0.2.7 40000 typ",
    " ",
]


async def test_candidates_that_make_no_sense_are_refused_or_left_alone(live):
    async with Client(live.http) as caller:
        assert (await caller.publish("one")).status_code == 201
        headers = {"Content-Type": FRAGMENT, "If-Match": caller.etag}
        for candidate in CANDIDATES:
            body = f"a=mid:0\r\na=candidate:{candidate}\r\n".encode()
            answer = await live.http.patch(caller.session, content=body, headers=headers)
            assert answer.status_code in (204, 400), (candidate, answer.text)
        await until(lambda: live.lobby.channels["one"].session.report().frames > 3)
        await caller.hang_up()


# --- a bundle has one transport


def bundle_only(sdp: str) -> str:
    """The offer as RFC 9725's and RFC 9143's samples have it: what belongs to the transport stands in the first section alone."""
    first, second = re.split(r"(?m)^(?=m=)", sdp)[1:]
    second = re.sub(
        r"(?m)^a=(?:ice-ufrag|ice-pwd|fingerprint|setup|rtcp-mux|rtcp|candidate|end-of)[^\r\n]*\r\n", "", second
    )
    second = re.sub(r"^(m=\S+) \d+", r"\1 0", second) + "a=bundle-only\r\n"
    return sdp[: sdp.index("m=")] + first + second


@pytest.mark.parametrize("kinds", [("audio", "video"), ("video", "audio")])
async def test_a_bundled_section_may_leave_its_transport_to_the_first(live, kinds):
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in kinds:
        connection.addTransceiver(Clip() if kind == "video" else kind, "sendonly")
    await connection.setLocalDescription()
    sdp = bundle_only(connection.localDescription.sdp)
    assert sdp.count("a=ice-ufrag") == sdp.count("a=setup") == 1
    answer = await live.http.post("/whip/one", content=sdp, headers=SDP)
    assert answer.status_code == 201, answer.text
    await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
    await until(lambda: live.lobby.channels["one"].session.report().frames > 3)
    await connection.close()
    await until(lambda: not live.lobby.channels)


async def test_the_first_section_of_a_bundle_needs_its_transport():
    sdp = bundle_only(await offered("audio", "video"))
    with pytest.raises(Problem, match="ICE credentials"):
        offers.publishing(sdp.replace("a=ice-pwd", "a=x-pwd"))
    with pytest.raises(Problem, match="rtcp-mux"):
        offers.publishing(sdp.replace("a=rtcp-mux\r\n", ""))


# --- H.264 by many names

VARIANTS = {
    "bare": "",
    "high only": "profile-level-id=640c1f;packetization-mode=1;level-asymmetry-allowed=1",
    "main only": "profile-level-id=4D0028; packetization-mode=1",
    "a level that no table has": "packetization-mode=1;profile-level-id=42e0ff",
    "one packet a slice": "profile-level-id=42e01f;packetization-mode=0",
    "no profile": "packetization-mode=1",
}


def with_variant(sdp: str, said: str) -> tuple[str, str]:
    """`sdp` with one H.264 variant, described by `said`, as its only video; and its payload type."""
    alone = h264.best_alone(sdp)
    (number,) = h264.parameters(alone)
    line = f"a=fmtp:{number} {said}\r\n" if said else ""
    return re.sub(rf"a=fmtp:{number} [^\r\n]*\r\n", line, alone), number


@pytest.mark.parametrize("said", VARIANTS.values(), ids=VARIANTS)
async def test_a_viewer_of_any_h264_is_served_in_its_own_words(live, said):
    async with Client(live.http) as caller:
        assert (await caller.publish("one")).status_code == 201
        sdp, number = with_variant(await offered("video", direction="recvonly"), said)
        answer = await live.http.post("/whep/one", content=sdp, headers=SDP)
        assert answer.status_code == 201, answer.text
        told, asked = h264.parameters(answer.text)[number], h264.parameters(sdp)[number]
        assert set(told) == set(asked)
        for name in asked:
            same = told[name][:4] == asked[name][:4] if name == "profile-level-id" else told[name] == asked[name]
            assert same, (told, asked)
        if "profile-level-id" in told:
            assert told["profile-level-id"].endswith("28")  # level 4.0: what will be sent
        await caller.hang_up()


async def test_a_viewer_of_bare_h264_sees_pictures(live):
    """aiortc as the viewer, which is told its own words again, as a client that offers bare H.264 understands them."""
    async with Client(live.http) as caller, Client(live.http) as viewer:
        assert (await caller.publish("one")).status_code == 201
        viewer.connection.addTransceiver("video", "recvonly")
        await viewer.connection.setLocalDescription()
        sdp, number = with_variant(viewer.connection.localDescription.sdp, "")
        answer = await live.http.post("/whep/one", content=sdp, headers=SDP)
        assert answer.status_code == 201, answer.text
        assert f"a=fmtp:{number}" not in answer.text
        await viewer.connection.setRemoteDescription(RTCSessionDescription(h264.as_known(answer.text), "answer"))
        await viewer.seen(3)
        await caller.hang_up()


@pytest.mark.parametrize("said", VARIANTS.values(), ids=VARIANTS)
async def test_a_caller_of_any_h264_is_understood(live, said):
    async with Client(live.http) as caller:
        caller.connection.addTransceiver(Clip(), "sendonly")
        await caller.connection.setLocalDescription()
        sdp, number = with_variant(caller.connection.localDescription.sdp, said)
        answer = await live.http.post("/whip/one", content=sdp, headers=SDP)
        assert answer.status_code == 201, answer.text
        assert set(h264.parameters(answer.text)) == {number}
        known = RTCSessionDescription(h264.as_known(answer.text), "answer")
        await caller.connection.setRemoteDescription(known)
        await until(lambda: live.lobby.channels["one"].session.report().frames > 3)
        await live.http.delete(located(answer))
    await until(lambda: not live.lobby.channels)


async def test_of_many_variants_the_one_that_fits_our_encoder_is_answered():
    sdp = await offered("video", direction="recvonly")
    rows = {"7": "packetization-mode=0;profile-level-id=42e01f", "8": "packetization-mode=1;profile-level-id=640032"}
    rows |= {"9": "packetization-mode=1;profile-level-id=42c02a", "10": "packetization-mode=1;profile-level-id=42001f"}
    mapped = "".join(f"a=rtpmap:{number} H264/90000\r\na=fmtp:{number} {said}\r\n" for number, said in rows.items())
    mapped += "a=rtpmap:11 rtx/90000\r\na=fmtp:11 apt=9\r\na=rtpmap:12 rtx/90000\r\na=fmtp:12 apt=8\r\n"
    sdp = re.sub(r"(?m)^a=(?:rtpmap|fmtp|rtcp-fb):[^\r\n]*\r\n", "", sdp) + mapped
    sdp = re.sub(r"(?m)^(m=video \S+ \S+)[^\r\n]*", r"\1 7 8 9 10 11 12", sdp)
    kept = offers.viewing(sdp)
    assert re.findall(r"m=video \S+ \S+ ([^\r\n]*)", kept.sdp) == ["9 11"]
    assert re.findall(r"a=(?:rtpmap|fmtp):(\d+)", kept.sdp) == ["9", "9", "11", "11"]


async def test_parameter_sets_in_an_offer_stay_there_and_are_not_sent_back():
    sdp, number = with_variant(await offered("video"), "packetization-mode=1;sprop-parameter-sets=Z0IAHg==,aM4=")
    assert h264.parameters(offers.publishing(sdp).sdp)[number]["sprop-parameter-sets"] == "Z0IAHg==,aM4="
    assert h264.as_offered(sdp, sdp).count("sprop") == 0

"""What leaves, however heavy it was, leaves the event loop free: it joins and waits for nothing, and large things are let go elsewhere."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from pipeline.session import Session
from server.webrtc import live_video
from tests.live import Client, Clip, serving, settings_for, until
from tests.test_whep import Tone

AIORTCS_OWN = "aiortc/rtcrtpreceiver.py"
"It joins a decoder's thread that gets no pictures here (server/webrtc/patches)."


class Waits:
    """Where one thread waits for others: joins, conditions (what events, queues and futures wait by), with who asked for it."""

    def __init__(self, thread: threading.Thread, patch: pytest.MonkeyPatch) -> None:
        self._thread, self.seen = thread, list[str]()
        patch.setattr(threading.Thread, "join", self._noting(threading.Thread.join))
        patch.setattr(threading.Condition, "wait", self._noting(threading.Condition.wait))

    def _noting(self, wait: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any, **named: Any) -> Any:
            asked = traceback.extract_stack()[:-1]
            starts = any(one.name == "start" and one.filename == threading.__file__ for one in asked)
            at_once = 0 in (*given[1:], *named.values())
            if threading.current_thread() is self._thread and not starts and not at_once:
                self.seen.append(" < ".join(f"{one.filename}:{one.lineno}" for one in asked[::-1][:4]))
            return wait(*given, **named)

        return noted

    def of_ours(self) -> list[str]:
        return [one for one in self.seen if AIORTCS_OWN not in one]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    return Waits(threading.current_thread(), monkeypatch)


async def test_a_wait_on_the_loop_is_found(waits):
    thread = threading.Thread(target=time.sleep, args=(0.01,))
    thread.start()
    thread.join()
    threading.Event().wait(0.01)
    await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 0.01)
    assert len(waits.of_ours()) == 2


@pytest.mark.parametrize("leaves", [Client.hang_up, Client.vanish])
async def test_whoever_leaves_the_loop_waits_for_no_thread(tmp_path: Path, monkeypatch, waits, leaves):
    """Their decoder is at a picture that takes its time, and so is their session at its end."""
    decode, close, slow = live_video._Decoder.decode, Session.close, threading.Event()

    def slowly(*given: Any) -> Any:
        slow.wait(0.3)
        return decode(*given)

    def closing(session: Session) -> None:
        slow.wait(0.3)
        close(session)

    async with (
        serving(settings_for(tmp_path)) as (url, app),
        httpx.AsyncClient(base_url=url, timeout=30) as http,
        Client(http) as caller,
        Client(http) as viewer,
    ):
        assert (await caller.publish("room", Clip(), Tone())).status_code == 201
        assert (await viewer.view("room", audio=True)).status_code == 201
        await viewer.seen(3)
        monkeypatch.setattr(live_video._Decoder, "decode", slowly)
        monkeypatch.setattr(Session, "close", closing)
        waits.seen.clear()
        await leaves(caller)
        await until(lambda: not app.state.lobby.channels, 60)
        assert waits.of_ours() == []


@pytest.mark.parametrize("codec", ["video/VP8", "video/H264"])
async def test_a_decoder_is_drained_and_let_go_by_the_thread_that_decodes(tmp_path: Path, monkeypatch, codec):
    """Freed by whoever drops it last, while its own threads are at a 4K picture, it would hold up all of Python."""
    where, close = list[str](), live_video._Decoder.close

    def noting(decoder: Any) -> None:
        close(decoder)
        where.append(threading.current_thread().name)

    async with (
        serving(settings_for(tmp_path)) as (url, app),
        httpx.AsyncClient(base_url=url, timeout=30) as http,
        Client(http) as caller,
    ):
        caller.add(Clip(), lambda data: [data], codec)
        assert (await caller.publish_added()).status_code == 201
        taking = app.state.lobby.channels["room"].ingest
        await until(lambda: taking.report().decoded > 3)
        decoder = taking._video._decoder
        context = decoder._context
        monkeypatch.setattr(live_video._Decoder, "close", noting)
        await caller.hang_up()
        await until(lambda: bool(where))
    assert where == ["video decoder"]
    assert decoder._context is None
    with pytest.raises(av.EOFError):  # nothing is in it, and nothing more goes in
        context.decode(av.Packet(b"\0\0\1"))

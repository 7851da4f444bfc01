"""Who gets into a call and who does not: tokens, invitations, scopes, rates, and sockets that mean no good."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import stat
import time
from typing import Any

import httpx
import jwt
import pytest
from PIL import Image
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from server.calls.events import ROLES
from server.calls.rules import MALFORMED
from server.calls.tokens import Claims, TokenExpired, TokenInvalid, Tokens
from server.routes import conversation
from tests.conversing import Call, Socket
from tests.live import Client, serving, settings_for, until

TOKEN = "s3cret-of-the-house"
KEY = "k" * 48


@pytest.fixture
async def served(tmp_path):
    settings = settings_for(tmp_path, host="0.0.0.0", token=TOKEN, call_key=KEY)
    async with serving(settings) as (address, app):
        yield address, app


@pytest.fixture
async def http(served):
    async with httpx.AsyncClient(base_url=served[0], headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as http:
        yield http


@pytest.fixture
async def call(http):
    made = await Call.make(http)
    yield made
    await made.close()


def kind(answer: httpx.Response) -> str:
    return answer.json()["type"].rsplit(":", 1)[1]


def forged(call: str, key: str = KEY, algorithm: str | None = "HS256", lacking: str = "", **claims: Any) -> str:
    """A token as ours, but for what is asked for."""
    now = int(time.time())
    whole = {"iss": "telequilt", "aud": call, "sub": "seat:1:1", "jti": "j", "iat": now, "exp": now + 600}
    whole |= {"name": "Eve", "grants": {"publish": True, "view": True, "host": True, "record": True}} | claims
    return jwt.encode({name: value for name, value in whole.items() if name != lacking}, key, algorithm)


def unsigned(call: str) -> str:
    body = forged(call).split(".")[1]
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    return f"{none}.{body}."


def test_a_token_says_who_somebody_is_and_nothing_else_does(tmp_path):
    tokens = Tokens(tmp_path, KEY)
    begun = int(time.time())
    token, expires = tokens.seat("call", 2, 3, ROLES["member"], "Ana", 600)
    ended = time.time()
    claims = tokens.read(token, "call")
    told = Claims("call", ROLES["member"], float(int(expires)), claims.issued, "Ana", seat=2, epoch=3)
    assert claims == told
    assert begun <= claims.issued <= ended
    with pytest.raises(TokenInvalid):
        tokens.read(token, "another")
    with pytest.raises(TokenExpired):
        tokens.read(tokens.seat("call", 2, 3, ROLES["member"], "Ana", -60)[0], "call")
    for wrong in (
        unsigned("call"),
        forged("call", key="x" * 40),
        forged("call", algorithm="HS384"),
        forged("call", iss="evil"),
        *(forged("call", lacking=name) for name in ("exp", "iat", "sub", "aud", "jti")),
        *(forged("call", sub=sub) for sub in ("seat", "seat:x:1", "king:1", "invite:", "")),
        forged("call", grants={"root": True}),
        forged("call", grants="all"),
        token + "x",
        "a.b.c",
        "",
        "\udcff",
    ):
        with pytest.raises(TokenInvalid):
            tokens.read(wrong, "call")


def test_the_key_is_made_once_and_kept_for_its_owner_alone(tmp_path):
    token, _ = Tokens(tmp_path).seat("call", 1, 1, ROLES["member"], "Ana", 600)
    assert Tokens(tmp_path).read(token, "call").seat == 1, "after a restart"
    assert stat.S_IMODE(os.stat(tmp_path / "call.key").st_mode) == 0o600
    with pytest.raises(ValueError, match="shorter than 32"):
        Tokens(tmp_path, "short")


async def test_each_wrong_token_gets_its_own_refusal_and_no_way_to_probe(http, call):
    other = await Call.make(http)
    gone = await Call.make(http)
    await gone.ask("DELETE")
    async with httpx.AsyncClient(base_url=http.base_url, timeout=60) as bare:
        assert (await bare.post("/api/calls", json={})).status_code == 401
        for name in (call.name, "never-was"):
            answer = await bare.get(f"/api/calls/{name}")
            assert (answer.status_code, kind(answer)) == (401, "token-required")
        for path in (f"/whip/{call.name}.1", f"/whep/{call.name}", f"/api/channels/{call.name}/recording"):
            assert (await bare.post(path)).status_code == 401
    for name, token, status, why in (
        (call.name, other.host, 404, "no-such-call"),
        ("never-was", call.host, 404, "no-such-call"),
        (call.name, forged(call.name, exp=int(time.time()) - 60), 401, "token-expired"),
        (gone.name, gone.host, 409, "call-ended"),
    ):
        answer = await http.get(f"/api/calls/{name}", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, kind(answer)) == (status, why)


async def test_a_call_that_went_with_the_server_before_is_said_to_be_lost(served, http, call):
    seat = await call.sit("Ana")
    calls = served[1].state.calls
    calls.end(calls.conferences[call.name], "the server stops")
    calls.begun = time.time() + 60  # as if it were a new process
    answer = await call.ask("GET")
    assert (answer.status_code, kind(answer)) == (409, "call-lost")
    socket = await Socket.open(str(http.base_url), call.name)
    await socket.say(t="hello", token=seat["token"], resume=True)
    assert (await socket.hears("bye"))["why"] == "call-lost"
    assert await socket.closed() == 4410


async def test_tokens_that_do_not_verify_are_counted_and_then_not_looked_at(http, call):
    answers = [await call.ask("GET", token=unsigned(call.name)) for _ in range(7)]
    assert [one.status_code for one in answers] == [404] * 5 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert (await call.ask("GET")).status_code == 429, "from that address nobody's, for a while"


async def test_an_invitation_is_used_once_expires_is_taken_back_and_is_for_one_call(http, call):
    once = await call.invite()
    assert once["link"] == f"call/{call.name}#t={once['token']}"
    assert (await call.sit("Ana", token=once["token"]))["seat"] == 1
    again = await call.ask("POST", "/seats", once["token"], name="Bo", consent=True)
    assert (again.status_code, kind(again)) == (410, "invitation-used")
    twice = await call.invite(uses=2, name="Cy")
    assert (await call.ask("POST", "/seats", twice["token"], consent=True)).json()["name"] == "Cy"
    assert (await call.ask("DELETE", f"/invitations/{twice['id']}")).status_code == 204
    revoked = await call.ask("POST", "/seats", twice["token"], consent=True)
    assert (revoked.status_code, kind(revoked)) == (410, "invitation-revoked")
    assert (await call.ask("DELETE", "/invitations/none")).status_code == 404
    short = await call.invite(expires_in=0.001)
    await asyncio.sleep(0.1)
    expired = forged(call.name, sub=f"invite:{short['id']}", exp=int(time.time()) - 11)
    late = await call.ask("POST", "/seats", expired, name="Dee", consent=True)
    assert (late.status_code, kind(late)) == (401, "token-expired")
    other = await Call.make(http)
    elsewhere = await other.ask("POST", "/seats", (await call.invite())["token"], name="Eve", consent=True)
    assert (elsewhere.status_code, kind(elsewhere)) == (404, "no-such-call")


async def test_a_seat_is_refused_with_what_it_lacks(call):
    for body, status, why in (
        ({"name": "Ana"}, 403, "consent-missing"),
        ({"consent": True}, 400, "bad-parameter"),
        ({"name": "", "consent": True}, 400, "bad-parameter"),
        ({"name": "\x00\u202e\n", "consent": True}, 400, "bad-parameter"),
        ({"name": "A" * 41, "consent": True}, 400, "bad-parameter"),
        ({"name": "Ana", "consent": True, "avatar": "nobody"}, 404, "unknown-avatar"),
        ({"name": "Ana", "consent": True, "grants": {"host": True}}, 400, "bad-parameter"),
        ({"name": "Ana", "consent": "yes"}, 400, "bad-parameter"),
        ({"name": "Ana", "consent": True, "plain": True}, 403, "not-permitted"),
    ):
        answer = await call.ask("POST", "/seats", (await call.invite())["token"], **body)
        assert (answer.status_code, kind(answer)) == (status, why), body
    assert (await call.ask("GET")).json()["seats"] == []


async def test_a_full_and_a_locked_call_take_nobody_and_room_is_kept_for_who_sits(http):
    call = await Call.make(http, seats=1)
    await call.sit("Ana", "host")
    full = await call.ask("POST", "/seats", (await call.invite())["token"], name="Bo", consent=True)
    assert (full.status_code, kind(full), full.json()["limit"]) == (503, "call-full", 1)
    assert full.headers["Retry-After"]
    assert (await call.ask("PATCH", locked=True)).json()["locked"] is True
    locked = await call.ask("POST", "/seats", (await call.invite("viewer"))["token"], name="Bo")
    assert (locked.status_code, kind(locked)) == (423, "call-locked")
    large = await Call.make(http)
    for name in ("Ana", "Bo", "Cy"):  # of max_channels, which is four, one is kept for the other call
        await large.sit(name)
    crowded = await large.ask("POST", "/seats", (await large.invite())["token"], name="Dee", consent=True)
    assert (crowded.status_code, kind(crowded)) == (503, "too-many-callers")
    async with Client(http) as anybody:
        assert kind(await anybody.publish("room")) == "too-many-callers"
    await call.ask("DELETE")
    assert (await large.sit("Dee"))["seat"] == 4


async def test_a_seats_token_opens_its_own_seat_alone(http, call):
    ana, bo = await call.sit("Ana"), await call.sit("Bo")
    viewer = await call.sit("Vi", "viewer")
    one, two, seen = f"{call.name}.1", f"{call.name}.2", f"{call.name}.3"

    async def publishes(channel: str, token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx.AsyncClient(base_url=http.base_url, headers=headers, timeout=60) as asking,
            Client(asking) as client,
        ):
            return await client.publish(channel)

    for channel, token in ((two, ana["token"]), (call.name, ana["token"]), (seen, viewer["token"]), (one, call.host)):
        answer = await publishes(channel, token)
        assert (answer.status_code, kind(answer)) == (403, "not-permitted")
    assert (await publishes("room", ana["token"])).status_code == 401
    other = await Call.make(http)
    assert (await publishes(f"{other.name}.1", ana["token"])).status_code == 401
    assert (await publishes(one, ana["token"])).status_code == 201
    for method, path, body in (
        ("PATCH", "/seats/2", {"name": "Mallory"}),
        ("PATCH", "/seats/2", {"muted": True}),
        ("DELETE", "/seats/2", {}),
        ("POST", "/invitations", {"role": "member"}),
        ("PATCH", "", {"locked": True}),
        ("DELETE", "", {}),
        ("POST", "/seats", {"name": "Two", "consent": True}),
    ):
        answer = await call.ask(method, path, ana["token"], **body)
        assert (answer.status_code, kind(answer)) == (403, "not-permitted"), (method, path)
    assert (await call.ask("PATCH", "/seats/2", bo["token"], name="Bob")).json()["name"] == "Bob"
    assert (await call.ask("DELETE", "/seats/2", bo["token"])).status_code == 204
    assert (await call.ask("PATCH", "/seats/2", bo["token"], name="Bob")).status_code == 404
    wears = await http.post(
        f"/whip/{one}", params={"avatar": "other"}, content="v=0", headers={"Content-Type": "application/sdp"}
    )
    assert (wears.status_code, kind(wears)) == (400, "bad-parameter")


async def test_whoever_joins_may_bring_an_avatar_and_nobody_else_may(http, call):
    ana = await call.sit("Ana")
    async with httpx.AsyncClient(
        base_url=http.base_url, headers={"Authorization": f"Bearer {ana['token']}"}, timeout=60
    ) as hers:
        for path in ("/api/avatars", "/api/avatars/sample", "/api/screens"):
            assert (await hers.get(path)).status_code == 200
        photo = io.BytesIO()
        Image.new("RGB", (400, 400), "grey").save(photo, "JPEG")
        sent = await hers.post(
            "/api/avatars", files={"portrait": photo.getvalue()}, data={"consent": "me", "name": "Ana"}
        )
        assert sent.status_code == 201, sent.text
        worn = await call.ask("PATCH", "/seats/1", ana["token"], avatar=sent.json()["id"])
        assert worn.status_code == 200
        assert (await hers.delete(f"/api/avatars/{sent.json()['id']}")).status_code == 204
        for path in ("/api/channels", "/api/devices", "/metrics", "/api/recordings"):
            assert (await hers.get(path)).status_code == 401
    await call.ask("DELETE")
    async with httpx.AsyncClient(
        base_url=http.base_url, headers={"Authorization": f"Bearer {ana['token']}"}, timeout=60
    ) as hers:
        assert (await hers.get("/api/avatars")).status_code == 401


async def test_calls_and_joins_are_limited(http, call):
    made = [(await http.post("/api/calls", json={})).status_code for _ in range(10)]
    assert made == [201] * 9 + [429]
    joined = [(await call.ask("POST", "/seats", call.host, name="Ana")).status_code for _ in range(21)]
    assert joined == [403] * 20 + [429]


async def test_a_socket_of_another_origin_or_without_a_token_learns_nothing(served, call, tmp_path, monkeypatch):
    monkeypatch.setattr(conversation, "HELLO_SECONDS", 0.5)
    address, _ = served
    silent = await Socket.open(address, call.name)
    assert await silent.closed() == 4401
    assert silent.told == []
    async with (
        serving(settings_for(tmp_path / "private")) as (private, _),
        httpx.AsyncClient(base_url=private, timeout=60) as asking,
    ):
        own = await Call.make(asking)
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "http://127.0.0.1:1"}, {"Origin": "null"}):
            with pytest.raises(InvalidStatus) as refused:
                await Socket.open(private, own.name, **headers)
            assert refused.value.response.status_code == 403
        port = int(private.rpartition(":")[2])
        with pytest.raises(InvalidStatus) as refused:  # a page of a name that was pointed here
            await connect(
                f"ws://evil.example:{port}/api/calls/{own.name}/events", host="127.0.0.1", port=port, proxy=None
            )
        assert refused.value.response.status_code == 403
        page = await Socket.open(private, own.name, Origin=private)
        await page.say(t="hello", token=(await own.sit("Ana", "host"))["token"])
        await page.hears("welcome")
        await page.close()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("x", 4400),
        ("[]", 4400),
        ('{"t": 1}', 4400),
        ('{"t": "hello"}', 4400),
        ('{"t": "set", "muted": true}', 4400),
        (b"\x00\xff", 4400),
        ("[" * 15_000, 4400),
        ('{"t": "hello", "token": "' + "a" * 16_384 + '"}', 4429),
        ("a" * 100_000, 1009),
        (json.dumps({"t": "hello", "token": "a.b.c"}), 4404),
    ],
)  # fmt: skip
async def test_what_is_no_hello_closes_the_socket_and_is_told_nothing(served, call, said, code):
    socket = await Socket.open(served[0], call.name)
    await socket.connection.send(said)
    assert await socket.closed() == code
    assert socket.told == []


async def test_tokens_of_others_and_of_no_seat_open_no_socket(served, http, call):
    ana = await call.sit("Ana")
    other = await Call.make(http)
    gone = await call.sit("Bo")
    await call.ask("DELETE", f"/seats/{gone['seat']}")
    for name, token, code in (
        (other.name, ana["token"], 4404),
        (call.name, unsigned(call.name), 4404),
        (call.name, forged(call.name, exp=int(time.time()) - 60), 4401),
        (call.name, call.host, 4403),
        (call.name, gone["token"], 4410),
        (call.name, TOKEN, 4404),
    ):
        socket = await Socket.open(served[0], name)
        await socket.say(t="hello", token=token)
        assert await socket.closed() == code
        assert socket.told == []


async def test_noise_ends_its_own_socket_and_the_server_lives(served, call):
    _, app = served
    ana, _ = await call.join("Ana", "host")
    for number in range(20):
        socket = await call.enter(ana)
        for _ in range(50):
            await socket.connection.send(json.dumps({"t": "ping" if number % 2 else "nonsense", "a": "b" * number}))
        assert await socket.closed() == 4429
    socket = await call.enter(ana)
    for message in ({"t": "set", "name": ["x"]}, {"t": "approve", "seat": "1", "yes": 2}, {"t": "agree"}):
        await socket.say(**message)
        assert await socket.closed() == 4400
        socket = await call.enter(ana)
    await socket.say(t="ping")
    assert (await socket.hears("pong"))["at"] > 0
    assert (await call.ask("GET")).json()["seats"][0]["name"] == "Ana"
    await until(lambda: len(app.state.calls.conferences[call.name]._talks) == 1)


async def test_a_member_is_told_why_it_may_not_let_others_in(call):
    _, hers = await call.join("Ana")
    await hers.say(t="approve", seat=1, yes=True)
    assert (await hers.hears("problem"))["type"].endswith("not-permitted")


async def test_nobody_watches_a_call_unseen_and_who_runs_the_server_neither(http, call):
    for token in (TOKEN, call.host):
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx.AsyncClient(base_url=http.base_url, headers=headers, timeout=60) as asking,
            Client(asking) as client,
        ):
            refused = await client.view(call.name)
            assert (refused.status_code, kind(refused)) == (403, "not-permitted")


async def test_who_never_answers_a_goodbye_keeps_no_socket_open(served, call):
    """A client that opens a socket by hand, says hello, and reads nothing of what follows."""
    address, app = served
    ana = await call.sit("Ana", "host")
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET /api/calls/{call.name}/events HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    said = json.dumps({"t": "hello", "token": ana["token"]}).encode()
    writer.write(bytes([0x81, 0x80 | 126]) + len(said).to_bytes(2, "big") + bytes(4) + said)  # masked with zeros
    conference = app.state.calls.conferences[call.name]
    await until(lambda: conference.sockets == 1)
    await call.ask("DELETE")
    await until(lambda: not app.state.calls.conferences)
    await asyncio.wait_for(reader.read(), 30)  # to its end: the server has closed it
    writer.close()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", b'{"\\ud800": 1}'),
        ("", b'{"title": "\\ud800"}'),
        ("", b'{"seats": NaN}'),
        ("", b"[" * 50_000),
        ("/seats", b'{"name": "Eve", "consent": true, "engine": "\\ud800"}'),
        ("/seats", b'{"name": "Eve", "consent": true, "avatar": "\\ud800"}'),
        ("/invitations", b'{"expires_in": NaN}'),
    ],
    ids=["key", "title", "seats", "deep", "engine", "avatar", "lasts"],
)
async def test_a_refusal_can_repeat_words_that_are_no_text(http, call, path, body):
    """JSON may hold half a surrogate pair, which no UTF-8 can: said in ASCII, it is refused like any other word."""
    answer = await http.post(
        f"/api/calls/{call.name}{path}" if path else "/api/calls",
        content=body,
        headers={"Authorization": f"Bearer {call.host}", "Content-Type": "application/json"} if path else {},
    )
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_name_is_plain_text_by_whichever_way_it_comes(served, call):
    ana, socket = await call.join("Ana")
    await socket.say(t="set", name=" Ana\n\u202eof\x07 Oz ")
    rules = served[1].state.calls.conferences[call.name].rules
    await until(lambda: rules.seats[ana["seat"]].name == "Ana of Oz")
    await socket.say(t="set", name="\u202e\n")
    assert await socket.closed() == MALFORMED

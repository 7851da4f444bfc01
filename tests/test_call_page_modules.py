"""The pure modules of the call's page, in node: what a page makes of the server's messages, which words it has, how it lays out,
and how its socket comes back."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from display.seating import seated
from server.calls.forms import table_form

PAGES = Path(__file__).parents[1] / "server" / "pages"
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs node: apt-get install nodejs")


def node(module: str, script: str, **given: Any) -> Any:
    """What `script`, which sees `given` and what the page's `module` exports, returns."""
    names = ", ".join(given)
    whole = f"""
import * as it from {json.dumps((PAGES / module).as_uri())};
const {{ {names} }} = {json.dumps(given)};
console.log(JSON.stringify(await (async () => {{ {script} }})()));
"""
    done = subprocess.run(["node", "--input-type=module", "-e", whole], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def seat(number: int, name: str, **more: Any) -> dict[str, Any]:
    row = {"seat": number, "name": name, "role": "member", "state": "present", "publishing": "live", "muted": False}
    return row | {"camera": True, "speaking": False} | more


WELCOME = {"t": "welcome", "n": 1, "seat": 2, "title": "Tea", "locked": False, "recording": None}
WELCOME |= {"form": {"as": "seat", "columns": 6, "rows": 4, "views": 24, "width": 1536, "height": 1024}}
SEATS = [seat(1, "Bo", role="host"), seat(2, "Ana")]
HEARD = """
const room = new it.Room();
const said = messages.map((message) => room.hear(message));
const seats = (list) => list.map((one) => one.seat);
return { said, me: room.me, hosting: room.hosting, others: seats(room.others), watchers: seats(room.watchers),
         waiting: seats(room.waiting), form: room.form, of: room.formOf(1), recording: room.recording, asking: room.asking,
         handover: room.handover,
         locked: room.locked, strained: room.strained, own: room.own, speaking: [...room.speaking] };
"""


def heard(*messages: dict[str, Any]) -> dict[str, Any]:
    return node("call/room.js", HEARD, messages=[WELCOME | {"seats": SEATS}, *messages])


def test_who_comes_and_goes_is_told_once_and_kept():
    room = heard(
        {"t": "seat", **seat(3, "Cy", state="joining", publishing="none")},
        {"t": "seat", "seat": 3, "state": "present", "publishing": "live"},
        {"t": "seat", **seat(4, "Di", role="viewer")},
        {"t": "seat", **seat(5, "Ed", state="waiting")},
        {"t": "seat", "seat": 1, "state": "away"},
        {"t": "seat", "seat": 1, "state": "present"},
        {"t": "gone", "seat": 3, "why": "removed"},
        {"t": "gone", "seat": 5, "why": "denied"},
    )
    words = [said for one in room["said"] for said in one]
    assert words == [
        "Cy joins.",
        "Di watches.",
        "Ed asks to come in.",
        "Bo is away.",
        "Bo is back.",
        "Cy was taken out by the host.",
    ]
    assert (room["me"], room["others"], room["watchers"], room["waiting"]) == (2, [1], [4], [])
    assert not room["hosting"]


def test_who_speaks_is_shown_and_not_said():
    room = heard({"t": "speaking", "seats": [1], "loudest": 1})
    assert room["speaking"] == [1]
    assert room["said"][-1] == []


def test_a_welcome_after_a_lost_line_tells_what_has_changed_meanwhile():
    room = heard(WELCOME | {"seats": [seat(2, "Ana", muted=True, by="self"), seat(6, "Flo")]})
    assert room["said"] == [[], ["Flo is here.", "Bo has left."]]
    assert room["own"]["muted"]


def test_a_mute_by_the_host_is_told_to_whom_it_concerns_alone():
    mine = heard({"t": "seat", "seat": 2, "muted": True, "by": "host"}, {"t": "seat", "seat": 2, "muted": False})
    assert mine["said"][1:] == [["The host has muted you."], []]
    assert "by" not in mine["own"]
    assert heard({"t": "seat", "seat": 1, "muted": True, "by": "host"})["said"][-1] == []


def test_a_recording_is_told_at_each_step():
    room = heard({"t": "asking", "what": "recording", "by": 1}, {"t": "recording", "since": 12.5})
    assert room["said"][1:] == [["Bo wants to record this call."], ["This call is being recorded."]]
    assert (room["recording"], room["asking"]["recording"]) == (12.5, None)
    ended = heard({"t": "recording", "since": 1}, {"t": "recording", "since": None, "why": "Bo does not agree"})
    assert ended["said"][-1] == ["There is no recording: Bo does not agree."]
    assert heard({"t": "recording", "since": 1}, {"t": "recording", "since": None, "why": "asked to"})["said"][-1] == [
        "The recording has ended."
    ]


def test_going_out_is_told_at_each_step():
    out = {"t": "handover", "since": 12.5, "to": "sfu.example"}
    room = heard({"t": "asking", "what": "handover", "by": 1, "to": "sfu.example"}, out)
    assert room["said"][1:] == [
        ["Bo wants to send this call out to sfu.example."],
        ["This call goes out to sfu.example."],
    ]
    assert (room["handover"], room["asking"]["handover"]) == ({"since": 12.5, "to": "sfu.example"}, None)
    ended = heard(out, out | {"since": None, "why": "Bo does not agree"})
    assert ended["said"][-1] == ["This call does not go out: Bo does not agree."]
    assert heard(WELCOME | {"seats": SEATS, "handover": {"since": 1, "to": "sfu.example"}})["handover"]["since"] == 1


def test_how_one_seat_is_sent_to_this_page_is_its_own():
    narrow = {"as": "seat", "of": 1, "columns": 4, "rows": 2, "views": 8, "width": 768, "height": 384}
    room = heard({"t": "form", **narrow})
    assert (room["of"], room["form"]) == (narrow, WELCOME["form"])


def test_lack_of_room_is_told_and_taken_back():
    lost = {"t": "problem", "type": "urn:telequilt:problem:capacity-lost", "detail": "fewer views"}
    assert heard(lost)["strained"] == "Fewer views."
    assert heard(lost, lost | {"type": "urn:telequilt:problem:capacity-back", "detail": ""})["strained"] == ""


@pytest.mark.parametrize(
    ("more", "playback", "title"),
    [
        ({}, "live", None),
        ({"state": "away"}, "live", "Bo is coming back"),
        ({"state": "joining", "publishing": "none"}, "stopped", "Bo is coming in"),
        ({"camera": False}, "live", "Bo’s camera is off"),
        ({"publishing": "none"}, "stopped", "Bo is here"),
        ({"publishing": "stalled"}, "live", "Bo’s line is bad"),
        ({}, "lost", "Your line is bad"),
        ({}, "full", "The server is full"),
        ({}, "refused", "Bo cannot be shown"),
        ({}, "connecting", "Connecting to Bo"),
    ],
)
def test_every_state_of_a_seat_has_words(more, playback, title):
    said = node("call/words.js", "return it.ofSeat(one, playback);", one=seat(1, "Bo", **more), playback=playback)
    assert (said and said["title"]) == title


@pytest.mark.parametrize(
    ("code", "why", "title", "action"),
    [
        (1000, "left", "You have left the call", "again"),
        (4409, "replaced", "You are in this call in another window", "back"),
        (4409, None, "You are in this call in another window", "back"),
        (4403, "removed", "The host has taken you out", "home"),
        (4403, "denied", "You were not let in", "home"),
        (4403, "unanswered", "Nobody let you in", "again"),
        (4403, "lost", "You were away for too long", "again"),
        (4404, None, "There is no such call", "home"),
        (4401, None, "Your place has expired", "again"),
        (4410, "the host has ended it", "The call has ended", "home"),
        (4410, None, "The call has ended", "home"),
    ],
)
def test_every_way_out_has_words_and_says_what_to_do(code, why, title, action):
    bye = {"why": why} if why else None
    said = node("call/words.js", "return it.out(code, bye);", code=code, bye=bye)
    assert (said["title"], said["action"]) == (title, action)


def test_what_is_wrong_goes_before_what_has_just_happened():
    well = {"at": "call", "talk": "on", "publication": "live", "dark": False, "strained": ""}
    script = "return goings.map((going) => [...it.ofLine(going), it.ofBanner(going, 'Ana left.')]);"
    changes = [{}, {"talk": "lost"}, {"publication": "lost"}, {"dark": True}, {"strained": "busy"}, {"at": "green"}]
    told = node("call/status.js", script, goings=[well | change for change in changes])
    assert [line for _, line, _ in told] == [
        "In the call",
        "Getting the line back",
        "Sending you again",
        "In the call",
        "In the call, busy server",
        "Not in the call",
    ]
    assert [on for on, _, _ in told] == [True, False, False, True, True, False]
    assert [banner.split(".")[0] for _, _, banner in told[:4]] == [
        "Ana left",
        "The line to the server is lost",
        "The others do not see you just now",
        "Ana left",
    ]


@pytest.mark.parametrize(
    ("state", "why", "camera", "said"),
    [
        ("no-face", "", True, "No face is seen. Look at the camera."),
        ("too-far", "", True, "Your face is small in the picture. Come closer to the camera."),
        ("nothing-decoded", "no keyframe came", True, "Viewers see nothing of you: no keyframe came."),
        ("no-face", "", False, ""),
        ("live", "", True, ""),
    ],
)
def test_how_ones_own_picture_goes_is_said_while_the_camera_is_on(state, why, camera, said):
    going = {"at": "call", "talk": "on", "publication": "live", "dark": False, "strained": ""}
    going |= {"own": {"camera": camera}, "condition": {"state": state, "why": why}}
    assert node("call/status.js", "return it.ofBanner(going, '');", going=going) == said


def test_every_refusal_of_the_server_has_words():
    refusals = (PAGES.parents[1] / "docs" / "calls.md").read_text().split("## Refusals")[1].split("## ")[0]
    table = {kind for kind in refusals.split("`")[1::2] if "-" in kind and kind.islower()}
    shown_elsewhere = {
        "bad-parameter",
        "not-permitted",
        "consent-missing",
        "own-seat",
        "no-such-invitation",
        "not-live",
    }
    shown_elsewhere |= {"seat-replaced", "not-everybody-agrees", "already-recording", "already-handed-over"}
    shown_elsewhere.add("too-many-calls")
    kinds = sorted(kind for kind in table if kind not in shown_elsewhere and not kind.startswith("retry"))
    titles = node("call/words.js", "return kinds.map((kind) => it.notIn({ kind }).title);", kinds=kinds)
    unknown = [kind for kind, title in zip(kinds, titles, strict=True) if title == "You cannot join just now"]
    assert len(kinds) > 8
    assert unknown == []


def test_an_invitation_says_what_it_is_good_for():
    said = node(
        "call/words.js",
        "const now = new Date(2026, 10, 27, 12); return [3600, 86400, 604800].map((s) => it.goodFor(1, now / 1000 + s, now))"
        ".concat(it.goodFor(7, now / 1000 + 60, now));",
    )
    assert said[0].startswith("Lets in one person, until today")
    assert "until tomorrow" in said[1]
    assert "2026" in said[2]
    assert said[3].startswith("Lets in 7 people")


@pytest.mark.parametrize(
    ("count", "width", "height", "columns"),
    [(1, 1200, 700, 1), (2, 1200, 700, 2), (2, 380, 700, 1), (3, 1200, 400, 3), (4, 1000, 1000, 2), (7, 1400, 700, 4)],
)
def test_places_are_as_large_as_they_fit(count, width, height, columns):
    found = node("call/layout.js", "return it.largest(count, width, height);", count=count, width=width, height=height)
    rows = -(-count // columns)
    assert found["columns"] == columns
    assert found["side"] * columns + 14 * (columns - 1) <= width
    assert found["side"] * rows + 14 * (rows - 1) <= height


@pytest.mark.parametrize("size", [(1200, 620), (390, 700), (700, 300)])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_one_is_large_and_the_others_fit_beside_or_below(count, size):
    width, height = size
    given = {"count": count, "width": width, "height": height}
    found = node("call/layout.js", "return it.oneLarge(count, width, height);", **given)
    side, strip, others = found["side"], found["strip"], count - 1
    assert found["below"] == (height > width)
    assert side > strip > 0
    across, down = (
        ((strip * others + 14 * (others - 1)), side + 14 + strip) if found["below"] else (side + 14 + strip, side)
    )
    assert max(across, side) <= width
    assert max(down, 0 if found["below"] else strip * others + 14 * (others - 1)) <= height


SOCKETS = """
const sockets = [];
class Fake { constructor() { this.said = []; this.readyState = 1; sockets.push(this); }
  send(words) { this.said.push(JSON.parse(words)); } close() { this.readyState = 3; } }
const talk = new it.Talk("ws://x", "first", () => new Fake());
const states = [], overs = [], wait = (ms) => new Promise((done) => setTimeout(done, ms));
talk.addEventListener("state", () => states.push(talk.state));
talk.addEventListener("over", (event) => overs.push(event.detail));
const tell = (message) => sockets.at(-1).onmessage({ data: JSON.stringify(message) });
talk.start(false); sockets[0].onopen();
tell({ t: "welcome" }); tell({ t: "token", token: "second" });
"""


def test_a_socket_that_is_lost_comes_back_by_itself_with_the_newest_token():
    found = node(
        "call/talk.js",
        SOCKETS
        + """sockets[0].onclose({ code: 1006 }); await wait(600); sockets[1].onopen(); tell({ t: "welcome" });
        talk.say({ t: "set" }); talk.stop();
        return { hellos: sockets.map((one) => one.said[0]), states, count: sockets.length, last: sockets[1].said.at(-1), overs };""",
    )
    assert found["hellos"] == [
        {"t": "hello", "token": "first", "resume": False},
        {"t": "hello", "token": "second", "resume": True},
    ]
    assert found["states"] == ["on", "lost", "on", "over"]
    assert found["last"] == {"t": "set"}
    assert found["overs"] == []


@pytest.mark.parametrize("code", [1000, 4400, 4401, 4403, 4404, 4409, 4410])
def test_a_socket_that_was_told_to_stay_away_does(code):
    found = node(
        "call/talk.js",
        SOCKETS
        + """tell({ t: "bye", why: "replaced", again: "never" }); sockets[0].onclose({ code }); talk.hurry(); await wait(700);
        return { count: sockets.length, states, overs };""",
        code=code,
    )
    assert found["count"] == 1
    assert found["states"][-1] == "over"
    assert (found["overs"][0]["code"], found["overs"][0]["bye"]["why"]) == (code, "replaced")


def test_a_network_that_is_back_is_not_waited_for():
    found = node(
        "call/talk.js",
        SOCKETS
        + """for (let index = 0; index < 6; index += 1) { sockets.at(-1).onclose({ code: 1006 }); talk.hurry(); }
        const hurried = sockets.length; talk.stop(); await wait(300);
        return { hurried, after: sockets.length, pauses: [0, 1, 2, 5, 20].map(it.pause) };""",
    )
    assert found["hurried"] == found["after"] == 7
    assert found["pauses"] == [250, 500, 1000, 5000, 5000]


def test_a_level_is_empty_in_silence_and_full_at_full_scale():
    found = node("call/level.js", "return [0, 1e-3, 0.03, 1].map(it.fullness);")
    assert found[0] == 0
    assert found[-1] == 1
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("known", "here", "words", "offer"),
    [
        ({}, True, "Drawn on this device", "Send pictures instead"),
        ({"slow": 31}, False, "Sent as pictures: this device takes 31 ms to draw one", "Draw it here"),
        ({"slow": 31, "wish": "here"}, True, "Drawn on this device", "Send pictures instead"),
        ({"wish": "pictures"}, False, "Sent as pictures", "Draw it here"),
        ({"preview": True}, False, "Sent as pictures: drawn here it would be a preview", "Draw a preview here"),
        (
            {"preview": True, "wish": "here"},
            True,
            "A preview, drawn on this device: the server’s pictures are finer",
            "Send pictures instead",
        ),
        ({"refused": "operator"}, False, "Sent as pictures: the server’s operator keeps avatars there", "Draw it here"),
    ],
)
def test_by_which_way_it_comes_is_chosen_and_said(known, here, words, offer):
    script = "const way = Object.assign(new it.Choice(known.wish ?? 'auto'), known); return [way.here, way.words, way.offer];"
    assert node("geometry/choice.js", script, known=known) == [here, words, offer]


@pytest.mark.parametrize(
    ("drawn", "sent", "here", "apart"),
    [(1, 0, True, True), (3, 2, True, True), (3, 3, True, False), (0, 1, True, False), (3, 0, False, False)],
)
def test_a_tables_members_come_one_by_one_where_they_are_drawn_here(drawn, sent, here, apart):
    others = [seat(at, "Bo", geometry=True) for at in range(drawn)]
    others += [seat(at, "Cy") for at in range(sent)] + [seat(9, "Di", publishing="none") for _ in range(4)]
    assert node("call/ways.js", "return it.apart(others, here);", others=others, here=here) == apart


def test_each_way_has_a_session_of_its_own():
    places = [
        ("whep/C.2", True, True),
        ("whep/C.2", False, True),
        ("whep/C.2", False, False),
        ("whep/C.1?self=1", True, False),
    ]
    asked = node("call/ways.js", "return places.map((place) => it.pathOf(...place));", places=places)
    assert asked == ["whep/C.2?as=geometry", "whep/C.2?as=quilt&views=8", "whep/C.2", "whep/C.1?self=1&as=geometry"]


def test_those_at_a_tables_sides_are_turned_as_the_server_turns_them():
    tables = [seated(range(1, count + 1)) for count in range(1, 9)]
    script = "return forms.map((form) => form.seats.map(({ seat }) => it.turnOf(form, seat)));"
    turns = node("shared/seats.js", script, forms=[table_form(one) for one in tables])
    assert turns == [[place.turn for place in one.places] for one in tables]


KEEPS_TRYING = """
const { Problem } = await import(api);
const tries = [], video = {};
let timer = 0;
const again = new Promise((done) => {
  const playback = new it.Playback(video, async () => {
    tries.push(performance.now());
    if (tries.length > 1) done(playback);
    throw new Problem(status, "as it was said", { kind, retryAfter: 0.3 });
  });
  playback.start();
});
const playback = await Promise.race([again, new Promise((done) => (timer = setTimeout(() => done(null), waits)))]);
clearTimeout(timer);
const said = { state: playback?.state ?? "refused", apart: tries[1] - tries[0] };
playback?.stop();
return said;
"""


@pytest.mark.parametrize(
    ("status", "kind", "state"),
    [(503, "full", "full"), (429, "too-many-requests", "full"), (404, "no-such-channel", "waiting"), (401, "", None)],
)
def test_a_viewer_who_is_told_to_wait_waits_and_tries_again(status: int, kind: str, state: str | None):
    api = (PAGES / "shared" / "api.js").as_uri()
    waits = 20_000 if state else 1000
    said = node("shared/whep.js", KEEPS_TRYING, status=status, kind=kind, api=api, waits=waits)
    assert said["state"] == (state or "refused")
    if state:
        assert said["apart"] >= 290, "no sooner than it was told"

"""What the directory decides, over many orders of events."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from server.cluster.members import CLAIM_SECONDS, DEAD_SECONDS, Heard, Members, Report
from server.cluster.routing import HERE, Target, Way, target

AVATAR = "an-id_of-22-characters"


def report(node: str, *names: str, load: float = 0.0, welcome: bool = True, draining: bool = False) -> Report:
    return Report(node, f"http://{node}", names, load=load, welcome=welcome, draining=draining)


def placed(members: Members, name: str, asked: str, now: float, but: tuple[str, ...] = ()) -> str:
    """The node that is chosen; empty where none is."""
    chosen = members.place(name, asked, now, but)
    return chosen.node if chosen is not None else ""


def owned(members: Members, name: str, now: float) -> str:
    owner = members.owner(name, now)
    return owner.node if owner is not None else ""


def beat(members: Members, which: Report, known: int, now: float) -> Heard:
    heard = members.beat(which, known, now)
    assert heard is not None
    return heard


def three(now: float = 0.0) -> Members:
    members = Members(now)
    for node in "abc":
        members.join(report(node), (), now)
    return members


def test_a_name_goes_where_there_is_most_room_and_stays_there():
    members = three()
    members.beat(report("a", load=0.8), 0, 1.0)
    members.beat(report("b", load=0.5), 0, 1.0)
    assert placed(members, "room", "a", 1.0) == "c"
    assert placed(members, "room", "a", 1.1) == "c"
    members.beat(report("c", "room", load=0.9), 0, 1.5)
    assert owned(members, "room", 1.6) == "c"
    assert placed(members, "other", "a", 1.6) == "b"


def test_whoever_is_asked_keeps_a_caller_where_loads_are_alike_and_claims_count():
    members = three()
    assert placed(members, "one", "b", 0.0) == "b"
    assert placed(members, "two", "b", 0.0) == "a"
    assert placed(members, "three", "b", 0.0) == "c"


def test_a_claim_that_nobody_confirms_is_forgotten():
    members = three()
    assert placed(members, "room", "b", 0.0) == "b"
    assert owned(members, "room", 1.0) == "b"
    for now in range(1, int(CLAIM_SECONDS) + 2):
        for node in "abc":
            members.beat(report(node), 0, float(now))
    assert members.owner("room", CLAIM_SECONDS + 1) is None


def test_nobody_new_comes_to_who_is_emptied_or_full_and_none_is_said_where_none_has_room():
    members = three()
    assert members.drain("a", True, 0.0)
    assert not members.drain("nobody", True, 0.0)
    members.beat(report("b", welcome=False), 0, 0.0)
    assert placed(members, "room", "a", 0.0) == "c"
    assert placed(members, "room2", "a", 0.0, ("c",)) == ""
    assert beat(members, report("a"), 0, 0.1).draining
    members.drain("a", False, 0.1)
    assert placed(members, "room3", "a", 0.1, ("c",)) == "a"


def test_a_node_that_is_silent_is_gone_with_all_it_held():
    members = three()
    members.beat(report("a", "room"), 0, 0.0)
    for node in "bc":
        members.beat(report(node), 0, DEAD_SECONDS)
    assert members.owner("room", DEAD_SECONDS + 0.1) is None
    assert members.beat(report("a", "room"), 0, DEAD_SECONDS + 0.2) is None, "it has to join again"


def test_what_a_directory_forgot_the_nodes_bring_back():
    members = Members(100.0)
    assert members.beat(report("a", "room"), 3, 100.0) is None
    heard = members.join(report("a", "room", draining=True), ("x", "y"), 100.0)
    assert heard.forgotten == ("x", "y")
    assert heard.draining
    assert not heard.settled
    assert owned(members, "room", 100.1) == "a"
    assert members.join(report("b"), ("z",), 103.0).forgotten == ("x", "y", "z")
    assert beat(members, report("a", "room"), 2, 103.1).forgotten == ("z",)
    assert beat(members, report("a", "room"), 3, 103.2).settled


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["beat", "join", "leave", "place", "drain", "fill", "forget"]),
        st.sampled_from("abc"),
        st.lists(st.sampled_from(["r1", "r2", "r3"]), max_size=2, unique=True),
        st.floats(0, 2),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS)
def test_whatever_happens_a_name_has_one_owner_who_is_there(events):
    members, now, known = Members(0.0), 0.0, {}
    for kind, node, names, after in events:
        now += after
        match kind:
            case "beat":
                if (heard := members.beat(report(node, *names), known.get(node, 0), now)) is not None:
                    known[node] = known.get(node, 0) + len(heard.forgotten)
            case "join":
                known[node] = len(members.join(report(node, *names), (), now).forgotten)
            case "leave":
                members.leave(node)
            case "place":
                chosen = members.place(names[0] if names else "", node, now)
                there = {one.node: one for one in members.alive(now)}
                assert chosen is None or chosen.node in there
                if chosen is not None and names:
                    assert owned(members, names[0], now) == chosen.node
            case "drain" | "fill":
                members.drain(node, kind == "drain", now)
            case "forget":
                members.forget(f"avatar{now}")
        for name in ("r1", "r2", "r3"):
            holders = [one.node for one in members.alive(now) if name in one.names]
            owner = members.owner(name, now)
            if holders:
                assert owner is not None
                assert owner.node in holders
                assert owner == members.owner(name, now)


def test_each_route_has_its_way():
    for method, path, expected in (
        ("POST", "/whip/room", Target(Way.PLACE, "room")),
        ("POST", "/whip/abc.3", Target(Way.PLACE, "abc")),
        ("DELETE", "/whip/room/session", Target(Way.OWNER, "room")),
        ("POST", "/whep/abc.3", Target(Way.OWNER, "abc")),
        ("OPTIONS", "/whep/room", HERE),
        ("GET", "/api/channels", Target(Way.GATHER)),
        ("POST", "/api/channels/room/recording", Target(Way.OWNER, "room")),
        ("GET", "/api/recordings/x.mp4", Target(Way.SEEK)),
        ("POST", "/api/calls", Target(Way.PLACE)),
        ("GET", "/api/calls/abc/events", Target(Way.OWNER, "abc")),
        ("DELETE", f"/api/avatars/{AVATAR}", Target(Way.FORGET, AVATAR)),
        ("POST", f"/api/avatars/{AVATAR}/withdrawal", Target(Way.WITHDRAW, AVATAR)),
        ("DELETE", "/api/avatars/x", HERE),
        ("DELETE", "/api/avatars/..", HERE),
        ("DELETE", f"/api/avatars/{AVATAR}\n", HERE),
        ("POST", "/api/avatars/x?y/withdrawal", HERE),
        ("DELETE", "/api/avatars/sample", HERE),
        ("GET", "/api/avatars/x", HERE),
        ("GET", "/metrics", HERE),
        ("GET", "/view/room", HERE),
    ):
        assert target(method, path) == expected, path

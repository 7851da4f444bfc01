"""What goes wrong 46 times a second is counted 46 times and told once, then now and then how often."""

from __future__ import annotations

from typing import Any

from server.tally import Tally


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **facts: Any) -> None:
        self.lines.append((event, facts))


def test_each_is_counted_and_few_are_told():
    log, clock = Log(), [0.0]
    tally = Tally(log, every=60.0, now=lambda: clock[0], channel="room")
    for number in range(46 * 150):
        clock[0] = number / 46
        tally.count("broken", error="why")
    assert tally.counts == {"broken": 46 * 150}
    assert [facts.get("times") for _, facts in log.lines] == [None, 46 * 60, 46 * 60]
    assert log.lines[1] == (
        "broken",
        {"times": 2760, "seconds": 60, "in_all": 2761, "channel": "room", "error": "why"},
    )


def test_reasons_are_told_apart():
    log = Log()
    tally = Tally(log, now=lambda: 0.0)
    for reason in ["a", "b", "a", "b", "a"]:
        tally.count(reason)
    assert [event for event, _ in log.lines] == ["a", "b"]
    assert tally.counts == {"a": 3, "b": 2}

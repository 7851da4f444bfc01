"""Directory: the calls that there are, each by its id, and what goes on in all of them several times a second. Event loop only."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from display.screen import screen
from pipeline.clock import Percentiles, percentiles
from server import workers
from server.calls import events as of
from server.calls.conference import Conference
from server.calls.forms import seat_form
from server.calls.kept import Kept
from server.calls.memory import recalled
from server.calls.part import Part
from server.calls.rules import Call
from server.calls.tokens import Tokens, now
from server.channels.lobby import Lobby
from server.problems import Problem, busy
from server.settings import Settings
from server.tally import Tally

log = structlog.get_logger(__name__)

MOST_CALLS = 256
"At once. An empty one ends after five minutes."
LOOK_EVERY = 0.25
"Seconds."
MOST_FILMED = 64
"Calls that have ended whose films are known."
MOST_LATE = 240
"Looks of which it is known how late they were: a minute's."


class Calls:
    def __init__(
        self,
        settings: Settings,
        lobby: Lobby,
        tokens: Tokens,
        ice_servers: Callable[[str], list[dict[str, Any]]],
        parts: Sequence[Callable[[Conference], Part]] = (),
    ) -> None:
        """`parts`: what each call has besides its seats (conference.py)."""
        self._settings, self._lobby, self.tokens = settings, lobby, tokens
        self._ice_servers, self._parts = ice_servers, parts
        self.begun = now()
        "Calls that are older were another process's, and went with it."
        self.conferences: dict[str, Conference] = {}
        "Those that have not ended, by id."
        self.ended: Counter[str] = Counter()
        "Reason -> calls."
        self.filmed: dict[str, tuple[str, ...]] = {}
        "Calls that have ended lately -> the films of each, which whoever might record them may still have."
        self._rejoins = 0
        "Seats that were taken up again, in calls that have ended."
        self._late: deque[float] = deque(maxlen=MOST_LATE)
        self._told = Tally(log)
        self._kept = Kept(settings.data_dir)
        self._writing: asyncio.Task[None] | None = None
        self._going = asyncio.create_task(self._go())

    async def take_up_kept(self) -> None:
        """Go on with the calls that a process had which died a moment ago."""
        for name, memory in (await workers.slow(self._kept.read)).items():
            try:
                self.recall(name, memory)
            except (Problem, ValueError, TypeError, LookupError, AttributeError) as failure:
                log.warning("a call that was going on cannot be taken up again", cause=str(failure))

    def recall(self, name: str, memory: Mapping[str, Any]) -> Conference:
        """The call `name`, which went on elsewhere until whatever had it died; all who were there may come back.

        Raises Problem 503 where there is no room, ValueError, TypeError, LookupError where `memory` is none (memory.py).
        """
        if name in self.conferences:
            return self.conferences[name]
        rules, taken, invitations = recalled(memory, seat_form(screen(self._settings.screen)), time.monotonic())
        conference = self._conference(name, rules)
        try:
            conference.take_up(taken, invitations)
        except Problem:
            self.end(conference, "there is no room for it here")
            raise
        log.info("call taken up again", seats=len(taken))
        return conference

    def make(self, title: str, seats: int, form: str, approve: bool) -> Conference:
        """A call that nobody has come to yet. Raises Problem 503."""
        if len(self.conferences) >= MOST_CALLS:
            raise busy("too-many-calls", f"{MOST_CALLS} calls is this server's limit", 60, limit=MOST_CALLS)
        name = secrets.token_urlsafe(16)
        tiling = seat_form(screen(self._settings.screen))
        rules = Call(
            time.monotonic(), seats=seats, watchers=self._settings.max_viewers, title=title, form=form, approve=approve,
            tiling=tiling,
        )  # fmt: skip
        made = self._conference(name, rules)
        log.info("call made", seats=seats, form=form)
        return made

    def _conference(self, name: str, rules: Call) -> Conference:
        made = Conference(name, rules, self._lobby, self._settings, self.tokens, self._ice_servers, self._parts)
        self.conferences[name] = made
        return made

    def of(self, channel: str) -> Conference | None:
        """The call that the channel `channel` is of, its table's or a seat's."""
        return self.conferences.get(channel.partition(".")[0])

    def outlived(self, issued: float) -> bool:
        """Whether a token, or the call that it is of, is older than this process."""
        return issued < int(self.begun)

    def end(self, conference: Conference, why: str) -> None:
        if not conference.ended:
            conference.happen(of.Ended(why))
        self._see_off(conference, why)

    @property
    def rejoins(self) -> int:
        """How often a seat was taken up again."""
        return self._rejoins + sum(one.rules.rejoins for one in self.conferences.values())

    def lag(self) -> Percentiles:
        """Milliseconds by which the event loop was late, in the last minute."""
        return percentiles(self._late)

    async def close(self) -> None:
        self._going.cancel()
        await asyncio.gather(self._going, return_exceptions=True)
        for conference in list(self.conferences.values()):
            self.end(conference, "the server stops")
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        await self._keep()

    async def _go(self) -> None:
        while True:
            due = time.monotonic() + LOOK_EVERY
            await asyncio.sleep(LOOK_EVERY)
            self._late.append(max(0.0, time.monotonic() - due))
            for conference in list(self.conferences.values()):
                try:
                    conference.look_after()
                except Exception as failure:  # one call's trouble must not leave the others alone
                    self._told.count("a call could not be looked after", error=repr(failure))
                if conference.ended:
                    self._see_off(conference, conference.rules.why)
            if self._writing is None or self._writing.done():
                self._writing = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        """What goes on is known after this process has died."""
        now = {name: one.remembered() for name, one in self.conferences.items() if one.taken}
        if self._kept.knows(now):  # the usual case: no thread for it four times a second
            return
        try:
            await workers.slow(self._kept.write, now)
        except OSError as failure:
            self._told.count(
                "calls would not survive this process: what they are cannot be written", error=repr(failure)
            )

    def _see_off(self, conference: Conference, why: str) -> None:
        if self.conferences.pop(conference.name, None) is not None:
            self.ended[why] += 1
            self._rejoins += conference.rules.rejoins
            self._remember(conference)
            conference.let_go()
            log.info("call ended", reason=why)

    def _remember(self, conference: Conference) -> None:
        if conference.films.names:
            self.filmed[conference.name] = tuple(conference.films.names)
        while len(self.filmed) > MOST_FILMED:
            del self.filmed[next(iter(self.filmed))]

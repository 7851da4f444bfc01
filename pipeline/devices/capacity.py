"""Capacity: whether one more caller fits on these devices without anybody's picture growing old.

Decides without a thread and without a clock: no torch, asyncio, threading or time here.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.clock import UNKNOWN, Cost

FULL = 0.85
"Share of the time that a device may be taken up: above it frames begin to wait for each other."
ENOUGH_FRAMES = 25
"Watched frames until a caller's cost is believed: kernels compile and caches fill with the first ones."
PROCESSOR = "the processor"
"All CPU threads together, which share its cores."
WITHOUT_VIEWS = 0.16
"Of a whole quilt's work what is done however few views are rendered: finding the face, moving the avatar (relief, two cores)."
WHERE_DRAWN = 0.26
"Of a caller's work whose whole quilt is watched what is done where viewers draw it (relief, two cores: python -m benchmarks.drawn)."
QUILT_VIEWS = 24
"Of a whole quilt, while none was rendered that could tell."
REMEMBERED = 25
"Costs of an engine's callers whose median is what the next one is expected to cost."
MOST_OVERHEAD = 4.0
"What the process may do for every second of its devices' threads: what is more than that is not the callers' doing."
LEAST_TO_TELL, SLOWLY = 0.1, 0.1
"Cores that threads must be busy with before what else the process does says anything; how far each look moves the estimate."


@dataclass(frozen=True)
class Load:
    """One caller."""

    engine: str
    cost: Cost
    "As measured while somebody watched."
    fps: float = 0.0
    "Frames a second that it has now."
    whole: bool = False
    "All its detail is made, whatever else has to go."
    views: int = 0
    "Those that are rendered of it at most, where a form with fewer is kept; 0: all of a quilt."
    drawn: bool = False
    "All who watch draw the avatar themselves: no view is rendered."
    rendered: bool = False
    "Views are about to be rendered of it, whatever was done so far."


@dataclass(frozen=True)
class Estimate:
    """How busy every device would be."""

    utilisation: dict[str, float]
    "Device -> share of the time, 1 being all of it, where all detail is made."
    limit: float
    room: float = 1.0
    "The share of their work that fits of those whose detail may be taken; 0 where not even the others' fits."

    @property
    def fits(self) -> bool:
        return max(self.utilisation.values(), default=0.0) <= self.limit

    @property
    def fullest(self) -> str:
        """The devices that would have too much to do, for people: 'cuda:0 at 120%, cpu:1 at 90%'."""
        beyond = sorted(
            ((share, device) for device, share in self.utilisation.items() if share > self.limit), reverse=True
        )
        return ", ".join(f"{device} at {share:.0%}" for share, device in beyond)


class Capacity:
    """Remembers what callers of each engine cost, so that those nobody watches yet are counted too."""

    def __init__(self, frames_per_second: float, cores: int, limit: float = FULL, alike: bool = True) -> None:
        """`alike`: whoever will watch those whom nobody watches yet is reckoned to do as other viewers do here, drawing or having
        quilts sent; that is right on the average, so somebody has to make do with less where it was not. Otherwise: to want quilts."""
        self._rate, self._cores, self._limit, self._alike = frames_per_second, cores, limit, alike
        self._lately: dict[str, deque[Cost]] = {}
        self._overheads = {True: 1.0, False: 1.0}
        "Of callers for whom views are rendered, and of those for whom none are: their packets and pictures weigh more beside less work."

    def with_another(self, live: Sequence[Load], engine: str, views: int = 0) -> Estimate:
        """The devices with all of `live` and one more caller of `engine`, of so many views (0: all), everybody watched and at
        the full frame rate.

        The first caller is always let in: nothing is known of what has never run, and with nobody else there is nobody
        to protect.
        """
        estimate = self.now([*live, Load(engine, UNKNOWN, views=views)])
        return estimate if live else replace(estimate, utilisation={}, room=1.0)

    def now(self, live: Sequence[Load]) -> Estimate:
        """The devices with all of `live`, everybody watched and at the full frame rate."""
        for load in live:
            self._learn(load)
        utilisation, fixed = self._sum(live), self._sum([load for load in live if load.whole])
        rooms = [
            (self._limit - fixed.get(device, 0.0)) / (share - fixed.get(device, 0.0))
            for device, share in utilisation.items()
            if share > fixed.get(device, 0.0)
        ]
        room = max(0.0, min([1.0, *rooms])) if all(share <= self._limit for share in fixed.values()) else 0.0
        return Estimate({device: round(share, 3) for device, share in utilisation.items()}, self._limit, room)

    def _sum(self, live: Sequence[Load]) -> dict[str, float]:
        """Device -> share of the time that it works for `live`."""
        utilisation: defaultdict[str, float] = defaultdict(float)
        processor = 0.0
        for load in self._foreseen(live):
            cost = self._of(load)
            for device, seconds in cost.busy.items():
                utilisation[device] += seconds * self._rate
            processor += _threads(cost) * self._rate * self._overheads[cost.views > 0]
        if processor:
            utilisation[PROCESSOR] = processor / self._cores
        return dict(utilisation)

    def _foreseen(self, live: Sequence[Load]) -> list[Load]:
        """`live` with what those will probably be whom nobody has watched: as many views as others of their engine have on the average."""
        if not self._alike:
            return list(live)
        seen: defaultdict[str, list[bool]] = defaultdict(list)
        for load in live:
            if load.drawn or load.cost.views:
                seen[load.engine].append(not load.drawn)
        return [load if load.rendered else self._as_others(load, seen[load.engine]) for load in live]

    def _as_others(self, load: Load, rendered: Sequence[bool]) -> Load:
        """`rendered`: of each other caller of its engine who is watched, whether views are."""
        if load.drawn or load.cost.views or all(rendered):
            return load
        most = self._usual(load.engine).views
        views = round(min(load.views or most, most) * sum(rendered) / len(rendered))
        return replace(load, views=views, drawn=views == 0)

    def measured(self, live: Sequence[Load], cores: float) -> None:
        """Lately this process has kept so many cores busy, with `live`.

        What that is more than its devices' threads account for goes with every caller: threads inside an engine's and an
        encoder's calls, packets, decoding.
        """
        known = [load for load in live if _threads(load.cost)]
        threads = sum(_threads(load.cost) * load.fps for load in known)
        kinds = {load.cost.views > 0 for load in known}
        if threads > LEAST_TO_TELL and len(kinds) == 1:  # of both at once, whose it is cannot be told
            (rendered,) = kinds
            before = self._overheads[rendered]
            self._overheads[rendered] += SLOWLY * (min(max(1.0, cores / threads), MOST_OVERHEAD) - before)

    def _learn(self, load: Load) -> None:
        """What a caller costs whose whole quilt is watched."""
        if load.cost.frames < ENOUGH_FRAMES:
            return
        lately = self._lately.setdefault(load.engine, deque(maxlen=REMEMBERED))
        if lately and lately[-1].views < load.cost.views:
            lately.clear()
        if not lately or (load.cost.views == lately[-1].views and load.cost not in lately):
            lately.append(load.cost)

    def _usual(self, engine: str) -> Cost:
        """The median of late: neither a bad moment nor the best one ever is what the next caller costs."""
        lately = sorted(self._lately.get(engine, ()), key=lambda cost: sum(cost.busy.values()))
        return lately[len(lately) // 2] if lately else UNKNOWN

    def _of(self, load: Load) -> Cost:
        """What this caller costs now; where too little of it is watched to know, what is usual."""
        usual = self._usual(load.engine)
        if load.rendered and not usual.views and usual.frames:
            whole = {device: seconds / WHERE_DRAWN for device, seconds in usual.busy.items()}
            usual = Cost(whole, QUILT_VIEWS, usual.frames)
        most = 0 if load.drawn else min(load.views or usual.views, usual.views)
        known = load.cost.frames >= ENOUGH_FRAMES and load.cost.views >= most
        return load.cost if known else _with(usual, most)


def _with(usual: Cost, views: int) -> Cost:
    """What fewer views would cost of what `usual` does."""
    if views >= usual.views:
        return usual
    share = WITHOUT_VIEWS + (1 - WITHOUT_VIEWS) * views / usual.views
    return Cost({device: share * seconds for device, seconds in usual.busy.items()}, views, usual.frames)


def _threads(cost: Cost) -> float:
    """Seconds of a frame that CPU threads work."""
    return sum(seconds for device, seconds in cost.busy.items() if _is_thread(device))


def _is_thread(device: str) -> bool:
    return device.startswith("cpu")

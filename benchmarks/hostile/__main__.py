"""Hostile: what a server makes of clients that mean no good, kind by kind, and what an innocent call beside them notices.

    python -m benchmarks.hostile

Every case comes from `--seed`. What must not be: a 500 or no answer at all, an error or a traceback in the server's log, an innocent
call that ends, and anything that is left behind. Fails where one of them was.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.hostile.gauntlet import Attack, Gauntlet
from benchmarks.hostile.victim import Victim, attacked
from benchmarks.lib.harness import RESULTS, write

ROOM = {"rss_mib": (1.05, 40.0), "threads": (1.0, 34.0), "handles": (1.0, 6.0), "children": (1.0, 0.0)}
"""By which factor, and by how many, what is there at the end may exceed what was there after all had been tried a little. Threads: the
pools of server/workers.py fill by and by, up to 32 and one a core; what leaks one, leaks it with each of hundreds of cases."""
WARM = 0.04
"Of the cases, before anything is counted."
WARM_OFFERS = 300
"""Published, before anything is counted. Half of them make a channel, and the allocator's arenas take that long to be as large as they
will be: 944, 1011, 1053, 1072, 1081 MiB after each hundred, with threads and handles as before (e7dd57e)."""


async def run(seed: int, scale: float, only: str) -> dict[str, Any]:
    """All that was tried, and what it came to."""
    gc.collect()
    gc.freeze()  # of this process, in which the innocent viewer is: 0.2 s in which it would see nothing
    with tempfile.TemporaryDirectory() as folder:
        async with attacked(Path(folder)) as victim:
            gauntlet = Gauntlet(victim, seed)
            if not _chosen(gauntlet.attacks(scale), only):
                names = ", ".join(one.name for one in gauntlet.attacks(scale))
                raise typer.BadParameter(f"no kind is called {only!r}; kinds are {names}")
            await gauntlet.begin()
            warming = _chosen(gauntlet.attacks(WARM), only)
            for one in warming:
                one.cases = WARM_OFFERS if one.name == "offers, published" else one.cases
            await gauntlet.all(warming, Path(folder))  # whatever is loaded once, is
            before, attacks = victim.vitals(), _chosen(gauntlet.attacks(scale), only)
            await gauntlet.all(attacks, Path(folder))
            return _facts(victim, attacks, before, victim.vitals())


def _chosen(attacks: list[Attack], only: str) -> list[Attack]:
    return [one for one in attacks if any(word.strip() in one.name for word in only.split(","))]


def _facts(victim: Victim, attacks: list[Attack], before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
    faults = {one.name: one.tried.faults for one in attacks if one.tried.faults}
    grew = {
        name: (before[name], after[name])
        for name, (factor, more) in ROOM.items()
        if after[name] > before[name] * factor + more
    }
    return {
        "cases": sum(one.tried.cases for one in attacks),
        "packets": sum(one.tried.packets for one in attacks),
        "kinds": {
            one.name: {
                "cases": one.tried.cases,
                "packets": one.tried.packets,
                "outcomes": dict(sorted(one.tried.outcomes.items())),
                "seconds": one.seconds,
                "innocent_pause_s": one.pause,
            }
            for one in attacks
        },
        "before": before,
        "after": after,
        "faults": faults,
        "log_errors": victim.errors(),
        "innocent": {"pictures": len(victim.pictures), "sent_away": victim.left},
        "held": not (faults or grew or victim.errors() or victim.left),
        "grew": grew,
    }


def main(
    seed: Annotated[int, typer.Option(help="What every case comes from.")] = 17,
    scale: Annotated[float, typer.Option(help="How many of the cases, 1 for all of them.")] = 1.0,
    only: Annotated[str, typer.Option(help="Kinds whose names hold this, or one of these, with commas between.")] = "",
    out: Annotated[Path, typer.Option(help="Where the result is written.")] = RESULTS,
) -> None:
    """Attack a server of its own, and say what became of it."""
    found = asyncio.run(run(seed, scale, only))
    path = write("hostile", {"seed": seed} | found, out)
    print(f"the innocent viewer saw {found['innocent']}")
    table = Table("kind", "cases", "packets", "outcomes", "s", "pause")
    for name, row in found["kinds"].items():
        table.add_row(
            name,
            str(row["cases"]),
            str(row["packets"]),
            str(row["outcomes"])[1:-1],
            str(row["seconds"]),
            str(row["innocent_pause_s"]),
        )
    Console(width=140).print(table)
    print(
        f"{found['cases']} cases, {found['packets']} packets; before {found['before']}, after {found['after']}; written to {path}"
    )
    for name in ("faults", "log_errors", "grew"):
        for line in found[name] if isinstance(found[name], list) else found[name].items():
            print(f"{name}: {line}")
    if not found["held"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)

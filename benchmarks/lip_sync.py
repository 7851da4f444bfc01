"""Lip sync: how far sound and picture are apart for a viewer, counted from their capture; sound passed on at once, and held back.

    python -m benchmarks.lip_sync

    python -m benchmarks.lip_sync --peers chromium --ages 0:40,20:170,40:40

    python -m benchmarks.lip_sync --through http://127.0.0.1:8080

Every camera picture carries its number, which the server draws into the quilt made from it, and the sound carries its time, a
tone that climbs. Caller and viewer are aiortc's, which tells when packets arrive, or one page of a headless Chromium, which
tells what is seen and played. A page hears sound before the sound card does, and sees pictures by the screen's clock: by how much
what it measures differs from the browser's own account is found within the page, without any server, and subtracted. The offset
is positive where sound is late. Each run has the server in a process of its own.
"""

from __future__ import annotations

import asyncio
import os
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.glass_to_glass import PUPPET_FRAMES, witnessed_server
from benchmarks.lib.harness import RESULTS, write
from benchmarks.live import lips_aiortc, lips_chromium
from benchmarks.live.lossy import Links, Narrow
from benchmarks.live.offsets import MEDIAN, SLEWING, summary

CONTROL_SECONDS = 15.0


class Peers(StrEnum):
    AIORTC = "aiortc"
    CHROMIUM = "chromium"


def main(
    seconds: Annotated[
        float, typer.Option(min=6, help="Length of each run, from the viewer's first picture on.")
    ] = 60.0,
    peers: Annotated[Peers, typer.Option(help="Who calls and who views.")] = Peers.AIORTC,
    stand_in: Annotated[bool, typer.Option(help="An engine that costs nothing, for times that are scripted.")] = False,
    loss: Annotated[float, typer.Option(min=0, max=0.5, help="Share of the viewer's datagrams that get lost.")] = 0.0,
    jitter: Annotated[float, typer.Option(min=0, max=0.2, help="Seconds by which the others are late, at most.")] = 0.0,
    narrow: Annotated[str, typer.Option(help="10:5 is a link that carries 5 Mbit/s from the tenth second on.")] = "",
    ages: Annotated[str, typer.Option(help="How old pictures are: 0:40,20:170 is 40 ms, and 170 from 20 s on.")] = "",
    through: Annotated[
        str, typer.Option(help="Address of an SFU on this machine that takes /whip/NAME and gives /whep/NAME.")
    ] = "",
    screen: Annotated[str, typer.Option(help="Whose quilt.")] = "telequilt",
    port: Annotated[int, typer.Option(help="Where the server listens meanwhile.")] = 8767,
    before: Annotated[bool, typer.Option(help="Measure sound that is passed on at once, too.")] = True,
    out: Annotated[Path, typer.Option(help="Folder for the JSON and the picture.")] = RESULTS,
) -> None:
    """Measure how far sound and picture are apart for a viewer of a live call on this machine."""
    from pipeline.puppet import Puppet

    console = Console()
    with console.status("drawing what the camera sees"):
        pictures = [frame.pixels for frame in islice(Puppet().frames(), PUPPET_FRAMES)]
    lossy = loss > 0 or jitter > 0 or bool(narrow)
    if lossy and peers is not Peers.CHROMIUM:
        raise typer.BadParameter("--loss, --jitter and --narrow go with --peers chromium, which conceals and corrects")
    if through and peers is not Peers.AIORTC:
        raise typer.BadParameter("--through goes with --peers aiortc")
    os.environ |= {"TELEQUILT_HANDOVER_HOSTS": "127.0.0.0/8"} if through else {}
    becomes = (
        Narrow(*(float(one) * unit for one, unit in zip(narrow.split(":"), (1, 1e6), strict=True))) if narrow else None
    )
    links = Links(loss, jitter, from_server=True, narrow=becomes) if lossy else None
    measure = {
        Peers.AIORTC: lambda: asyncio.run(lips_aiortc.call(port, pictures, seconds, through)),
        Peers.CHROMIUM: partial(lips_chromium.call, port, pictures, seconds, CONTROL_SECONDS, links),
    }[peers]
    runs: dict[str, dict[str, Any]] = {}
    for name, more in {**({"at once": ["--at-once"]} if before else {}), "held back": []}.items():
        options = [
            *more,
            *(["--links"] if narrow else []),
            *(["--stand-in"] if stand_in else []),
            *([f"--ages={ages}"] if ages else []),
        ]
        with (
            console.status(f"sound {name}: {seconds:g} s"),
            witnessed_server(port, "cpu", screen, more=options),
        ):
            run = measure()
        rounded = {key: [round(float(one), 2) for one in run[key]] for key in ("at_s", "offsets_ms")}
        runs[name] = summary(run["at_s"], run["offsets_ms"]) | run | rounded
    console.print(_table(runs, peers))
    kinds = {"sfu": through, "scripted": ages, "narrow": narrow, "lossy": lossy and not narrow}
    name = "_".join(["lip_sync", peers, *(kind for kind, asked in kinds.items() if asked)])
    facts = {"seconds": seconds, "ages": ages, "loss": loss, "jitter_s": jitter, "narrow": narrow, "runs": runs}
    if links is not None:
        links.close()
        facts["datagrams"] = [{"carried": one.carried, "lost": one.lost} for one in links.links]
    path = write(name, facts, out)
    _picture(runs, ages, path.with_suffix(".png"))
    console.print(f"{path}\n{path.with_suffix('.png')}")


def _table(runs: dict[str, dict[str, Any]], peers: Peers) -> Table:
    table = Table(title=f"sound minus picture at the viewer ({peers}), ms, from the third second on")
    columns = ("median_ms", "p2.5_ms", "p97.5_ms", "least_ms", "most_ms", "first_second_within")
    for heading in ("sound", *columns, "picture's age", "longest gap"):
        table.add_column(heading, justify="right")
    for name, run in runs.items():
        cells = [run.get(column) for column in columns] + [run["picture_age_ms"], run["gaps"]["longest_ms"]]
        table.add_row(name, *map(str, cells))
    return table


def _picture(runs: dict[str, dict[str, Any]], ages: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(11, 3.8), layout="constrained")
    axis.axhspan(*SLEWING, color="0.95")
    axis.axhspan(*MEDIAN, color="#cfe8d5")
    for (name, run), colour in zip(runs.items(), ("#d55e00", "#0072b2"), strict=False):
        axis.plot(run["at_s"], run["offsets_ms"], ".-", ms=3, lw=0.8, color=colour, label=f"sound {name}")
    for step in ages.split(",")[1:]:
        axis.axvline(float(step.partition(":")[0]), color="0.6", lw=0.8, ls=":")
    axis.axhline(0, color="0.5", lw=0.6)
    axis.set(xlabel="seconds since the viewer's first picture", ylabel="sound later than picture, ms", xlim=(0, None))
    axis.set_title("light: acceptable (ITU-R BT.1359-1); green: not noticed (ATSC IS-191)", fontsize=9)
    axis.legend(frameon=False, loc="lower right")
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    typer.run(main)

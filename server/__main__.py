"""The command line: `python -m server serve`, `render`, `show` and so on, also installed as `telequilt`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Literal

import typer

from display.screen import screen as named
from engines.runtime import UnknownRuntime
from server.commands import (
    avatars,
    bridge,
    call,
    cluster,
    consent,
    distil,
    engines,
    fit,
    restyle,
    show,
    signing,
    terminal,
    train,
    verify,
    weights,
)
from server.commands.options import Precision, Runtime, SyntheticWeights, TokenFile, engine_options, token_of
from server.commands.serve import serve

LEFT_BEHIND = ("stage-", "recording ")
"""Threads of devices and of films, which closing waits for and leaves behind where their device or disk does not answer. The
interpreter, as it ends, would tear them out of native code, and C++ ends the process for that with SIGABRT."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Telequilt: a webcam in, a 24-view hologram of a one-photo 3D avatar out.",
)
app.command()(serve)


_Screen = Annotated[
    str,
    typer.Option(
        help="Whose quilt: ours, a Looking Glass by its preset's name, or 'attached': as the one asks that is attached here."
    ),
]
_Fill = Annotated[
    str | None,
    typer.Option(
        help="Repeat views until they fill this grid, e.g. 8x6, for a program that insists on one.",
        show_default="as many as the screen has",
    ),
]
_Focus = Annotated[
    float, typer.Option(min=-0.2, max=0.2, help="Moves the head out of the glass or into it, in tile widths.")
]

_Expression = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="How much of the photo's own expression the avatar keeps: 0 neutral, 1 as in the photo.",
        show_default="0",
    ),
]


_Also = Annotated[
    list[Path] | None,
    typer.Option(
        help="A further photo of the same person, the head turned 20 to 40 degrees to a side; twice at most. Relief's sides are made of it."
    ),
]


@app.command()
def render(
    portrait: Annotated[
        Path, typer.Option(help="The photo that becomes the avatar, or the zip of one that was made elsewhere.")
    ],
    driver: Annotated[Path, typer.Option(help="The video whose face moves it.")],
    out: Annotated[Path, typer.Option(help="Where to write the film; the tiling is added to its name if missing.")],
    engine: Annotated[
        str | None, typer.Option(help="Which engine; `doctor` lists them.", show_default="relief, and splats for a zip")
    ] = None,
    screen: _Screen = "telequilt",
    view: Annotated[int | None, typer.Option(help="Only this view, as an ordinary 512-pixel video.")] = None,
    fill: _Fill = None,
    focus: _Focus = 0.0,
    depth: Annotated[float, typer.Option(min=0.1, max=2, help="Less than 1 is flatter, more is deeper.")] = 1.0,
    expression: _Expression = None,
    also: _Also = None,
    mark: Annotated[bool, typer.Option(help="The visible 'AI avatar' mark in every view.")] = True,
    consent: Annotated[
        Literal["me", "consenting", "synthetic", "unstated"],
        typer.Option(
            help="Whose face it is: mine, someone's who agreed, nobody's. The film states it (docs/trust.md)."
        ),
    ] = "unstated",
    synthetic_weights: SyntheticWeights = False,
    runtime: Runtime = None,
    precision: Precision = None,
) -> None:
    """Render a film: a photo, driven by the face in a video, as a quilt for a Looking Glass (with the video's sound).

    python -m server render --portrait me.jpg --driver talk.mp4 --out me_qs6x4a1.mp4

    python -m server render --portrait me.zip --driver talk.mp4 --out me_qs6x4a1.mp4     a head of Gaussians
    """
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from server.commands import render as offline
    from server.provenance.consents import MARK_OFF, Consents
    from server.provenance.credentials import Signer

    if view is not None and (fill or focus):
        raise typer.BadParameter("--fill and --focus are for quilts: leave --view out")
    settings = terminal.settings_of({})
    with _explained(), terminal.progress(MofNCompleteColumn(), TimeRemainingColumn()) as told:
        result = offline.render(
            portrait,
            driver,
            out,
            offline.chosen_screen(screen, view, focus=focus, depth=depth),
            engine,
            options=engine_options(runtime=runtime, precision=precision, synthetic_weights=synthetic_weights),
            fill=offline.grid(fill) if fill else None,
            marked=mark,
            consent=consent,
            signer=Signer(settings.keys, settings.timestamp_authority),
            expression=expression,
            also=also or (),
            progress=told,
        )
    if not mark:
        Consents(settings.provenance_dir).add(MARK_OFF, by="render --no-mark")
    typer.echo(
        f"{result.out}: {result.frames} frames in {result.seconds:.1f} s ({result.frames / result.seconds:.1f} fps)"
    )
    if result.licence:
        typer.echo(f"licence: {result.licence}")
    if result.unsigned:
        typer.echo(f"it carries no content credentials: {result.unsigned}", err=True)
    if result.unseen:
        typer.echo(f"no face was seen in {result.unseen} of them; the avatar rests there")


@app.command()
def puppet(
    channel: Annotated[str, typer.Option(help="Which channel it plays in.")] = "puppet",
    call: Annotated[
        str | None, typer.Option(help="A link to a call, in quotes: it sits there instead, moves and speaks.")
    ] = None,
    name: Annotated[str, typer.Option(help="What it is called in a call.")] = "Puppet",
    server: Annotated[str, typer.Option(help="A running Telequilt.")] = "http://127.0.0.1:8000",
    avatar: Annotated[str, typer.Option(help="Which avatar it drives.")] = "sample",
    token_file: TokenFile = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="How long; until Ctrl-C if not given.")] = None,
) -> None:
    """Play a scripted face into a channel: a caller for when there is no camera.

    Start `serve` first; then open the address that this prints.

    python -m server puppet --call 'http://.../call/ID#t=...'    a member of a call, which `call make` prints links to
    """
    import asyncio

    from server.commands.attendance import Link
    from server.commands.puppet import join, play

    with _explained():
        if call is not None:
            asyncio.run(join(Link.read(call), name, avatar, seconds, typer.echo))
            return
        asyncio.run(
            play(
                server,
                channel,
                avatar,
                token_of(token_file),
                seconds,
                lambda where: typer.echo(f"\n  Watch at {where}\n"),
            )
        )


@app.command()
def mesh(
    portrait: Annotated[Path, typer.Option(help="The photo that becomes the avatar.")],
    out: Annotated[Path, typer.Option(help="Where to write the mesh: .glb or .ply.")],
    engine: Annotated[
        str,
        typer.Option(
            help="relief (GLB with 52 facial actions), or an engine that holds a volume (voodoo3d, parametric) or a mesh (rome)."
        ),
    ] = "relief",
    driver: Annotated[Path | None, typer.Option(help="A photo whose expression it takes on.")] = None,
    side: Annotated[int, typer.Option(min=16, max=512, help="Points along each side of a volume.")] = 256,
    expression: _Expression = None,
    also: _Also = None,
    synthetic_weights: SyntheticWeights = False,
    runtime: Runtime = None,
    precision: Precision = None,
) -> None:
    """Write an avatar's head as a mesh with colours.

    python -m server mesh --portrait me.jpg --out head.glb

    An engine with networks wants its weights first: python -m server weights list
    """
    from rich.progress import TaskProgressColumn

    from server.commands.mesh import sculpt

    with _explained(), terminal.progress(TaskProgressColumn()) as told:
        options = engine_options(runtime=runtime, precision=precision, synthetic_weights=synthetic_weights)
        made = sculpt(
            portrait, out, engine, driver, side, expression=expression, also=also or (), options=options, progress=told
        )
    typer.echo(f"{made.out}: {made.vertices} points, {made.faces} triangles")


app.command()(show.show)
app.command()(verify.verify)
app.command()(train.train)
app.command()(fit.fit)
app.command()(fit.interpolate)
app.command()(fit.transfer)
app.command()(distil.distil)
app.command()(restyle.restyle)
app.add_typer(avatars.app, name="avatars")
app.add_typer(call.app, name="call")
app.add_typer(cluster.app, name="cluster")
app.add_typer(consent.app, name="consent")
app.add_typer(signing.app, name="signing")
app.add_typer(weights.app, name="weights")
app.add_typer(engines.app, name="engines")
app.add_typer(bridge.app, name="bridge")


@app.command()
def doctor(
    cluster: Annotated[bool, typer.Option("--cluster", help="The cluster too that this machine is part of.")] = False,
) -> None:
    """What this machine has and lacks, each lack with what mends it. Ends with 1 if something must be mended."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from server.commands.doctor import Health, examine

    with Console(stderr=True).status("looking"):
        findings = examine(terminal.settings_of({}), cluster)
    table = Table("", "what", "found", "what mends it", show_edge=False, box=None, pad_edge=False)
    sign = {Health.FINE: "[green]✓[/]", Health.SLOWER: "[yellow]![/]", Health.LACKING: "[red]✗[/]"}
    for finding in findings:
        table.add_row(sign[finding.health], finding.what, Text(finding.detail), Text(finding.mend, "bold"))
    terminal.console(highlight=False).print(table)
    raise typer.Exit(int(any(finding.health is Health.LACKING for finding in findings)))


@app.command()
def placement(
    choice: Annotated[
        str | None, typer.Option("--placement", help="cpu, one-gpu, paper, a .json file, or auto.", show_default="auto")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Only this engine.", show_default="all")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as a file that --placement takes.")] = False,
) -> None:
    """Show which stage of which engine would run on which device of this machine, and why. Starts nothing.

    python -m server placement --engine voodoo3d --json > mine.json
    """
    from engines import catalogue
    from pipeline.devices import gpus, planner
    from server.commands.placement import shown

    if as_json and engine is None:
        raise typer.BadParameter("--json writes one placement: name its --engine")
    settings = terminal.settings_of({"placement": choice} if choice else {})
    views, devices = named(settings.screen).views, gpus.present()
    with _explained():
        if as_json and engine is not None:
            needs = catalogue.abilities(engine).footprint
            typer.echo(planner.chosen(settings.placement, devices, engine, needs, views).placement.as_json())
            return
        for part in shown(settings.placement, devices, [engine] if engine else catalogue.names(), views):
            terminal.console(highlight=False).print(part)


def _explained() -> AbstractContextManager[None]:
    from display.calibration import CalibrationRejected
    from display.screen import UnknownScreen
    from engines.contract import AvatarRefused, PortraitRejected, UnknownEngine, WeightsMissing
    from engines.mesh import MeshingMissing
    from pipeline.devices.planner import PlacementImpossible
    from server.commands.attendance import LinkUnreadable
    from server.commands.quilt_film import OutputRefused
    from server.displays.glass import GlassMissing
    from server.media.clips import ClipUnreadable
    from server.media.portraits import PortraitUnreadable
    from server.webrtc.client import Refused, Unreachable

    return terminal.explained(
        *(PortraitRejected, PortraitUnreadable, AvatarRefused, ClipUnreadable, OutputRefused, LinkUnreadable),
        *(UnknownScreen, UnknownEngine, WeightsMissing, Refused, Unreachable, FileNotFoundError),
        *(MeshingMissing, CalibrationRejected, GlassMissing, PlacementImpossible, UnknownRuntime),
    )


def main() -> None:
    try:
        app()
    except SystemExit as ended:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is closed; libraries' own ends are not to be broken off
        if any(thread.name.startswith(LEFT_BEHIND) for thread in threading.enumerate()):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        raise


if __name__ == "__main__":
    main()

"""Witnessed server: the real server, except that a number drawn into the caller's picture is drawn into the quilt made
from it. That number is how glass_to_glass knows which capture a shown picture came from.

    python -m benchmarks.live.witnessed_server --port 8001
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import psutil
import typer
import uvicorn

from benchmarks.live import barcode, faults
from benchmarks.simulation.simulation import Blank
from engines.catalogue import DEFAULT
from engines.contract import FaceObservation
from pipeline import puppet
from pipeline.frame import Frame
from pipeline.session import Observer as Observing
from pipeline.session import Session
from pipeline.stages import Picture
from server import connections, workers
from server.app import create_app
from server.channels import channel, sending
from server.channels.services import Services, open_services
from server.media import present, stream
from server.media.delay import Delay
from server.media.encode import AccessUnit, Form
from server.settings import Settings

POOLS = ("live", "slow", "asyncio", "AnyIO")
"Names of threads that stay, up to so many, once there was work for them (server/workers.py, FastAPI)."


class _Witness:
    """Reads the number of each frame as it is observed, and remembers it until its picture is shown."""

    def __init__(self, observer: Observing) -> None:
        self._observer = observer
        self._numbers: dict[int, int] = {}

    def observe(self, frame: Frame) -> FaceObservation:
        if faults.raising and faults.is_red(frame.pixels):
            raise RuntimeError(faults.FAILS)
        number = barcode.read_scaled(frame.pixels[: barcode.HEIGHT, :, 1], puppet.WIDTH)
        if number is not None:
            self._numbers[frame.sequence] = number
        return self._observer.observe(frame)

    def close(self) -> None:
        self._observer.close()

    def draw_on(self, picture: Picture) -> None:
        number = self._numbers.get(picture.sequence)
        if number is not None:
            barcode.draw(picture.yuv, number)
        self._numbers = {seen: n for seen, n in self._numbers.items() if seen > picture.sequence - 8}


class _Ages:
    """Holds encoded pictures back until they are as old as a script says."""

    def __init__(self, script: str) -> None:
        """`script`: "0:40,20:170" is 40 ms until the twentieth second after the first picture, then 170."""
        self._steps = [(float(a), float(b) / 1e3) for a, _, b in (one.partition(":") for one in script.split(","))]
        self._begun = 0.0

    def install(self) -> None:
        fan_out = stream.Stream._fan_out

        def later(one: stream.Stream, unit: AccessUnit, form: Form) -> None:
            self._begun = self._begun or unit.captured
            age = next(age for since, age in reversed(self._steps) if unit.captured - self._begun >= since)
            asyncio.get_running_loop().call_at(unit.captured + age, fan_out, one, unit, form)

        stream.Stream._fan_out = later  # type: ignore[method-assign]


class _AtOnce(Delay):
    """Sound is passed on as it comes."""

    def at(self, now: float, silent: bool = False) -> float:
        return 0.0


def _pass_sound_at_once() -> None:
    """As it was before sound was held back: reports say when things are sent."""
    present.Delay = _AtOnce  # type: ignore[misc]
    sending.report_captures = lambda sender: None


class _Blank(Blank):
    """The stand-in engine, which costs next to nothing, under a name that callers may ask for."""

    name: ClassVar[str] = DEFAULT


@dataclass(frozen=True)
class WitnessedServices(Services):
    def session(self, engine: str, avatar: str, present: Callable[[Picture], None], *how: Any, **more: Any) -> Session:
        witness = _Witness(self.observer(self.engine(engine).wants))

        def witnessed(picture: Picture) -> None:
            witness.draw_on(picture)
            present(picture)

        seeing = replace(self, observer=lambda wants: witness)
        return Services.session(seeing, engine, avatar, witnessed, *how, **more)


async def _holdings(collect: bool = False, trim: bool = False) -> dict[str, float]:
    """What this process holds, and would hold more of after each call that leaves something behind."""
    if collect:
        await workers.slow(gc.collect)
    if collect or trim:
        with suppress(AttributeError, OSError):  # glibc alone has it; its arenas keep hundreds of MiB that nobody uses
            await workers.slow(ctypes.CDLL(None).malloc_trim, 0)
    process = psutil.Process()
    return {
        "rss_mib": round(process.memory_info().rss / 2**20, 1),
        "threads": len(await _threads()),
        "tasks": len(asyncio.all_tasks()),
        "handles": process.num_fds(),
        "sockets": len(process.net_connections("all")),
    }


async def _threads() -> list[str]:
    """By name, each that counts as held."""
    return sorted(one.name for one in threading.enumerate() if not one.name.startswith(POOLS))


def _open(settings: Settings) -> Services:
    real = open_services(settings)
    return WitnessedServices(real.avatars, real.deployments)


def _open_blank(settings: Settings) -> Services:
    real, blank = open_services(settings), _Blank()
    return WitnessedServices(real.avatars, real.deployments, lambda name: blank, lambda wants: blank)


def main(
    port: Annotated[int, typer.Option(help="Where to listen, on loopback.")] = 8001,
    placement: Annotated[str, typer.Option(help="Which stage runs on which device.")] = "cpu",
    screen: Annotated[str, typer.Option(help="Whose quilt.")] = "telequilt",
    adapt: Annotated[bool, typer.Option(help="Give up detail where the machine is too slow.")] = False,
    links: Annotated[
        bool, typer.Option(help="Give up what a viewer's link does not carry, however slow the machine.")
    ] = False,
    stand_in: Annotated[bool, typer.Option(help="An engine that costs nothing and draws black.")] = False,
    at_once: Annotated[bool, typer.Option(help="Pass sound on as it comes, not with its picture.")] = False,
    ages: Annotated[str, typer.Option(help="Hold pictures back: 0:40,20:170 is 40 ms, and 170 from 20 s on.")] = "",
) -> None:
    """Run the witnessed server on loopback until it is stopped."""
    if at_once:
        _pass_sound_at_once()
    if links:
        channel.Channel.adapt = lambda self, now: False  # type: ignore[method-assign]
    if ages:
        _Ages(ages).install()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(port=port, data_dir=Path(folder), placement=placement, screen=screen, adapt=adapt or links)
        app = create_app(settings, _open_blank if stand_in else _open)
        app.add_api_route("/witness", _holdings)
        app.add_api_route("/witness/threads", _threads)
        app.add_api_route("/witness/faults", faults.happen)
        uvicorn.Server(connections.config(app, "127.0.0.1", port)).run()


if __name__ == "__main__":
    typer.run(main)

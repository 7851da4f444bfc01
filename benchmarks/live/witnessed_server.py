"""Witnessed server: the real server, except that a number drawn into the caller's picture is drawn into the quilt made
from it. That number is how glass_to_glass knows which capture a shown picture came from.

    python -m benchmarks.live.witnessed_server --port 8001
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from benchmarks.live import barcode
from engines.contract import FaceObservation
from pipeline.frame import Frame
from pipeline.session import Observer as Observing
from pipeline.session import Session
from pipeline.stages import Picture
from server.app import create_app
from server.channels.services import Services, open_services
from server.settings import Settings


class _Witness:
    """Reads the number of each frame as it is observed, and remembers it until its picture is shown."""

    def __init__(self, observer: Observing) -> None:
        self._observer = observer
        self._numbers: dict[int, int] = {}

    def observe(self, frame: Frame) -> FaceObservation:
        number = barcode.read(frame.pixels[: barcode.HEIGHT, : barcode.WIDTH, 1])
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


@dataclass(frozen=True)
class WitnessedStudio(Services):
    def session(self, engine: str, avatar: str, present: Callable[[Picture], None], *how: Any, **more: Any) -> Session:
        witness = _Witness(self.observer(self.engine(engine).wants))

        def witnessed(picture: Picture) -> None:
            witness.draw_on(picture)
            present(picture)

        seeing = replace(self, observer=lambda wants: witness)
        return Services.session(seeing, engine, avatar, witnessed, *how, **more)


def _open(settings: Settings) -> Services:
    real = open_services(settings)
    return WitnessedStudio(real.avatars, real.places)


def main(
    port: Annotated[int, typer.Option(help="Where to listen, on loopback.")] = 8001,
    placement: Annotated[str, typer.Option(help="Which stage runs on which device.")] = "cpu",
    screen: Annotated[str, typer.Option(help="Whose quilt.")] = "telequilt",
    adapt: Annotated[bool, typer.Option(help="Give up detail where the machine is too slow.")] = False,
) -> None:
    """Run the witnessed server on loopback until it is stopped."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(port=port, data_dir=Path(folder), placement=placement, screen=screen, adapt=adapt)
        uvicorn.run(create_app(settings, _open), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    typer.run(main)

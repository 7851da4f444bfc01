"""The whole way with neural engines: a WHIP caller's face, small synthetic networks, a quilt, a WHEP viewer. All of it real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from engines.contract import AnyEngine
from engines.options import EngineOptions
from engines.parametric.engine import Parametric
from engines.rome.engine import RomeEngine
from engines.rome.linear import LinearRomeEngine
from engines.voodoo3d import synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.engine import Voodoo3d
from engines.voodoo3d.enrol import Samples
from pipeline.executors import health
from pipeline.frame import Frame
from pipeline.puppet import Puppet
from server.channels.services import Services, open_services
from server.settings import Settings
from tests.live import Client, serving, settings_for, until


class PuppetCamera(MediaStreamTrack):
    """A camera in front of the puppet, at five pictures a second: these tests share their cores."""

    kind = "video"

    def __init__(self, frames: list[Frame]) -> None:
        super().__init__()
        self._frames, self._sent = frames, 0

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(0.2)
        picture = av.VideoFrame.from_ndarray(self._frames[self._sent % len(self._frames)].pixels, format="rgb24")
        picture.pts, picture.time_base = self._sent * 18_000, Fraction(1, 90_000)
        self._sent += 1
        return picture


@cache
def puppets_frames() -> list[Frame]:
    """Four seconds of it, for all these tests."""
    puppet = Puppet()
    return [puppet.frame(number / 5) for number in range(20)]


def services_with(engine: AnyEngine) -> Callable[[Settings], Services]:
    return lambda settings: replace(open_services(settings), engine=lambda _name: engine)


async def called(tmp_path: Path, engine: AnyEngine, pictures: int, seconds: float) -> np.ndarray:
    """[24, 256, 256, 3] int: the views of the `pictures`th quilt that a viewer of the puppet's call gets, within `seconds`."""
    services = services_with(engine)
    settings = settings_for(tmp_path, engine=engine.name)
    async with (
        serving(settings, services) as (base, _app),
        httpx.AsyncClient(base_url=base, timeout=300) as http,
        Client(http) as caller,
        Client(http) as viewer,
    ):
        assert (await caller.publish("room", PuppetCamera(puppets_frames()), engine=engine.name)).status_code == 201
        assert (await viewer.view()).status_code == 201
        # a call that the server ends sends no picture any more
        await until(lambda: len(viewer.pictures) >= pictures or viewer.connection.connectionState == "closed", seconds)
        assert len(viewer.pictures) >= pictures, (await http.get("/api/channels/room")).text
        last = viewer.pictures[pictures - 1].to_ndarray(format="rgb24").astype(int)
    assert last.shape == (1024, 1536, 3)
    return last.reshape(4, 256, 6, 256, 3).transpose(0, 2, 1, 3, 4).reshape(24, 256, 256, 3)


def assert_a_hologram_of_noise(tiles: np.ndarray) -> None:
    neighbours = np.abs(tiles[18:23, 140:] - tiles[19:24, 140:]).mean((1, 2, 3))
    assert tiles[:, 140:].std() > 10, "nothing is shown"
    assert (neighbours > 1).all(), "two views show the same"
    # NOISE is written in white letters on black in the same place of every view
    assert (tiles[:, 24:60].max((1, 2, 3)) > 200).all()


INVENTED = EngineOptions(synthetic_weights=True)
SMALL: dict[str, Callable[[], AnyEngine]] = {
    "voodoo3d": lambda: Voodoo3d(INVENTED, network=synthetic.network(Architecture(64, 16)), samples=Samples(12, 12)),
    "rome": lambda: RomeEngine(INVENTED, small=True),
    "rome-linear": lambda: LinearRomeEngine(INVENTED, small=True),
}


@pytest.mark.parametrize("name", ["voodoo3d", pytest.param("rome", marks=pytest.mark.soak), "rome-linear"])
@pytest.mark.usefixtures("one_thread")
async def test_a_caller_drives_a_head_that_a_viewer_sees(tmp_path: Path, name: str) -> None:
    assert_a_hologram_of_noise(await called(tmp_path, SMALL[name](), pictures=3, seconds=120))


@pytest.mark.usefixtures("one_thread")
async def test_a_caller_drives_a_learnt_head(tmp_path: Path) -> None:
    """The parametric engine, with the head model that comes with it."""
    tiles = await called(tmp_path, Parametric(side=64), pictures=3, seconds=120)
    assert tiles.std() > 10, "nothing is shown"
    assert (np.abs(np.diff(tiles, axis=0)).mean((1, 2, 3)) > 0.2).all(), "two views show the same"


WHOLE: dict[str, Callable[[], AnyEngine]] = {
    "voodoo3d": lambda: Voodoo3d(INVENTED, network=synthetic.network(), samples=Samples(12, 12)),
    "rome": lambda: RomeEngine(INVENTED),
    "rome-linear": lambda: LinearRomeEngine(INVENTED),
}
"Of voodoo3d few samples along a ray, but every layer at its published size."


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.usefixtures("one_thread")
async def test_the_full_size_network_on_the_same_way(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quilt takes minutes without a GPU, and ten times as long where others use the machine: no device hangs by that."""
    monkeypatch.setattr(health, "FIRST_PATIENCE", 3000.0)
    assert_a_hologram_of_noise(await called(tmp_path, WHOLE[name](), pictures=1, seconds=3000))

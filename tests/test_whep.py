"""Watching by WHEP: real viewers of a real server, where view i is painted with the number i."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import av
import httpx
import numpy as np
import pytest

from tests.live import Client, serving, settings_for


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings_for(tmp_path)) as (base, _), httpx.AsyncClient(base_url=base, timeout=30) as http:
        yield http


def red(picture: av.VideoFrame, left: int, top: int) -> int:
    """The red of a tile of 256 px whose corner is at (left, top): ten times the number of its view."""
    rgb = picture.to_ndarray(format="rgb24")
    return int(np.median(rgb[top + 60 : top + 120, left + 60 : left + 120, 0]))


async def test_a_viewer_sees_the_callers_quilt_with_every_view_in_its_place(http):
    async with Client(http) as caller, Client(http) as viewer:
        assert (await caller.publish()).status_code == 201
        assert (await viewer.view()).status_code == 201
        picture = (await viewer.seen(10))[-1]
        assert (picture.width, picture.height) == (1536, 1024)
        for view in range(24):
            column, row = view % 6, view // 6
            assert red(picture, column * 256, 1024 - (row + 1) * 256) == pytest.approx(10 * view, abs=6)

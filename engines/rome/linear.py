"""The linear ROME engine: hair and shoulders from sixty coefficients of the portrait, so that no U-Net runs for a driver's frame."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from engines.contract import Abilities, Footprint
from engines.rome import checkpoint, linear_checkpoint
from engines.rome.engine import RomeEngine
from engines.weights import Published


class LinearRomeEngine(RomeEngine):
    """ROME with the linear hair model: drives with a tenth of the time; needs rome's files and the linear model's besides."""

    name: ClassVar[str] = "rome-linear"
    linear: ClassVar[bool] = True
    published: ClassVar[tuple[Published, ...]] = (checkpoint.PUBLISHED, linear_checkpoint.PUBLISHED)
    abilities: ClassVar[Abilities] = replace(
        RomeEngine.abilities,
        footprint=Footprint(
            weights_bytes=500 * 10**6,  # 122 million float32, counted, and the head
            drive_bytes=150 * 2**20,  # estimated, as is the next
            render_bytes=1200 * 2**20,  # six views
            drive_work=0.0041,  # TMAC, counted (tests hold it)
            view_work=0.0984,
        ),
    )


ENGINE = LinearRomeEngine

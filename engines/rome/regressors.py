"""Regressors: codes out of pictures. ResNet-50 (arXiv 1512.03385) and MobileNetV2 (arXiv 1801.04381), named as torchvision's are.

For running, batch norms are folded into the convolutions before them (`folded`), in float32; for training they are needed.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from engines.rome.architecture import DECA_CODES, Architecture


class Residual(nn.Module):
    """ResNet's bottleneck, its stride in the 3 x 3 convolution."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * inner
        self.conv1, self.bn1 = nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, 4 inner, H / stride, W / stride], nothing below 0."""
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet(nn.Module):
    """ResNet-50. Pictures [B, 3, S, S] in 0..1, not normalised -> [B, outputs]; without outputs, its features [B, 2048]."""

    def __init__(self, arch: Architecture, outputs: int = 0) -> None:
        super().__init__()
        width = arch.thinned(64)
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        inputs = width
        for k, blocks in enumerate((3, 4, 6, 3)):
            inner = width << k
            layer = [Residual(inputs, inner, 1 if k == 0 else 2)]
            layer += [Residual(4 * inner, inner, 1) for _ in range(blocks - 1)]
            self.add_module(f"layer{k + 1}", nn.Sequential(*layer))
            inputs = 4 * inner
        if outputs:
            self.fc = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for k in range(4):
            x = self.get_submodule(f"layer{k + 1}")(x)
        features = x.mean((2, 3))
        return self.fc(features) if hasattr(self, "fc") else features


class DecaEncoder(nn.Module):
    """DECA's coarse encoder (arXiv 2012.04012): a face's crop [B, 3, 224, 224] in 0..1 -> its codes [B, 236], as DECA_CODES."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.encoder = ResNet(arch)
        wide, inner = arch.thinned(2048), arch.thinned(1024)
        self.layers = nn.Sequential(nn.Linear(wide, inner), nn.ReLU(), nn.Linear(inner, sum(DECA_CODES.values())))

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        return self.layers(self.encoder(x))


class Inverted(nn.Module):
    """MobileNetV2's inverted residual."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        expanding = [_convolved(inputs, inner, 1, 1, 1)] if expansion > 1 else []
        last = nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv = nn.Sequential(*expanding, _convolved(inner, inner, 3, stride, inner), *last)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]."""
        return self.conv(x) + x if self.shortcut else self.conv(x)


class MobileNet(nn.Module):
    """MobileNetV2. Whole pictures [B, 3, S, S] in 0..1 -> [B, outputs]."""

    _GROUPS = (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    "Expansion, channels, blocks, stride of the first (table 2)."

    def __init__(self, arch: Architecture, outputs: int) -> None:
        super().__init__()
        inputs, last = arch.thinned(32), arch.thinned(1280)
        layers: list[nn.Module] = [_convolved(3, inputs, 3, 2, 1)]
        for expansion, channels, blocks, stride in self._GROUPS:
            for k in range(blocks):
                layers.append(Inverted(inputs, arch.thinned(channels), stride if k == 0 else 1, expansion))
                inputs = arch.thinned(channels)
        self.features = nn.Sequential(*layers, _convolved(inputs, last, 1, 1, 1))
        self.classifier = nn.Sequential(nn.Identity(), nn.Linear(last, outputs))  # dropout stands there in training

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        return self.classifier(self.features(x).mean((2, 3)))


def _convolved(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


def folded(network: nn.Module) -> nn.Module:
    """`network` with every batch norm folded into the convolution before it, in place; it must have its weights, in float32."""
    for module in list(network.modules()):
        before: tuple[str, nn.Conv2d] | None = None
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                assert before is not None, name
                setattr(module, before[0], fuse_conv_bn_eval(before[1].eval(), child.eval()))
                setattr(module, name, nn.Identity())
            before = (name, child) if isinstance(child, nn.Conv2d) else None
    return network

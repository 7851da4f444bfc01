"""Fused: super-resolution with what stands between its decoder's convolutions done by one kernel each. Its twin is superres.py."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engines.voodoo3d.blocks import doubled
from engines.voodoo3d.superres import StyleConv, StyleDecoder, SuperResolution, ToRgb


class FusedSuperResolution(nn.Module):
    """The same pictures from the same weights, which it shares with `network`."""

    def __init__(self, network: SuperResolution) -> None:
        super().__init__()
        self.network = network

    def forward(self, rgb: Tensor) -> Tensor:
        return _decoded(self.network.stylegan_decoder, *self.network.seen(rgb))


def _decoded(decoder: StyleDecoder, latents: Tensor, conditions: list[tuple[Tensor, Tensor]]) -> Tensor:
    """StyleDecoder.forward. A layer's style is put onto its input by the layer before where nobody else reads that."""
    layers: list[StyleConv] = [decoder.style_conv1, *decoder.style_convs]  # type: ignore[list-item]
    colours: list[ToRgb] = [decoder.to_rgb1, *decoder.to_rgbs]  # type: ignore[list-item]
    # the k-th layer reads the k-th latent, as do the colours of the layer before it
    styles = [layer.modulated_conv.modulation(latents[:, k]) for k, layer in enumerate(layers)]
    noises = [decoder.noises.get_buffer(f"noise{k}") for k in range(len(layers))]
    x = _layer(layers[0], _styled(decoder.constant_input.weight, styles[0]), styles[0], noises[0])
    rgb = _colours(colours[0], x, latents[:, 1])
    for k, bend in enumerate(conditions):
        first, second = 2 * k + 1, 2 * k + 2
        x = doubled(_styled(x, styles[first]))
        x = _layer(layers[first], x, styles[first], noises[first], bend, styles[second])
        x = _layer(layers[second], x, styles[second], noises[second])
        rgb = doubled(rgb) + _colours(colours[k + 1], x, latents[:, second + 1])
    return rgb


def _styled(x: Tensor, style: Tensor) -> Tensor:
    return x * style[:, :, None, None]


def _layer(
    layer: StyleConv,
    x: Tensor,
    style: Tensor,
    noise: Tensor,
    bend: tuple[Tensor, Tensor] | None = None,
    next_style: Tensor | None = None,
) -> Tensor:
    """StyleConv.forward of an input that has its style already."""
    from engines.kernels.modulated import finish  # needs Triton

    convolved = F.conv2d(x, layer.modulated_conv.weight[0], padding=1)
    demodulation = layer.modulated_conv.demodulation(style)
    return finish(convolved, demodulation, noise, layer.weight, layer.bias, bend, next_style)


def _colours(layer: ToRgb, x: Tensor, latent: Tensor) -> Tensor:
    """ToRgb.forward: the style goes onto the three rows of weights, so that the picture is read once and not written."""
    views, _, height, width = x.shape
    weight = layer.modulated_conv.weight[0, :, :, 0, 0] * layer.modulated_conv.modulation(latent)[:, None]
    flat = x.permute(0, 2, 3, 1).reshape(views, height * width, -1) @ weight.transpose(1, 2)
    return flat.transpose(1, 2).reshape(views, 3, height, width) + layer.bias

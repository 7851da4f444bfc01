"""Fused: super-resolution with what stands between its convolutions done by one kernel each. Its twin is superres.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.voodoo3d.superres import Resized, StyleConv, SuperResolution, ToRgb

if TYPE_CHECKING:
    from engines.kernels.modulated import Bend


class FusedSuperResolution(nn.Module):
    """The same pictures from the same weights, which it shares with `network`."""

    def __init__(self, network: SuperResolution) -> None:
        super().__init__()
        self.network = network
        decoder = network.stylegan_decoder
        self._layers: list[StyleConv] = [decoder.style_conv1, *decoder.style_convs]  # type: ignore[list-item]
        self._energies = [layer.modulated_conv.energies() for layer in self._layers]

    def forward(self, rgb: Tensor) -> Tensor:
        """SuperResolution.forward: [V, 3, S/4, S/4] -> [V, 3, S, S], about -1..1, not clamped."""
        latents, conditions = _seen(self.network, rgb)
        return self._decoded(latents, conditions)

    def _decoded(self, latents: Tensor, conditions: list[Bend]) -> Tensor:
        """StyleDecoder.forward: `latents` [V, 2 L + 2, 512], L conditions -> [V, 3, S, S]. A layer's style is put onto its input
        by the layer before where nobody else reads that."""
        from engines.kernels.convolved import doubled, doubled_onto  # needs Triton

        decoder, layers = self.network.stylegan_decoder, self._layers
        colours: list[ToRgb] = [decoder.to_rgb1, *decoder.to_rgbs]  # type: ignore[list-item]
        # the k-th layer reads the k-th latent, as do the colours of the layer before it
        styles = [layer.modulated_conv.modulation(latents[:, k]) for k, layer in enumerate(layers)]
        x = self._layer(0, decoder.constant_input.weight * styles[0][:, :, None, None], styles[0])
        rgb = _colours(colours[0], x, latents[:, 1]) + colours[0].bias
        for k, bend in enumerate(conditions):
            first, second = 2 * k + 1, 2 * k + 2
            x = self._layer(first, doubled(x, style=styles[first]), styles[first], bend, styles[second])
            x = self._layer(second, x, styles[second])
            own = _colours(colours[k + 1], x, latents[:, second + 1])
            rgb = doubled_onto(own, colours[k + 1].bias, rgb, leaky=False)
        return rgb

    def _layer(
        self, k: int, x: Tensor, style: Tensor, bend: Bend | None = None, next_style: Tensor | None = None
    ) -> Tensor:
        """StyleConv.forward, the `k`th, of an input [V, inputs, H, H] that has its `style` [V, inputs] already; the result
        [V, outputs, H, H] is bent by `bend` and carries `next_style` [V, outputs]."""
        from engines.kernels.modulated import finish

        layer, noise = self._layers[k], self.network.stylegan_decoder.noises.get_buffer(f"noise{k}")
        convolved = F.conv2d(x, layer.modulated_conv.weight[0], padding=1)
        demodulation = torch.rsqrt(style.float().square() @ self._energies[k].T + 1e-8)  # ModulatedConv.demodulation
        return finish(convolved, demodulation, noise, layer.weight, layer.bias, bend, next_style)


def _seen(network: SuperResolution, rgb: Tensor) -> tuple[Tensor, list[Bend]]:
    """SuperResolution.seen of `rgb` [V, 3, S/4, S/4]; the conditions want their biases yet."""
    from engines.kernels.convolved import settled

    x = F.interpolate(rgb, size=network.size, mode="bilinear", align_corners=False)
    x = x.contiguous(memory_format=torch.channels_last)  # as every picture from here on
    x = settled(*_unbiased(network.conv_body_first, x))
    falling: list[Resized] = [*network.conv_body_down]  # type: ignore[list-item]
    rising: list[Resized] = [*network.conv_body_up]  # type: ignore[list-item]
    scales: list[nn.Sequential] = [*network.condition_scale]  # type: ignore[list-item]
    shifts: list[nn.Sequential] = [*network.condition_shift]  # type: ignore[list-item]
    down: list[Tensor] = []
    for block in falling:
        x = _halving(block, x)
        down.append(x)
    x = settled(*_unbiased(network.final_conv, x))
    latents = network.final_linear(x.flatten(1)).unflatten(1, (network.latents, -1))
    conditions = []
    for block, scale, shift in zip(rising, scales, shifts, strict=True):
        x = _doubling(block, x + down.pop())
        conditions.append((_condition(scale, x), _condition(shift, x)))
    return latents, conditions


def _unbiased(conv: nn.Conv2d, x: Tensor) -> tuple[Tensor, Tensor]:
    """A convolution without its bias, [V, outputs, H, W], and that, [outputs]."""
    assert conv.bias is not None
    return F.conv2d(x, conv.weight, padding=conv.padding), conv.bias


def _halving(block: Resized, x: Tensor) -> Tensor:
    """Resized.forward: [V, inputs, H, W] -> [V, outputs, H/2, W/2]."""
    from engines.kernels.convolved import halved, settled

    shortcut = block.skip(halved(x))
    return settled(*_unbiased(block.conv2, halved(*_unbiased(block.conv1, x))), shortcut)


def _doubling(block: Resized, x: Tensor) -> Tensor:
    """Resized.forward: [V, inputs, H, W] -> [V, outputs, 2 H, 2 W]."""
    from engines.kernels.convolved import doubled, doubled_onto

    return doubled_onto(*_unbiased(block.conv2, doubled(*_unbiased(block.conv1, x))), block.skip(x))


def _condition(head: nn.Sequential, x: Tensor) -> tuple[Tensor, Tensor]:
    """superres.head of `x` [V, C, H, H] without its last bias, [V, C, H, H], and that, [C]."""
    from engines.kernels.convolved import settled

    first, last = head[0], head[2]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(last, nn.Conv2d)
    return _unbiased(last, settled(*_unbiased(first, x)))


def _colours(layer: ToRgb, x: Tensor, latent: Tensor) -> Tensor:
    """ToRgb.forward without its bias, [V, 3, H, W] with channels last, of `x` [V, C, H, W] and `latent` [V, 512].

    The style goes onto the three rows of weights, so that the picture is read
    once and not written."""
    views, _, height, width = x.shape
    weight = layer.modulated_conv.weight[0, :, :, 0, 0] * layer.modulated_conv.modulation(latent)[:, None]
    flat = x.permute(0, 2, 3, 1).reshape(views, height * width, -1) @ weight.transpose(1, 2)
    return flat.view(views, height, width, 3).permute(0, 3, 1, 2)

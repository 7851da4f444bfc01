"""Texture: the quilt in graphics memory. From CUDA it comes past the host where CUDA and OpenGL share a GPU.

The shared way is written against pycuda 2026.1, whose OpenGL part is only there when it was built in. It has not run on
hardware yet. Everything here runs in the thread of its OpenGL context.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch

_log = logging.getLogger(__name__)

GL_TEXTURE_2D, GL_LINEAR = 0x0DE1, 0x2601
BUILD = (
    "echo CUDA_ENABLE_GL = True >> ~/.aksetup-defaults.py && "
    "pip install --force-reinstall --no-cache-dir --no-deps pycuda"
)
"pip cannot hand a switch to pycuda's build; this file can. A wheel that pip has kept was built without it."


class QuiltTooLarge(RuntimeError):
    """This machine's OpenGL does not take so many pixels a side; the message says how many it takes."""


class NotShared(RuntimeError):
    """CUDA cannot write into this texture; the message says why. The way through the host remains."""


class QuiltTexture:
    """A texture of the newest quilt's size."""

    def __init__(self, gl: Any) -> None:
        """`gl` is a moderngl.Context."""
        self._gl = gl
        self._texture: Any = None
        "A moderngl.Texture, once there was a quilt."
        self._shared: SharedTexture | None = None
        self._refused = False
        self.way = ""
        'How the newest quilt came in: "host" or "cuda".'

    def write(self, pixels: np.ndarray | torch.Tensor, written: torch.cuda.Event | None) -> None:
        """Take in `pixels` [H, W, 3 or 4] uint8; those of a CUDA device are there after `written`. Raises QuiltTooLarge."""
        height, width, components = pixels.shape
        if self._texture is None or (*self._texture.size, self._texture.components) != (width, height, components):
            self._texture = self._renewed(width, height, components)
        if isinstance(pixels, torch.Tensor):
            if written is not None and components == 4 and (shared := self._share(pixels.device)) is not None:
                shared.write(pixels, written)
                self.way = "cuda"
                return
            pixels = pixels.cpu().numpy()
        self._texture.write(np.ascontiguousarray(pixels))
        self.way = "host"

    def use(self) -> None:
        """Bind it to texture unit 0."""
        self._texture.use(0)

    def close(self) -> None:
        """Let go of the texture and of what CUDA shares with it; again is allowed."""
        if self._shared is not None:
            self._shared.close()
            self._shared = None
        if self._texture is not None:
            self._texture.release()
            self._texture = None

    def _renewed(self, width: int, height: int, components: int) -> Any:
        most = self._gl.info["GL_MAX_TEXTURE_SIZE"]
        if max(width, height) > most:
            raise QuiltTooLarge(f"the quilt has {width}x{height} pixels; this machine's OpenGL takes {most} a side")
        self.close()
        texture = self._gl.texture((width, height), components, alignment=1)
        texture.filter = (GL_LINEAR, GL_LINEAR)
        return texture

    def _share(self, device: torch.device) -> SharedTexture | None:
        if self._shared is None and not self._refused:
            try:
                self._shared = SharedTexture(self._texture.glo, device)
            except NotShared as reason:
                self._refused = True
                _log.warning("every quilt takes the slow way through the host's memory: %s", reason)
        return self._shared


class SharedTexture:
    """An RGBA texture that CUDA may write."""

    def __init__(self, texture: int, device: torch.device) -> None:
        """`texture` is OpenGL's number of it; it has its storage already. Raises NotShared, for instance across GPUs."""
        try:
            import pycuda.driver  # pyright: ignore[reportMissingImports]
            import pycuda.gl  # pyright: ignore[reportMissingImports]
        except ImportError as missing:
            raise NotShared(f"pycuda with OpenGL is needed ({missing}): {BUILD}") from None
        self._cuda: Any = pycuda.driver
        index = torch.cuda.current_device() if device.index is None else device.index
        try:
            self._cuda.init()
            self._context: Any = self._cuda.Device(index).retain_primary_context()  # the one that torch works in
            self._context.push()
        except self._cuda.Error as refusal:
            raise NotShared(f"CUDA refuses its context ({refusal})") from None
        try:
            discard = pycuda.gl.graphics_map_flags.WRITE_DISCARD
            self._image: Any = pycuda.gl.RegisteredImage(texture, GL_TEXTURE_2D, discard)
        except self._cuda.Error as refusal:
            self._leave()
            raise NotShared(f"OpenGL does not draw on {torch.cuda.get_device_name(index)} ({refusal})") from None

    def write(self, pixels: torch.Tensor, written: torch.cuda.Event) -> None:
        """Copy `pixels` [H, W, 4] uint8 once `written` has come to pass; the host waits for neither.

        Map, copy and unmap run in CUDA's default stream, which orders them against OpenGL. The allocator is told of that
        stream, so that it does not give the memory away before.
        """
        assert pixels.is_contiguous(), pixels.stride()
        height, width = pixels.shape[:2]
        stream = torch.cuda.default_stream(pixels.device)
        stream.wait_event(written)
        mapping = self._image.map()
        try:
            copy = self._cuda.Memcpy2D()
            copy.set_src_device(pixels.data_ptr())
            copy.set_dst_array(mapping.array(0, 0))
            copy.width_in_bytes = copy.src_pitch = 4 * width
            copy.height = height
            # "unaligned": the other call may refuse rows that torch has not padded, and is no quicker elsewhere
            copy(False)
        finally:
            mapping.unmap()
        pixels.record_stream(stream)

    def close(self) -> None:
        """Before the texture itself is released."""
        self._image.unregister()
        self._leave()

    def _leave(self) -> None:
        self._cuda.Context.pop()
        self._context.detach()

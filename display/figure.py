"""Figure: an avatar drawn by OpenGL into a quilt of the panel's own tiling, as docs/geometry.md says. Knows no engines and no files;
what its body is made of is a brush's to know.

Everything runs in the thread of its OpenGL context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from display import camera
from display.label import Mark
from display.meshes import Mesh, MeshBrush, MeshPose
from display.optics import fan
from display.screen import Screen
from display.splats import SplatBrush, SplatPose, Splats

Pose = MeshPose | SplatPose
"Where a figure is at one moment."

_MARK_VERTEX = """#version 330 core
uniform vec4 box; out vec2 at;
void main() {
    at = vec2(gl_VertexID % 2, gl_VertexID / 2);
    gl_Position = vec4(mix(box.xy, box.zw, at), 0.0, 1.0);
}
"""
_MARK_FRAGMENT = """#version 330 core
in vec2 at; uniform sampler2D keep; out vec4 colour;
void main() { vec2 k = texture(keep, at).rg; colour = vec4(vec3(k.g), k.r); }
"""


@dataclass(frozen=True)
class Figure:
    """What is drawn, all but how it moves."""

    screen: Screen
    "As which quilt."
    parallel: bool
    body: Mesh | Splats
    fade: float
    "Share of the crop's height over which a picture fades at its lower edge."
    mark: Mark | None


class FigurePainter:
    """Draws one figure, again and again, into a texture of its own."""

    def __init__(self, gl: Any, figure: Figure) -> None:
        """`gl` is a moderngl.Context."""
        self._gl, self._figure = gl, figure
        screen, body = figure.screen, figure.body
        size = (screen.quilt_width, screen.quilt_height)
        self._brush: Any = MeshBrush(gl, body) if isinstance(body, Mesh) else SplatBrush(gl, body)
        self.quilt = gl.texture(size, 4)
        several = self._brush.samples
        self._sheet = gl.framebuffer(
            gl.renderbuffer(size, 4, samples=several, dtype=self._brush.kind),
            gl.depth_renderbuffer(size, samples=several),
        )
        self._whole = gl.framebuffer(self.quilt)
        self._mark = _MarkPainter(gl, figure.mark, screen) if figure.mark is not None else None

    def paint(self, pose: Pose, screen: Screen) -> None:
        """The figure in `pose` into `quilt`. `screen`: the figure's, or one of the same tiles with other yaws."""
        gl, figure, sheet = self._gl, self._figure, self._sheet
        cameras = fan(screen)
        shown = camera.shown(cameras)
        sheet.use()
        sheet.clear()
        fade = figure.fade / shown if shown <= 1 + figure.fade else 0.0
        self._brush.begin(pose, cameras, figure.parallel, fade)
        for view in range(len(cameras)):
            left, top = screen.tile_origin(view)
            sheet.viewport = sheet.scissor = (left, top, screen.tile_width, screen.tile_height)
            self._brush.draw(view)
        sheet.scissor = None
        self._brush.end()
        if self._mark is not None:
            self._mark.paint(screen)
        gl.disable(gl.BLEND)
        sheet.viewport = (0, 0, *self.quilt.size)
        gl.copy_framebuffer(self._whole, sheet)

    def fits(self, screen: Screen) -> bool:
        """Whether it can paint `screen`."""
        own = self._figure.screen
        return (own.quilt_width, own.quilt_height, own.columns, own.rows, own.views, own.aspect) == (
            (screen.quilt_width, screen.quilt_height, screen.columns, screen.rows, screen.views, screen.aspect)
        )

    @property
    def parallel(self) -> bool:
        """Whether its views are parallel projections."""
        return self._figure.parallel

    def close(self) -> None:
        """Give everything back."""
        self._brush.close()
        for one in (self.quilt, self._sheet, self._whole):
            one.release()


class _MarkPainter:
    """Lays the mark over every tile."""

    def __init__(self, gl: Any, mark: Mark, screen: Screen) -> None:
        self._gl, self._mark = gl, mark
        self._program = gl.program(_MARK_VERTEX, _MARK_FRAGMENT)
        self._corners = gl.vertex_array(self._program, [])
        keep, add = np.asarray(mark.keep)[:, 0, :, 0], np.asarray(mark.add)[:, 0, :, 0]
        both = np.stack([np.minimum(keep, 255), np.minimum(add, 255)], -1).astype(np.uint8)
        self._size = both.shape[1::-1]
        self._texture = gl.texture(self._size, 2, np.ascontiguousarray(both).tobytes(), alignment=1)
        self._texture.filter = gl.NEAREST, gl.NEAREST

    def paint(self, screen: Screen) -> None:
        gl = self._gl
        gl.blend_func = gl.ONE, gl.SRC_ALPHA
        self._texture.use(0)
        width, height = self._size
        for view in range(screen.views):
            left, top = screen.tile_origin(view)
            x, y = left + self._mark.left, top + self._mark.top
            whole = np.array([screen.quilt_width, screen.quilt_height])
            box = 2 * np.array([[x, y], [x + width, y + height]]) / whole - 1
            gl.fbo.viewport = (0, 0, *whole.tolist())
            self._program["box"].value = tuple(box.ravel().tolist())
            self._corners.render(gl.TRIANGLE_STRIP, vertices=4)

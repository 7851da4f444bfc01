"""Figure: a mesh drawn by OpenGL into a quilt of the panel's own tiling, as docs/geometry.md says. Knows no engines and no files.

Everything runs in the thread of its OpenGL context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from display.label import Mark
from display.optics import FOCAL, LOOK_AT, ORBIT_RADIUS, fan
from display.screen import Screen

SAMPLES = 4
"Of a pixel: silhouettes are antialiased."
DEPTH = 2.0
"Units of the world before and behind the glass that are drawn."
SOLID, SOFT = 0, 1
"Passes over a part: what hides, then what does not."

_VERTEX = """#version 330 core
in vec3 place; in vec2 uv; in float light;
uniform vec3 middle; uniform vec2 turn; uniform vec4 lens; uniform float radius, parallel, depth;
out vec2 at; out float lit; out float down;
void main() {
    vec3 d = place - middle;
    float across = d.x * turn.x - d.z * turn.y, into = -d.x * turn.y - d.z * turn.x;
    float far = mix(radius + into, radius, parallel);
    vec2 seen = lens.zw + lens.xy * vec2(across, -d.y) / far;
    at = uv; lit = light; down = seen.y;
    gl_Position = vec4(2.0 * seen - 1.0, into / depth, 1.0) * (parallel > 0.5 ? 1.0 : far);
}
"""
_FRAGMENT = """#version 330 core
in vec2 at; in float lit; in float down;
uniform sampler2D atlas; uniform int pass_; uniform float fade;
out vec4 colour;
void main() {
    vec4 texel = texture(atlas, at);
    if (pass_ == 0 ? texel.a < 0.5 : texel.a >= 0.5 || texel.a < 4.0 / 255.0) discard;
    float gone = fade > 0.0 ? clamp((down - 1.0 + fade) / fade, 0.0, 1.0) : 0.0;
    colour = vec4(min(texel.rgb * lit, 1.0) * (1.0 - gone * gone * gone), texel.a);
}
"""
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
    uv: np.ndarray
    "[N, 2] float32: 0..1 of the atlas, from its top left corner."
    parts: tuple[tuple[np.ndarray, bool], ...]
    "In drawing order: triangles [T, 3] int32, anticlockwise from in front, and whether they are seen from there only."
    atlas: np.ndarray
    "[H, W, 4] uint8, straight alpha, at the scale of the screen's tiles."
    fade: float
    "Share of the crop's height over which a picture fades at its lower edge."
    mark: Mark | None


class FigurePainter:
    """Draws one figure, again and again, into a texture of its own."""

    def __init__(self, gl: Any, figure: Figure) -> None:
        """`gl` is a moderngl.Context."""
        self._gl, self._figure = gl, figure
        screen, count = figure.screen, len(figure.uv)
        size = (screen.quilt_width, screen.quilt_height)
        self._program = gl.program(_VERTEX, _FRAGMENT)
        self._moving = gl.buffer(reserve=16 * count, dynamic=True)
        self._still = gl.buffer(figure.uv.astype("f4").tobytes())
        self._parts = [(self._array(triangles), culled) for triangles, culled in figure.parts]
        self._atlas = gl.texture(figure.atlas.shape[1::-1], 4, figure.atlas.tobytes())
        self._atlas.repeat_x = self._atlas.repeat_y = False
        self.quilt = gl.texture(size, 4)
        self._samples = gl.framebuffer(
            gl.renderbuffer(size, 4, samples=SAMPLES), gl.depth_renderbuffer(size, samples=SAMPLES)
        )
        self._whole = gl.framebuffer(self.quilt)
        self._mark = _MarkPainter(gl, figure.mark, screen) if figure.mark is not None else None

    def paint(self, points: np.ndarray, light: np.ndarray, screen: Screen) -> None:
        """The figure with its vertices at `points` [N, 3] and in `light` [N], both float32, into `quilt`. `screen`: the figure's, or
        one of the same tiles with other yaws."""
        gl, figure = self._gl, self._figure
        self._moving.write(np.column_stack([points, light]).astype("f4").tobytes())
        self._samples.use()
        self._samples.clear()
        gl.enable(gl.DEPTH_TEST | gl.BLEND)
        gl.depth_func, gl.front_face = "<", "cw"  # y runs down in the texture, which turns every triangle over
        gl.blend_func = gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA
        self._atlas.use(0)
        cameras = fan(screen)
        self._set(
            middle=tuple(LOOK_AT.tolist()), radius=ORBIT_RADIUS, parallel=float(figure.parallel), depth=DEPTH, atlas=0
        )
        shown = FOCAL / float(cameras.intrinsics[0, 1, 1])
        self._set(fade=figure.fade / shown if shown <= 1 + figure.fade else 0.0)
        for view, yaw in enumerate(cameras.yaws):
            self._look(screen, view, float(yaw), cameras.intrinsics[view])
        gl.disable(gl.DEPTH_TEST | gl.CULL_FACE)
        if self._mark is not None:
            self._mark.paint(screen)
        gl.disable(gl.BLEND)
        self._samples.viewport = (0, 0, *self.quilt.size)
        gl.copy_framebuffer(self._whole, self._samples)

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
        owned = [self._program, self._moving, self._still, self._atlas, self.quilt, self._samples, self._whole]
        for one in (*owned, *(array for array, _ in self._parts)):
            one.release()

    def _array(self, triangles: np.ndarray) -> Any:
        index = self._gl.buffer(triangles.astype("i4").tobytes())
        content = [(self._moving, "3f 1f", "place", "light"), (self._still, "2f", "uv")]
        return self._gl.vertex_array(self._program, content, index)

    def _look(self, screen: Screen, view: int, yaw: float, lens: np.ndarray) -> None:
        gl = self._gl
        left, top = screen.tile_origin(view)
        tile = (left, top, screen.tile_width, screen.tile_height)
        self._samples.viewport = self._samples.scissor = tile
        self._set(turn=(np.cos(yaw), np.sin(yaw)), lens=(lens[0, 0], lens[1, 1], lens[0, 2], lens[1, 2]))
        for array, culled in self._parts:
            (gl.enable if culled else gl.disable)(gl.CULL_FACE)
            for number in (SOLID, SOFT):
                self._set(pass_=number)
                self._samples.depth_mask = number == SOLID
                array.render()
        self._samples.depth_mask = True
        self._samples.scissor = None

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            if name in self._program:  # a driver may have found one that changes nothing
                self._program[name].value = value


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

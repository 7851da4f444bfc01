"""Splats: Gaussians drawn by OpenGL into the tile that figure.py has chosen, as docs/geometry.md says: a quad each, from the furthest
to the nearest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from display import camera
from display.optics import LOOK_AT, Cameras

ACROSS = 512
"Gaussians in a row of a texture."

_VERTEX = f"""#version 330 core
uniform sampler2D points, shapes; uniform usampler2D order;
uniform int view, rows; uniform vec2 size;
{camera.SEEN}
out vec2 at; out vec4 paint; out float low;
void main() {{
    ivec2 place = ivec2(gl_InstanceID % {ACROSS}, gl_InstanceID / {ACROSS} + view * rows);
    int which = int(texelFetch(order, place, 0).r), row = which / {ACROSS}, column = which % {ACROSS};
    vec4 a = texelFetch(shapes, ivec2(3 * column, row), 0), b = texelFetch(shapes, ivec2(3 * column + 1, row), 0);
    mat3 shape = mat3(a.x, a.y, a.z, a.y, a.w, b.x, a.z, b.x, b.y);
    paint = texelFetch(shapes, ivec2(3 * column + 2, row), 0);
    vec4 where = seen(texelFetch(points, ivec2(column, row), 0).xyz);
    vec2 held = parallel > 0.5 ? vec2(0.0) : clamp(where.xy, -0.15, 1.15) - lens.zw;
    vec3 x = size.x * (lens.x * right() - held.x * into()) / where.w;
    vec3 y = size.y * (lens.y * down - held.y * into()) / where.w;
    float xx = dot(x, shape * x) + 0.3, xy = dot(x, shape * y), yy = dot(y, shape * y) + 0.3;
    float mean = 0.5 * (xx + yy), apart = length(vec2(0.5 * (xx - yy), xy));
    vec2 axis = apart < 1e-6 * mean ? vec2(1.0, 0.0) : normalize(xx > yy ? vec2(mean + apart - yy, xy) : vec2(xy, mean + apart - xx));
    at = sqrt(2.0 * log(max(255.0 * paint.a, 1.0))) * vec2(2 * (gl_VertexID & 1) - 1, (gl_VertexID & 2) - 1);
    vec2 off = at.x * sqrt(mean + apart) * axis + at.y * sqrt(max(mean - apart, 0.0)) * vec2(-axis.y, axis.x);
    vec2 here = where.xy + off / size;
    low = here.y;
    gl_Position = vec4(2.0 * here - 1.0, 0.0, where.w > 0.05 ? 1.0 : -1.0);
}}
"""
_FRAGMENT = f"""#version 330 core
in vec2 at; in vec4 paint; in float low;
{camera.LOWER_EDGE}
out vec4 colour;
void main() {{
    float alpha = min(paint.a * exp(-0.5 * dot(at, at)), 0.999);
    if (alpha < 1.0 / 255.0) discard;
    colour = vec4(paint.rgb * gain(low), 1.0) * alpha;
}}
"""


@dataclass(frozen=True)
class SplatPose:
    """Where Gaussians are at one moment."""

    points: np.ndarray
    "[N, 3] float32, units of the world (display/optics.py): their middles."
    turn: np.ndarray
    "[3, 3] float32: what has turned their axes."


@dataclass(frozen=True)
class Splats:
    """What never moves of Gaussians."""

    covariances: np.ndarray
    "[N, 3, 3], square units of the world, before any turn."
    colours: np.ndarray
    "[N, 3] float32, 0..1, sRGB."
    opacities: np.ndarray
    "[N] float32, 0..1."


class SplatBrush:
    """Draws one cloud of Gaussians."""

    samples = 0
    "Gaussians have no edges."
    kind = "f2"
    "Of the numbers that it is drawn into: bytes are too coarse to sum up so many layers."

    def __init__(self, gl: Any, splats: Splats) -> None:
        """`gl` is a moderngl.Context."""
        self._gl, self._splats = gl, splats
        self._rows = -(-len(splats.colours) // ACROSS)
        self._program = gl.program(_VERTEX, _FRAGMENT)
        self._corners = gl.vertex_array(self._program, [])
        self._points = gl.texture((ACROSS, self._rows), 4, dtype="f4")
        self._shapes = gl.texture((3 * ACROSS, self._rows), 4, dtype="f4")
        self._order: Any = None
        self._turn: np.ndarray | None = None

    def begin(self, pose: SplatPose, cameras: Cameras, parallel: bool, fade: float) -> None:
        """Before any of its views is drawn. `fade`: share of a picture's height."""
        gl = self._gl
        self._cameras = cameras
        self._points.write(self._filled(np.pad(pose.points, ((0, 0), (0, 1)))))
        self._sort(pose.points)
        if self._turn is None or not np.array_equal(self._turn, pose.turn):
            self._turn = pose.turn
            self._shapes.write(self._filled(self._shaped(pose.turn)))
        gl.enable(gl.BLEND)
        gl.blend_func = gl.ONE, gl.ONE_MINUS_SRC_ALPHA
        for number, texture in enumerate((self._points, self._shapes, self._order)):
            texture.use(number)
        size = (float(cameras.width), float(cameras.height))
        camera.set_in(
            self._program, points=0, shapes=1, order=2, rows=self._rows, size=size, fade=fade, **camera.of_all(parallel)
        )

    def draw(self, view: int) -> None:
        """One view into the viewport."""
        camera.set_in(self._program, view=view, **camera.of_one(self._cameras, view))
        self._corners.render(self._gl.TRIANGLE_STRIP, vertices=4, instances=len(self._splats.colours))

    def end(self) -> None:
        """After all of them."""

    def close(self) -> None:
        """Give everything back."""
        for one in (self._program, self._corners, self._points, self._shapes, self._order):
            if one is not None:
                one.release()

    def _sort(self, points: np.ndarray) -> None:
        """By depth, for each view: 16 bits of it, which numpy sorts by digits, 0.2 ms for 18,000."""
        yaws = self._cameras.yaws
        depths = (points - LOOK_AT.astype(np.float32)) @ np.stack([-np.sin(yaws), 0 * yaws, -np.cos(yaws)]).astype("f4")
        low, high = depths.min(), depths.max()
        keys = ((high - depths) * (65535 / max(high - low, 1e-9))).astype(np.uint16)
        order = [self._filled(np.argsort(key, kind="stable").astype("u4")[:, None]) for key in keys.T]
        wanted = (ACROSS, self._rows * len(order))
        if self._order is None or self._order.size != wanted:
            if self._order is not None:
                self._order.release()
            self._order = self._gl.texture(wanted, 1, dtype="u4")
            self._order.filter = self._gl.NEAREST, self._gl.NEAREST
        self._order.write(b"".join(order))

    def _shaped(self, turn: np.ndarray) -> np.ndarray:
        """[N, 12]: the upper triangle of each covariance, and two to spare, colour and opacity."""
        turned = turn @ self._splats.covariances @ turn.T
        upper = [turned[:, row, column] for row in range(3) for column in range(row, 3)]
        spare = np.zeros((len(turned), 2))
        return np.column_stack([*upper, spare, self._splats.colours, self._splats.opacities])

    def _filled(self, numbers: np.ndarray) -> bytes:
        """[N, n] as whole rows of a texture."""
        kind = numbers.dtype if numbers.dtype.kind == "u" else np.dtype("f4")
        whole = np.zeros((ACROSS * self._rows, numbers.shape[1]), kind)
        whole[: len(numbers)] = numbers
        return whole.tobytes()

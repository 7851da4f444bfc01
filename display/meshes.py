"""Meshes: triangles with a texture, drawn by OpenGL into the tile that figure.py has chosen, as docs/geometry.md says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from display import camera
from display.optics import Cameras

DEPTH = 2.0
"Units of the world before and behind the glass that are drawn."
SOLID, SOFT = 0, 1
"Passes over a part: what hides, then what does not."

_VERTEX = f"""#version 330 core
in vec3 place; in vec2 uv; in float light;
uniform float depth;
{camera.SEEN}
out vec2 at; out float lit; out float low;
void main() {{
    vec4 where = seen(place);
    at = uv; lit = light; low = where.y;
    gl_Position = vec4(2.0 * where.xy - 1.0, where.z / depth, 1.0) * (parallel > 0.5 ? 1.0 : where.w);
}}
"""
_FRAGMENT = f"""#version 330 core
in vec2 at; in float lit; in float low;
uniform sampler2D atlas; uniform int pass_;
{camera.LOWER_EDGE}
out vec4 colour;
void main() {{
    vec4 texel = texture(atlas, at);
    if (pass_ == 0 ? texel.a < 0.5 : texel.a >= 0.5 || texel.a < 4.0 / 255.0) discard;
    colour = vec4(min(texel.rgb * lit, 1.0) * gain(low), texel.a);
}}
"""


@dataclass(frozen=True)
class MeshPose:
    """Where a mesh is at one moment."""

    points: np.ndarray
    "[N, 3] float32, units of the world (display/optics.py)."
    light: np.ndarray
    "[N] float32."


@dataclass(frozen=True)
class Mesh:
    """What never moves of a mesh."""

    uv: np.ndarray
    "[N, 2] float32: 0..1 of the atlas, from its top left corner."
    parts: tuple[tuple[np.ndarray, bool], ...]
    "In drawing order: triangles [T, 3] int32, anticlockwise from in front, and whether they are seen from there only."
    atlas: np.ndarray
    "[H, W, 4] uint8, straight alpha, at the scale of the screen's tiles."


class MeshBrush:
    """Draws one mesh."""

    samples = 4
    "Of a pixel: silhouettes are antialiased."
    kind = "f1"
    "Of the numbers that it is drawn into: bytes."

    def __init__(self, gl: Any, mesh: Mesh) -> None:
        """`gl` is a moderngl.Context."""
        self._gl = gl
        self._program = gl.program(_VERTEX, _FRAGMENT)
        self._moving = gl.buffer(reserve=16 * len(mesh.uv), dynamic=True)
        self._still = gl.buffer(mesh.uv.astype("f4").tobytes())
        self._parts = [(self._array(triangles), culled) for triangles, culled in mesh.parts]
        self._atlas = gl.texture(mesh.atlas.shape[1::-1], 4, mesh.atlas.tobytes())
        self._atlas.repeat_x = self._atlas.repeat_y = False

    def begin(self, pose: MeshPose, cameras: Cameras, parallel: bool, fade: float) -> None:
        """Before any of its views is drawn. `fade`: share of a picture's height."""
        gl = self._gl
        self._cameras = cameras
        self._moving.write(np.column_stack([pose.points, pose.light]).astype("f4").tobytes())
        gl.enable(gl.DEPTH_TEST | gl.BLEND)
        gl.depth_func, gl.front_face = "<", "cw"  # y runs down in the texture, which turns every triangle over
        gl.blend_func = gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA
        self._atlas.use(0)
        camera.set_in(self._program, depth=DEPTH, atlas=0, fade=fade, **camera.of_all(parallel))

    def draw(self, view: int) -> None:
        """One view into the viewport."""
        gl = self._gl
        camera.set_in(self._program, **camera.of_one(self._cameras, view))
        for array, culled in self._parts:
            (gl.enable if culled else gl.disable)(gl.CULL_FACE)
            for number in (SOLID, SOFT):
                camera.set_in(self._program, pass_=number)
                gl.fbo.depth_mask = number == SOLID
                array.render()
        gl.fbo.depth_mask = True

    def end(self) -> None:
        """After all of them."""
        self._gl.disable(self._gl.DEPTH_TEST | self._gl.CULL_FACE)

    def close(self) -> None:
        """Give everything back."""
        for one in (self._program, self._moving, self._still, self._atlas, *(array for array, _ in self._parts)):
            one.release()

    def _array(self, triangles: np.ndarray) -> Any:
        index = self._gl.buffer(triangles.astype("i4").tobytes())
        content = [(self._moving, "3f 1f", "place", "light"), (self._still, "2f", "uv")]
        return self._gl.vertex_array(self._program, content, index)

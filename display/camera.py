"""Camera: where a shader sees a point, as docs/geometry.md, Drawing, says: the text that all that draws figures shares. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

from display.optics import FOCAL, LOOK_AT, ORBIT_RADIUS, Cameras

SEEN = """
uniform vec3 middle; uniform vec2 turn; uniform vec4 lens; uniform float radius, parallel;
const vec3 down = vec3(0.0, -1.0, 0.0);
vec3 right() { return vec3(turn.x, 0.0, -turn.y); }
vec3 into() { return vec3(-turn.y, 0.0, -turn.x); }
// u and v of the picture from its top left corner, depth behind the glass, and what u and v were divided by
vec4 seen(vec3 place) {
    vec3 d = place - middle;
    float deep = dot(d, into()), far = mix(radius + deep, radius, parallel);
    return vec4(lens.zw + lens.xy * vec2(dot(d, right()), dot(d, down)) / far, deep, far);
}
"""
"Without pitch; `turn`: cosine and sine of the yaw; `lens`: focal lengths and principal point in shares of the picture."


LOWER_EDGE = """
uniform float fade;
// what is left of light at height v of a picture that fades over that share of its height
float gain(float v) {
    float gone = fade > 0.0 ? clamp((v - 1.0 + fade) / fade, 0.0, 1.0) : 0.0;
    return 1.0 - gone * gone * gone;
}
"""


def of_all(parallel: bool) -> dict[str, Any]:
    """Uniforms that all views share."""
    return {"middle": tuple(LOOK_AT.tolist()), "radius": ORBIT_RADIUS, "parallel": float(parallel)}


def of_one(cameras: Cameras, view: int) -> dict[str, Any]:
    """Uniforms of one view."""
    yaw, lens = float(cameras.yaws[view]), cameras.intrinsics[view]
    return {"turn": (np.cos(yaw), np.sin(yaw)), "lens": (lens[0, 0], lens[1, 1], lens[0, 2], lens[1, 2])}


def shown(cameras: Cameras) -> float:
    """How many times the crop's height a picture shows."""
    return FOCAL / float(cameras.intrinsics[0, 1, 1])


def set_in(program: Any, **values: Any) -> None:
    """Set uniforms of a moderngl.Program."""
    for name, value in values.items():
        if name in program:  # a driver may have found one that changes nothing
            program[name].value = value

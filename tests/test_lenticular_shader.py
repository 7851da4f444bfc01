"""The shader on two GPUs' worth of software, Mesa's OpenGL and Chromium's WebGL2, against goldens and the plain twin.

Both stay within 1 of 255 (2 are allowed: GPUs keep 8 bits of a filter's weight), but where a subpixel lies within 0.001 views
of the border between two, and float32 may choose the other: at most one in ten thousand.
"""

from __future__ import annotations

import base64
import ctypes
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from display.calibration import Calibration
from display.desktop import compilers_first
from display.lenticular import (
    CellTable,
    Dialect,
    Filter,
    Window,
    fragment_source,
    interlace,
    places,
    uniforms,
    vertex_source,
)
from display.tiling import Tiling
from tests.panels import CELLS, PANELS, STRIPES, case, cases, noisy
from tests.test_lenticular import decided

Options = dict[str, Any]
"Keywords of interlace() and uniforms()."
Shader = Callable[[np.ndarray, Tiling, Calibration, list[Options]], list[np.ndarray]]
"Draws a panel, or the window of it that the options name, once for each of the options: [h, w, 3] uint8, top row first."

TILING = Tiling(6, 4, 22, 6 * 32 + 5, 4 * 24 + 3, 1.2)
ORBITED = replace(TILING, fan_degrees=35.0)
OPTIONS: list[Options] = [
    {},
    {"filter": Filter.NEAREST},
    {"overscan": True},
    {"focus": 0.04},
    {"depth": 0.6},
    {"cells": CellTable.FORK, "window": (11, 7, 40, 30)},
    {"filter": Filter.NEAREST, "focus": -0.03, "depth": 0.4, "overscan": True},
]


@pytest.fixture(scope="module")
def opengl() -> Iterator[Shader]:
    """The shader off screen, through EGL."""
    moderngl = pytest.importorskip("moderngl")
    compilers_first()
    try:
        context = moderngl.create_context(
            standalone=True, backend="egl", libgl="libGL.so.1", libegl="libEGL.so.1", require=330
        )
    except Exception as failure:
        reason = f"no OpenGL without a screen ({failure}): apt-get install libegl1 libgl1-mesa-dri"
        if os.environ.get("TELEQUILT_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    program = context.program(vertex_shader=vertex_source("330 core"), fragment_shader=fragment_source("330 core"))
    triangle = context.vertex_array(program, [])

    def draw(quilt: np.ndarray, tiling: Tiling, panel: Calibration, wanted: list[Options]) -> list[np.ndarray]:
        texture = context.texture((tiling.width, tiling.height), quilt.shape[2], quilt.tobytes(), alignment=1)
        texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        texture.use(0)
        shown = []
        for options in wanted:
            _, _, width, height = window(panel, options)
            target = context.simple_framebuffer((width, height), 4)
            target.use()
            for name, value in uniforms(tiling, panel, **options).items():
                program[name].value = value
            triangle.render(vertices=3)
            read = np.frombuffer(target.read(components=3, alignment=1), np.uint8)
            shown.append(read.reshape(height, width, 3)[::-1])
            target.release()
        texture.release()
        return shown

    yield draw
    context.release()
    ctypes.CDLL("libEGL.so.1").eglReleaseThread()  # else it stays current, and no window of this thread can have one


BEGIN = """
({ vertex, fragment }) => {
  const gl = new OffscreenCanvas(16, 16).getContext("webgl2", { antialias: false, alpha: false });
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  gl.useProgram(program);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
  Object.assign(window, { gl, program });
}
"""
DRAW = """
async ({ quilt, wanted }) => {
  const { gl, program } = window;
  const picture = await createImageBitmap(await (await fetch(quilt)).blob(), { colorSpaceConversion: "none" });
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
  return wanted.map(({ uniforms, size }) => {
    Object.assign(gl.canvas, { width: size[0], height: size[1] });
    gl.viewport(0, 0, ...size);
    for (const [name, value] of Object.entries(uniforms)) {
      const each = Array.isArray(value) ? (Array.isArray(value[0]) ? value[0] : value).length : 1;
      gl[`uniform${each}fv`](gl.getUniformLocation(program, name), [value].flat(2));
    }
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    const shown = new Uint8Array(size[0] * size[1] * 4);
    gl.readPixels(0, 0, ...size, gl.RGBA, gl.UNSIGNED_BYTE, shown);
    if (gl.getError()) throw new Error("WebGL error");
    let text = "";
    for (let at = 0; at < shown.length; at += 32768) text += String.fromCharCode(...shown.subarray(at, at + 32768));
    return btoa(text);
  });
}
"""


@pytest.fixture(scope="module")
def webgl() -> Iterator[Shader]:
    """The shader in a page."""
    from PIL import Image

    from tests.browsing import browsing

    with browsing(None) as browser:
        page = browser.new_page()
        page.evaluate(BEGIN, {"vertex": vertex_source("300 es"), "fragment": fragment_source("300 es")})

        def draw(quilt: np.ndarray, tiling: Tiling, panel: Calibration, wanted: list[Options]) -> list[np.ndarray]:
            file = io.BytesIO()
            Image.fromarray(quilt[..., :3]).save(file, "PNG", compress_level=1)
            sizes = [window(panel, options)[2:] for options in wanted]
            given = {
                "quilt": "data:image/png;base64," + base64.b64encode(file.getvalue()).decode(),
                "wanted": [
                    {"uniforms": uniforms(tiling, panel, **options), "size": size}
                    for options, size in zip(wanted, sizes, strict=True)
                ],
            }
            return [
                np.frombuffer(base64.b64decode(shown), np.uint8).reshape(height, width, 4)[::-1, :, :3]
                for shown, (width, height) in zip(page.evaluate(DRAW, given), sizes, strict=True)
            ]

        yield draw


GPUS = ["opengl", pytest.param("webgl", marks=pytest.mark.browser)]


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("name", cases())
def test_golden_panels(name: str, gpu: str, request: pytest.FixtureRequest):
    one, shader = case(name), request.getfixturevalue(gpu)
    wanted = [(filter, part) for filter in Filter for part in one.wanted()]
    options = [one.options | {"filter": filter, "window": part.window} for filter, part in wanted]
    for (filter, part), shown in zip(wanted, shader(one.quilt, one.tiling, one.calibration, options), strict=True):
        agrees(shown, part.nearest if filter is Filter.NEAREST else part.blended, part.place)


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_every_option_is_the_same_as_in_the_plain_twin(panel: Calibration, gpu: str, request: pytest.FixtureRequest):
    for tiling in (TILING, ORBITED, replace(ORBITED, parallel=True)):
        agrees_with_twin(request.getfixturevalue(gpu), tiling, panel, OPTIONS)


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("mode", range(5))
def test_every_cell_pattern(mode: int, gpu: str, request: pytest.FixtureRequest):
    panel = replace(CELLS, cell_mode=mode, cells=(*CELLS.cells, ((0.1, 0.2), (0.3, -0.1), (-0.2, 0.0))))
    agrees_with_twin(request.getfixturevalue(gpu), TILING, panel, [{"cells": cells} for cells in CellTable])


@pytest.mark.parametrize("gpu", GPUS)
def test_the_far_corner_of_the_largest_panel_is_as_exact(gpu: str, request: pytest.FixtureRequest):
    """Of 66 views on 4000 lenses; plain float32 would be off by up to 0.016 views there."""
    vast = replace(STRIPES, width=16384, height=16384, pitch=80.0, dpi=280.0)
    tiling = Tiling(11, 6, 66, 11 * 16, 6 * 16, 1.0)
    agrees_with_twin(request.getfixturevalue(gpu), tiling, vast, [{"window": (16384 - 128, 0, 128, 128)}])


def agrees_with_twin(shader: Shader, tiling: Tiling, panel: Calibration, wanted: list[Options]) -> None:
    quilt = noisy(tiling)
    for options, shown in zip(wanted, shader(quilt, tiling, panel, wanted), strict=True):
        agrees(shown, interlace(quilt, tiling, panel, **options), sent(tiling, panel, options))


def agrees(shown: np.ndarray, right: np.ndarray, place: np.ndarray) -> None:
    wrong = np.abs(shown.astype(int) - right)
    assert wrong[decided(place)].max() <= 2
    assert (wrong > 2).mean() <= 1e-3


def sent(tiling: Tiling, panel: Calibration, options: Options) -> np.ndarray:
    """[h, w, 3] places in views of the panel's window."""
    left, top, width, height = window(panel, options)
    y, x = np.mgrid[panel.height - 1 - top : panel.height - 1 - top - height : -1, left : left + width]
    across = [places(x, y, panel, channel, options.get("cells", CellTable.BRIDGE)) for channel in range(3)]
    return (0.5 + (np.stack(across, axis=-1) - 0.5) * options.get("depth", 1.0)) * tiling.views


def window(panel: Calibration, options: Options) -> Window:
    return options.get("window") or (0, 0, panel.width, panel.height)


def test_only_the_first_lines_differ_between_dialects():
    dialects: tuple[Dialect, Dialect] = ("330 core", "300 es")
    core, es = (fragment_source(dialect).split("// From a quilt", 1) for dialect in dialects)
    assert core[1] == es[1]
    assert core[0] == "#version 330 core\n"
    assert es[0].startswith("#version 300 es\nprecision highp float;")
    assert "mediump" not in es[0]

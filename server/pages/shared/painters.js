// Painting one angle of a quilt: with WebGL 2, and a plain twin on a 2D canvas. Both agree where views meet pixels.

import { neighbours, tileOf } from "./tiling.js";

const VERTEX = `#version 300 es
out vec2 at;  // 0..1 from the picture's top left
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);  // one strip covers the canvas
  at = vec2(corner.x, 1.0 - corner.y);
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}`;

// Tiles are magnified two to four times. Catmull-Rom keeps edges that bilinear magnification smears; 9 bilinear taps instead of 16.
const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D quilt;
uniform vec4 lowTile, highTile;  // left, top, width, height in shares of the quilt
uniform float mixture;
uniform bool sharp;
in vec2 at;
out vec4 colour;

vec3 tap(vec2 point, vec4 inside) {  // never past the middle of a tile's outermost pixels, so that tiles do not bleed
  return texture(quilt, clamp(point, inside.xy, inside.zw)).rgb;
}

vec3 view(vec4 tile) {
  vec2 size = vec2(textureSize(quilt, 0));
  vec2 point = tile.xy + at * tile.zw;
  vec4 inside = vec4(tile.xy + 0.5 / size, tile.xy + tile.zw - 0.5 / size);
  if (!sharp) return tap(point, inside);
  vec2 centre = floor(point * size - 0.5) + 0.5;
  vec2 f = point * size - centre;
  vec2 w0 = f * (-0.5 + f * (1.0 - 0.5 * f));
  vec2 w1 = 1.0 + f * f * (-2.5 + 1.5 * f);
  vec2 w2 = f * (0.5 + f * (2.0 - 1.5 * f));
  vec2 w3 = f * f * (-0.5 + 0.5 * f);
  vec2 w12 = w1 + w2;
  vec2 p0 = (centre - 1.0) / size, p12 = (centre + w2 / w12) / size, p3 = (centre + 2.0) / size;
  vec3 sum = tap(vec2(p12.x, p0.y), inside) * w12.x * w0.y
    + tap(vec2(p0.x, p12.y), inside) * w0.x * w12.y
    + tap(p12, inside) * w12.x * w12.y
    + tap(vec2(p3.x, p12.y), inside) * w3.x * w12.y
    + tap(vec2(p12.x, p3.y), inside) * w12.x * w3.y
    + tap(p0, inside) * w0.x * w0.y + tap(vec2(p3.x, p0.y), inside) * w3.x * w0.y
    + tap(vec2(p0.x, p3.y), inside) * w0.x * w3.y + tap(p3, inside) * w3.x * w3.y;
  return clamp(sum, 0.0, 1.0);
}

void main() {
  colour = vec4(mix(view(lowTile), view(highTile), mixture), 1.0);
}`;

/** Slower than this for one picture, and there is no GPU to speak of: then two taps a pixel, and fewer pixels, must do. */
const SLOW_MS = 12;
/** The first paints compile and upload; the last of these is the one that is timed. */
const TRIAL_PAINTS = 4;

/** How WebGL names a GPU that is none: Chromium's, Mesa's, Windows'. */
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** Whether WebGL draws in software here; null while nobody has looked. @type {boolean|null} */
let inSoftware = null;

function drawsInSoftware() {
  if (inSoftware !== null) return inSoftware;
  const gl = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  const name = gl?.getParameter(gl.getExtension("WEBGL_debug_renderer_info")?.UNMASKED_RENDERER_WEBGL ?? gl.RENDERER);
  inSoftware = !gl || SOFTWARE.test(name);
  gl?.getExtension("WEBGL_lose_context")?.loseContext(); // browsers have few
  return inSoftware;
}

/**
 * The best painter that this canvas can have. WebGL in software takes twice as much of the processor as a 2D canvas (Chromium, two cores
 * without a GPU: 16 ms a picture), which then lacks for decoding and encoding.
 * @param {HTMLCanvasElement} canvas @returns {WebGLPainter|CanvasPainter}
 */
export function painterFor(canvas) {
  const gl = drawsInSoftware() ? null : canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false });
  return gl ? new WebGLPainter(gl) : new CanvasPainter(canvas.getContext("2d", { alpha: false }));
}

export class WebGLPainter {
  kind = "webgl2";
  #gl;
  #uniforms;
  #holds = false;
  #paints = 0;
  /** Whether this machine draws in software. */
  slow = false;

  /** @param {WebGL2RenderingContext} gl */
  constructor(gl) {
    this.#gl = gl;
    this.#build();
    gl.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault()); // asks for it back
    gl.canvas.addEventListener("webglcontextrestored", () => this.#build());
  }

  #build() {
    const gl = this.#gl;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    const names = ["lowTile", "highTile", "mixture", "sharp"];
    this.#uniforms = Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)]));
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.LINEAR);
    this.#holds = false;
  }

  /** Whether a quilt of this size fits. @param {import("./tiling.js").Screen} screen */
  canShow(screen) {
    return Math.max(screen.quilt_width, screen.quilt_height) <= this.#gl.getParameter(this.#gl.MAX_TEXTURE_SIZE);
  }

  /** A new frame is in the video. @param {HTMLVideoElement} video */
  take(video) {
    const gl = this.#gl;
    if (gl.isContextLost()) return;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, video);
    this.#holds = true;
  }

  /** @param {import("./tiling.js").Screen} screen @param {number} share of the fan */
  paint(screen, share) {
    const gl = this.#gl;
    if (!this.#holds || gl.isContextLost()) return;
    const { low, high, mix } = neighbours(screen, share);
    for (const [name, view] of [["lowTile", low], ["highTile", high]]) {
      const tile = tileOf(screen, view);
      gl.uniform4f(this.#uniforms[name], tile.left, tile.top, tile.width, tile.height);
    }
    gl.uniform1f(this.#uniforms.mixture, mix);
    gl.uniform1i(this.#uniforms.sharp, this.slow ? 0 : 1);
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    const begun = performance.now();
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    this.#paints += 1;
    if (this.#paints > TRIAL_PAINTS) return;
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)); // waits until it is drawn
    if (this.#paints === TRIAL_PAINTS) this.slow = performance.now() - begun > SLOW_MS;
  }
}

export class CanvasPainter {
  kind = "2d";
  slow = true;
  #context;
  #video = null;

  /** @param {CanvasRenderingContext2D} context */
  constructor(context) {
    this.#context = context;
  }

  canShow() {
    return true;
  }

  /** @param {HTMLVideoElement} video */
  take(video) {
    this.#video = video;
  }

  /** @param {import("./tiling.js").Screen} screen @param {number} share of the fan */
  paint(screen, share) {
    if (!this.#video?.videoWidth) return;
    const { low, high, mix } = neighbours(screen, share);
    this.#draw(tileOf(screen, low), 1);
    if (mix > 0) this.#draw(tileOf(screen, high), mix);
  }

  #draw(tile, opacity) {
    const { videoWidth: across, videoHeight: down } = this.#video;
    const { width, height } = this.#context.canvas;
    const [left, top] = [tile.left * across + 0.5, tile.top * down + 0.5]; // Chromium's filter reads past the rectangle's
    const [wide, high] = [tile.width * across - 1, tile.height * down - 1]; // edge; so it ends in the middle of a pixel
    this.#context.globalAlpha = opacity;
    this.#context.drawImage(this.#video, left, top, wide, high, 0, 0, width, height);
  }
}

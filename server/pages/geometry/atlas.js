// Atlas: an avatar's textures at the scale of a picture, so that they are sampled one to one: what engines/relief/texture.py's
// scaled() does with OpenCV, on the GPU: means of areas where pixels get fewer, cubic where they get more.

import { program } from "./shaders.js";

const VERTEX = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID / 2, gl_VertexID % 2) * 4.0 - 1.0, 0.0, 1.0); }`;

const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
uniform sampler2D whole;
uniform vec2 scale;  // pixels of the result for one of the atlas
out vec4 colour;

vec4 area(ivec2 size) {
  vec2 from = (gl_FragCoord.xy - 0.5) / scale, to = min((gl_FragCoord.xy + 0.5) / scale, vec2(size));
  vec4 sum = vec4(0.0);
  for (int y = int(from.y); y < int(ceil(to.y - 1e-3)); y++)
    for (int x = int(from.x); x < int(ceil(to.x - 1e-3)); x++) {
      vec2 share = min(to, vec2(x + 1, y + 1)) - max(from, vec2(x, y));
      sum += texelFetch(whole, ivec2(x, y), 0) * share.x * share.y;
    }
  vec2 extent = to - from;
  return sum / (extent.x * extent.y);
}

vec4 weights(float f) {  // OpenCV's INTER_CUBIC: a = -0.75
  vec2 outer = vec2(1.0 + f, 2.0 - f), inner = vec2(f, 1.0 - f);
  vec2 far = ((-0.75 * outer + 3.75) * outer - 6.0) * outer + 3.0;
  vec2 near = (1.25 * inner - 2.25) * inner * inner + 1.0;
  return vec4(far.x, near.x, near.y, far.y);
}

vec4 cubic(ivec2 size) {
  vec2 place = gl_FragCoord.xy / scale - 0.5;
  ivec2 first = ivec2(floor(place));
  vec4 across = weights(fract(place.x)), down = weights(fract(place.y));
  vec4 sum = vec4(0.0);
  for (int y = 0; y < 4; y++)
    for (int x = 0; x < 4; x++)
      sum += texelFetch(whole, clamp(first + ivec2(x, y) - 1, ivec2(0), size - 1), 0) * across[x] * down[y];
  return clamp(sum, 0.0, 1.0);
}

void main() {
  ivec2 size = textureSize(whole, 0);
  colour = all(lessThan(scale, vec2(1.0))) ? area(size) : cubic(size);
}`;

/** A texture that neither repeats nor shrinks by itself. @param {WebGL2RenderingContext} gl */
export function plainTexture(gl) {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
  for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.LINEAR);
  return texture;
}

export class Atlas {
  #gl;
  #program;
  #whole;
  #largest;
  #size;
  /** By its size in words: the newest last. @type {Map<string, WebGLTexture>} */
  #scaled = new Map();

  /** @param {WebGL2RenderingContext} gl @param {ImageBitmap} picture its alpha not multiplied in @param {number} largest scale it is brought to */
  constructor(gl, picture, largest) {
    this.#largest = largest;
    this.#gl = gl;
    this.#program = program(gl, VERTEX, FRAGMENT);
    this.#whole = plainTexture(gl);
    this.#size = [picture.width, picture.height];
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, picture);
  }

  /** At so many pixels for one of the atlas, at most the largest. @param {number} across @param {number} down @returns {WebGLTexture} */
  at(across, down) {
    const scale = [across, down].map((one) => Math.min(one, this.#largest));
    const size = this.#size.map((side, at) => Math.max(Math.round(side * scale[at]), 2));
    const found = this.#scaled.get(String(size));
    if (found) return found;
    for (const texture of this.#scaled.values()) this.#gl.deleteTexture(texture); // one size is shown at a time
    const made = this.#made(size);
    this.#scaled = new Map([[String(size), made]]);
    return made;
  }

  #made([width, height]) {
    const gl = this.#gl;
    const texture = plainTexture(gl);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
    const frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    gl.viewport(0, 0, width, height);
    gl.disable(gl.BLEND);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.CULL_FACE);
    gl.useProgram(this.#program.handle);
    gl.bindTexture(gl.TEXTURE_2D, this.#whole);
    gl.uniform2f(this.#program.at.scale, width / this.#size[0], height / this.#size[1]);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.deleteFramebuffer(frame);
    return texture;
  }

  free() {
    for (const texture of [this.#whole, ...this.#scaled.values()]) this.#gl.deleteTexture(texture);
    this.#gl.deleteProgram(this.#program.handle);
  }
}

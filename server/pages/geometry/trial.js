// Trial: how long this device takes for a picture, measured, not guessed from its name: of a stand-in as large as avatars of triangles
// are, before anything is asked for, and then of the avatar itself, since Gaussians take more.

import { Painter } from "./painter.js";
import { canUnpack } from "./motion.js";

/** As many vertices and pixels of atlas as a portrait of the relief engine has. */
const [ACROSS, DOWN] = [64, 56];
const ATLAS = [704, 1200];
/** The first compiles and uploads; the quickest of the others counts. */
const PICTURES = 4;

/** Slower than this is too slow: neither the angle nor the face would move smoothly. */
export const SLOWEST_MS = 20;
/** Slower than this, no other picture is waited for. */
const HOPELESS_MS = 200;

/** Why this browser cannot draw avatars, or nothing. */
export function lacking() {
  if (!canUnpack() || !globalThis.RTCPeerConnection) return "this browser is too old to draw it";
  const gl = contextOf(1, 1);
  letGo(gl);
  return gl ? "" : "this browser has no WebGL 2";
}

/** @param {number} width @param {number} height */
const contextOf = (width, height) =>
  Object.assign(document.createElement("canvas"), { width, height }).getContext("webgl2", { alpha: true, antialias: false, depth: false });

/** Browsers have few of them. @param {WebGL2RenderingContext|null} gl */
const letGo = (gl) => gl?.getExtension("WEBGL_lose_context")?.loseContext();

/** Waits until what was given to it is drawn. @param {WebGL2RenderingContext} gl */
export const finished = (gl) => gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));

/** Times an avatar's own first pictures. */
export class FirstPictures {
  #count = 0;
  #quickest = Infinity;

  /** One was painted, begun at that time. @param {WebGL2RenderingContext} gl @param {number} begun @returns {number} milliseconds, once they are known; else 0 */
  painted(gl, begun) {
    if (this.#count >= PICTURES) return 0;
    finished(gl);
    this.#count += 1;
    if (this.#count === 1) return 0;
    this.#quickest = Math.min(this.#quickest, performance.now() - begun);
    if (this.#quickest > HOPELESS_MS) this.#count = PICTURES;
    return this.#count === PICTURES ? this.#quickest : 0;
  }
}

/** Milliseconds of a picture of these sides. @param {number} width @param {number} height @returns {Promise<number>} Infinity where it fails */
export async function measured(width, height) {
  const gl = contextOf(width, height);
  try {
    const painter = new Painter(gl);
    painter.follow({ figure: await standIn(), generation: 0, before: grid(), after: grid() });
    let quickest = Infinity;
    for (let picture = 0; picture < PICTURES && quickest > SLOWEST_MS / 4; picture += 1) {
      const begun = performance.now();
      painter.paint([{ left: 0, bottom: 0, width, height, yaw: 0.01 * picture }], 1, 0.5);
      finished(gl);
      if (picture > 0) quickest = Math.min(quickest, performance.now() - begun);
    }
    return quickest;
  } catch {
    return Infinity;
  } finally {
    letGo(gl);
  }
}

/** [ACROSS x DOWN, 4]: a bowl before the glass. */
function grid() {
  return Float32Array.from({ length: 4 * ACROSS * DOWN }, (_, at) => {
    const [x, y] = [(Math.floor(at / 4) % ACROSS) / ACROSS - 0.5, Math.floor(at / 4 / ACROSS) / DOWN - 0.5];
    return [0.5 * x, 0.5 * y, 0.2 - 0.5 * (x * x + y * y), 1][at % 4];
  });
}

async function standIn() {
  const indices = [];
  for (let row = 0; row + 1 < DOWN; row += 1) {
    for (let at = row * ACROSS; at + 1 < (row + 1) * ACROSS; at += 1) indices.push(at, at + 1, at + ACROSS, at + 1, at + ACROSS + 1, at + ACROSS);
  }
  const points = grid();
  const places = Float32Array.from({ length: 2 * ACROSS * DOWN }, (_, at) => 0.5 + points[4 * (at >> 1) + (at & 1)]);
  const atlas = await createImageBitmap(new ImageData(new Uint8ClampedArray(4 * ATLAS[0] * ATLAS[1]).fill(200), ...ATLAS), { premultiplyAlpha: "none" });
  const parts = [{ indices: Uint32Array.from(indices), culled: false }];
  return /** @type {any} */ ({ places, parts, atlas, parallel: true, crop: 512, largest: 2, fade: 0, mark: null, atRest: grid });
}

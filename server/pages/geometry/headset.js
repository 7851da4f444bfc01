// Headset: an avatar at life size, at the distance of a conversation, by WebXR: each eye sees it for itself, as its wearer moves.

import { Painter } from "./painter.js";
import { LOOK_AT_Z, times } from "./views.js";

/** Metres from the wearer's eyes, as they are when it begins, to the middle of the head. */
export const DISTANCE = 1.2;
const [NEAREST, FURTHEST] = [0.05, 50];
/** The best kind first: in the dark, or in one's own room. */
const KINDS = /** @type {const} */ (["immersive-vr", "immersive-ar"]);

/** @returns {Promise<string>} the kind of session that this browser offers, or nothing */
export async function offered() {
  for (const kind of KINDS) {
    if (await navigator.xr?.isSessionSupported(kind).catch(() => false)) return kind;
  }
  return "";
}

/** Fires "ended". */
export class Headset extends EventTarget {
  #actor;
  #session;
  #painter;
  #gl;
  #space;

  /** @param {import("./actor.js").Actor} actor who has a figure @param {XRSession} session */
  constructor(actor, session) {
    super();
    this.#actor = actor;
    this.#session = session;
    session.addEventListener("end", () => {
      this.#gl?.getExtension("WEBGL_lose_context")?.loseContext(); // browsers have few of them
      this.dispatchEvent(new Event("ended"));
    });
  }

  /**
   * Must be called from a tap: browsers ask for one.
   * @param {import("./actor.js").Actor} actor @param {string} kind @returns {Promise<Headset>}
   */
  static async worn(actor, kind) {
    const headset = new Headset(actor, await navigator.xr.requestSession(/** @type {any} */ (kind)));
    await headset.#begin();
    return headset;
  }

  end() {
    void this.#session.end().catch(() => undefined); // it has ended by itself
  }

  async #begin() {
    const canvas = document.createElement("canvas");
    this.#gl = canvas.getContext("webgl2", { xrCompatible: true, alpha: true, antialias: true, depth: true });
    this.#painter = new Painter(this.#gl);
    const baseLayer = new XRWebGLLayer(this.#session, this.#gl);
    await this.#session.updateRenderState({ baseLayer, depthNear: NEAREST, depthFar: FURTHEST });
    this.#space = await this.#session.requestReferenceSpace("local");
    this.#session.requestAnimationFrame((now, frame) => this.#draw(now, frame));
  }

  /** @param {number} now @param {XRFrame} frame */
  #draw(now, frame) {
    this.#session.requestAnimationFrame((later, next) => this.#draw(later, next));
    const seen = frame.getViewerPose(this.#space);
    const layer = this.#session.renderState.baseLayer;
    if (!seen || !this.#actor.figure) return;
    const gl = this.#gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, layer.framebuffer);
    gl.clearColor(0, 0, 0, this.#session.environmentBlendMode === "opaque" ? 1 : 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    this.#painter.follow(this.#actor);
    const placed = placing(this.#actor.figure.metres);
    const eyes = seen.views.map((view) => {
      const { x: left, y: bottom, width, height } = layer.getViewport(view);
      return { left, bottom, width, height, matrix: times(times(view.projectionMatrix, view.transform.inverse.matrix), placed) };
    });
    this.#painter.paintEyes(eyes, this.#actor.mixture(now));
  }
}

/** From the figure's world to metres before the wearer's eyes. @param {number} metres @returns {Float32Array} [16], by columns */
const placing = (metres) => new Float32Array([metres, 0, 0, 0, 0, metres, 0, 0, 0, 0, metres, 0, 0, 0, -DISTANCE - metres * LOOK_AT_Z, 1]);

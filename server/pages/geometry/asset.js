// Asset: an avatar of an asset's bytes, of whichever kind it is.

import { Cloud } from "./cloud.js";
import { Glb, Unreadable } from "./glb.js";
import { Mesh } from "./mesh.js";

const VERSION = 1;

/** @param {ArrayBuffer} bytes @returns {Promise<import("./figure.js").Figure>} @throws {Unreadable} */
export async function figureOf(bytes) {
  const glb = new Glb(bytes);
  const told = glb.json.extras?.telequilt;
  if (told?.version !== VERSION) throw new Unreadable(`it is of version ${told?.version ?? "none"}, this page knows ${VERSION}`);
  if (told.drawn === "splats") return new Cloud(told, glb);
  if (told.drawn !== "triangles") throw new Unreadable(`it is drawn of ${told.drawn}, which this page does not know`);
  const { bufferView, mimeType } = glb.json.images[0];
  const file = new Blob([glb.bytes(bufferView)], { type: mimeType });
  return new Mesh(told, glb, await createImageBitmap(file, { premultiplyAlpha: "none", colorSpaceConversion: "none" }));
}

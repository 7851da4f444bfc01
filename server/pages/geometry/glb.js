// Glb: reads what we need of a binary glTF 2.0: its JSON, numbers from accessors, bytes of images. Knows nothing of avatars.

const [MAGIC, JSON_CHUNK, BINARY_CHUNK] = [0x46546c67, 0x4e4f534a, 0x004e4942];
const KINDS = { 5120: Int8Array, 5121: Uint8Array, 5122: Int16Array, 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array };
const LARGEST = { 5120: 127, 5121: 255, 5122: 32767, 5123: 65535 };
const NUMBERS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4, MAT4: 16 };

/** It is no asset that can be read here; the message says what is wrong with it. */
export class Unreadable extends Error {}

export class Glb {
  #binary;
  /** @type {any} */
  json;

  /** @param {ArrayBuffer} bytes @throws {Unreadable} */
  constructor(bytes) {
    const view = new DataView(bytes);
    if (bytes.byteLength < 20 || view.getUint32(0, true) !== MAGIC) throw new Unreadable("it is no binary glTF");
    if (view.getUint32(4, true) !== 2 || view.getUint32(8, true) !== bytes.byteLength) throw new Unreadable("it is no whole glTF 2");
    for (let at = 12; at + 8 <= bytes.byteLength; ) {
      const [length, kind] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
      const chunk = new Uint8Array(bytes, at + 8, length);
      if (kind === JSON_CHUNK) this.json = JSON.parse(new TextDecoder().decode(chunk));
      else if (kind === BINARY_CHUNK) this.#binary = chunk;
      at += 8 + length;
    }
    if (!this.json || !this.#binary) throw new Unreadable("it lacks one of its two parts");
  }

  /** The bytes of a buffer view. @param {number} index */
  bytes(index) {
    const { byteOffset = 0, byteLength } = this.json.bufferViews[index];
    return this.#binary.subarray(byteOffset, byteOffset + byteLength);
  }

  /** The numbers of an accessor, one after another: as stored, or as shares where they are normalised. @param {number} index */
  numbers(index) {
    const { bufferView, byteOffset, componentType, count, type, normalized } = this.json.accessors[index];
    return shares(this.#stored({ bufferView, byteOffset, componentType }, count, NUMBERS[type]), componentType, normalized);
  }

  /**
   * Of an accessor that is zero but for some places: which ones, and their numbers, one after another.
   * @param {number} index @returns {{which: ArrayLike<number>, values: ArrayLike<number>}}
   */
  sparse(index) {
    const { sparse, componentType, type, normalized } = this.json.accessors[index];
    if (!sparse) return { which: [], values: [] };
    const { count, indices, values } = sparse;
    const stored = this.#stored({ ...values, componentType }, count, NUMBERS[type]);
    return { which: this.#stored(indices, count, 1), values: shares(stored, componentType, normalized) };
  }

  #stored({ bufferView, byteOffset = 0, componentType }, count, each) {
    const Kind = KINDS[componentType];
    const size = each * Kind.BYTES_PER_ELEMENT;
    const { byteStride = size } = this.json.bufferViews[bufferView];
    const bytes = this.bytes(bufferView);
    const packed = new Uint8Array(count * size); // which also aligns it
    for (let item = 0; item < count; item += 1) packed.set(bytes.subarray(byteOffset + item * byteStride, byteOffset + item * byteStride + size), item * size);
    return new Kind(packed.buffer);
  }
}

/** As 0..1 or -1..1 where they are normalised. */
function shares(stored, componentType, normalized) {
  return normalized ? Float32Array.from(stored, (value) => Math.max(value / LARGEST[componentType], -1)) : stored;
}

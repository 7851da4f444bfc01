// Buffers: numbers on the graphics card.

/** @param {WebGL2RenderingContext} gl @param {number} kind @param {ArrayBufferView} values */
export function filled(gl, kind, values, use = gl.STATIC_DRAW) {
  const buffer = gl.createBuffer();
  gl.bindBuffer(kind, buffer);
  gl.bufferData(kind, values, use);
  return buffer;
}

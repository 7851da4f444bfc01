// Shaders: a program of two texts, and where its uniforms are.

/** The graphics card takes none of it; drawing has to be done elsewhere. */
export class NotDrawable extends Error {}

/**
 * @param {WebGL2RenderingContext} gl @param {string} vertex @param {string} fragment
 * @returns {{handle: WebGLProgram, at: Record<string, WebGLUniformLocation>}}
 * @throws {NotDrawable}
 */
export function program(gl, vertex, fragment) {
  const handle = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(handle, shader);
    gl.deleteShader(shader); // goes with the program
  }
  gl.linkProgram(handle);
  if (!gl.getProgramParameter(handle, gl.LINK_STATUS)) throw new NotDrawable(gl.getProgramInfoLog(handle) || "the context is lost");
  const at = {};
  for (let index = 0; index < gl.getProgramParameter(handle, gl.ACTIVE_UNIFORMS); index += 1) {
    const { name } = gl.getActiveUniform(handle, index);
    at[name] = gl.getUniformLocation(handle, name);
  }
  return { handle, at };
}

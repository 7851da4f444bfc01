// Shaders: a program of two texts, and where its uniforms are.

/** For a fragment shader: what is left of light at a picture's lower edge. */
export const LOWER_EDGE = `
uniform vec2 fade;  // of the tile: its lower edge, and the rows over which light goes; 0 for none
float gain() {
  float near = fade.y > 0.0 ? clamp(1.0 - (gl_FragCoord.y - fade.x) / fade.y, 0.0, 1.0) : 0.0;
  return 1.0 - near * near * near;
}`;

/** The graphics card takes none of it; drawing has to be done elsewhere. */
export class NotDrawable extends Error {
  /** It has only gone for now, which is told by an event of its own. */
  lost = false;
}

/** Whether a failure of painting means that this cannot be drawn here; any other than those is thrown on. @param {unknown} failure */
export function refused(failure) {
  if (!(failure instanceof NotDrawable)) throw failure;
  return !failure.lost;
}

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
  if (!gl.getProgramParameter(handle, gl.LINK_STATUS)) {
    throw Object.assign(new NotDrawable(gl.getProgramInfoLog(handle) ?? ""), { lost: gl.isContextLost() });
  }
  const at = {};
  for (let index = 0; index < gl.getProgramParameter(handle, gl.ACTIVE_UNIFORMS); index += 1) {
    const { name } = gl.getActiveUniform(handle, index);
    at[name] = gl.getUniformLocation(handle, name);
  }
  return { handle, at };
}

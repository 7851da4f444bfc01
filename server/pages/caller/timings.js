// The picture of where a frame's time goes: one bar per stage, each beginning where the one before ended.

/** Stages in the order a frame passes them; a stage the server adds is shown after these. */
const ORDER = ["preprocess", "drive", "render", "compose", "encode"];

/**
 * @typedef {{p50: number, p95: number, p99: number}} Spread in milliseconds
 */

/** @param {number} value milliseconds */
const shortly = (value) => (value < 10 ? value.toFixed(1) : String(Math.round(value)));

/**
 * Rewrites the body of `table` (stage, bar, median, 95th percentile).
 * @param {HTMLTableElement} table
 * @param {Record<string, Spread>} stages
 */
export function showTimings(table, stages) {
  const names = Object.keys(stages).sort((a, b) => rank(a) - rank(b));
  const whole = Math.max(1, names.reduce((sum, name) => sum + stages[name].p50, 0));
  let begin = 0;
  const rows = names.map((name) => {
    const { p50, p95 } = stages[name];
    const row = document.createElement("tr");
    row.append(heading(name), cell(bar(begin / whole, p50 / whole)), cell(shortly(p50)), cell(shortly(p95)));
    begin += p50;
    return row;
  });
  table.tBodies[0].replaceChildren(...rows);
}

/** @param {string} name */
function rank(name) {
  const place = ORDER.indexOf(name);
  return place < 0 ? ORDER.length : place;
}

/** @param {string} text */
function heading(text) {
  const th = document.createElement("th");
  th.scope = "row";
  th.textContent = text;
  return th;
}

/** @param {string|Node} content */
function cell(content) {
  const td = document.createElement("td");
  td.append(content);
  return td;
}

/** @param {number} begin @param {number} length both as shares of the whole */
function bar(begin, length) {
  const track = document.createElement("span");
  track.className = "bar";
  const fill = document.createElement("span");
  fill.style.marginInlineStart = `${begin * 100}%`;
  fill.style.width = `${Math.max(length * 100, 0.8)}%`;
  track.append(fill);
  return track;
}

// Look around: where the viewer's own head is, told by the server 25 times a second, becomes the angle that is shown. Pure: times are
// arguments, in milliseconds of one clock. Knows nothing of sockets, pointers or pictures.

/** The angle over which the views are spread, degrees. */
const FAN_DEGREES = 35;
/** The share of the fan at each end over which a head that goes on turning moves the picture ever less. */
const SOFT_SHARE = 0.1;
/** A head is taken to go on as it went for at most so long and so far. */
const LONGEST_AHEAD_MS = 80;
const FURTHEST_AHEAD_MM = 40;
/** Its speed is the mean of what is measured over about so long. */
const SPEED_OVER_MS = 60;
/** Less movement than this is trembling. */
const DEAD_ZONE_MM = 1;
/** Who jumps so far, or moves so fast, is somebody else: eased to. */
const JUMP_MM = 150;
const FASTEST_MM_PER_MS = 1.5;
/** A place older than the first steers with less and less of its gain, down to half at the second; beyond the last, not at all. */
const OLD_MS = 150;
const OLDER_MS = 250;
const TOO_OLD_MS = 300;
/** A face seen less than this for so long is lost. */
const LEAST_SEEN = 0.5;
const LOST_MS = 500;
/** Ages that are kept until they are told: about four seconds'. */
const MOST_AGES = 100;
/** How long it takes to take the angle over, and to give it back. */
const EASE_MS = 800;
/** Up and down the picture slides by this share of its height for each unit of y / z, and by no more than the second. */
const SLIDE = 0.06;
const LARGEST_SLIDE = 0.03;

/** @typedef {{x: number, y: number, z: number, seen: number, at: number}} Look millimetres from the middle of the screen; at: ms */

/** Softened towards the ends of the fan. @param {number} share @returns {number} 0..1 */
export function softened(share) {
  const away = share - 0.5;
  const room = 0.5 - SOFT_SHARE;
  const beyond = Math.abs(away) - room;
  return beyond <= 0 ? share : 0.5 + Math.sign(away) * (room + SOFT_SHARE * Math.tanh(beyond / SOFT_SHARE));
}

/**
 * The share of the fan that a head at (x, z) looks from: 0.5 straight ahead, 1 from its right end.
 * @param {number} x @param {number} z millimetres @param {number} gain
 */
export function shareFrom(x, z, gain = 1) {
  return softened(0.5 + (gain * (Math.atan2(x, z) * 180)) / Math.PI / FAN_DEGREES);
}

/** How much of the gain a place of this age steers with. @param {number} age ms */
export function trust(age) {
  if (age > TOO_OLD_MS) return 0;
  return 1 - 0.5 * Math.min(1, Math.max(0, (age - OLD_MS) / (OLDER_MS - OLD_MS)));
}

export class HeadLook {
  #newest = null;
  #held = { x: 0, y: 0, z: 600 };
  #speed = { x: 0, y: 0 };
  #offset = { x: 0, y: 0 };
  #jumped = -Infinity;
  #seen = -Infinity;
  #weight = 0;
  #last = null;
  /** @type {number[]} */
  #ages = [];

  /** @param {{gain?: number, cameraAbove?: number}} [how] cameraAbove: millimetres from the middle of the screen up to the camera */
  constructor({ gain = 1, cameraAbove = 0 } = {}) {
    this.gain = gain;
    this.cameraAbove = cameraAbove;
  }

  /** How old, ms, the newest places were as they came; forgotten once told. @returns {number|null} the median; null: there were none */
  tellAge() {
    const ages = this.#ages.splice(0).sort((one, other) => one - other);
    return ages.length ? Math.round(ages[ages.length >> 1]) : null;
  }

  /** A place has come, of `look.at` on this clock. The newest wins. @param {Look} look from the camera @param {number} [now] */
  hear(look, now = look.at) {
    if (this.#newest && look.at <= this.#newest.at) return;
    if (this.#ages.length < MOST_AGES) this.#ages.push(now - look.at);
    if (look.seen < LEAST_SEEN) return;
    const place = { x: look.x, y: look.y + this.cameraAbove, z: look.z, at: look.at };
    if (look.at - this.#seen > LOST_MS) this.#begin(place);
    else this.#go(this.#newest, place);
    this.#newest = place;
    this.#seen = look.at;
  }

  #begin(place) {
    this.#speed = { x: 0, y: 0 };
    this.#offset = { x: 0, y: 0 };
    this.#held = { ...place };
  }

  #go(before, place) {
    const passed = place.at - before.at;
    const [dx, dy] = [place.x - before.x, place.y - before.y];
    const far = Math.hypot(dx, dy);
    if (far > JUMP_MM || far / passed > FASTEST_MM_PER_MS) {
      const shown = this.#ahead(place.at);
      this.#begin(place);
      this.#offset = { x: shown.x - place.x, y: shown.y - place.y }; // what was shown stays, and goes over to what is
      this.#jumped = place.at;
      return;
    }
    const part = 1 - Math.exp(-passed / SPEED_OVER_MS);
    this.#speed.x += (dx / passed - this.#speed.x) * part;
    this.#speed.y += (dy / passed - this.#speed.y) * part;
    for (const side of ["x", "y"]) {
      const away = place[side] - this.#held[side]; // a slack rope: small movements pull at nothing
      if (Math.abs(away) > DEAD_ZONE_MM) this.#held[side] = place[side] - Math.sign(away) * DEAD_ZONE_MM;
    }
    this.#held.z += (place.z - this.#held.z) * part;
  }

  /** Where the head is at `now`, as far as it goes on as it went. @param {number} now */
  #ahead(now) {
    const ahead = Math.min(Math.max(now - this.#newest.at, 0), LONGEST_AHEAD_MS);
    const limited = (far) => Math.max(-FURTHEST_AHEAD_MM, Math.min(FURTHEST_AHEAD_MM, far));
    const left = Math.exp(-Math.max(now - this.#jumped, 0) / (EASE_MS / 3));
    return {
      x: this.#held.x + limited(this.#speed.x * ahead) + this.#offset.x * left,
      y: this.#held.y + limited(this.#speed.y * ahead) + this.#offset.y * left,
      z: this.#held.z,
    };
  }

  /**
   * What to show at `now`: `share` of the fan, `slide` of the picture's height upwards, and `weight` 0..1: how much the head steers.
   * @param {number} now
   */
  at(now) {
    const wanted = this.#newest && now - this.#seen <= LOST_MS && now - this.#newest.at <= TOO_OLD_MS ? 1 : 0;
    const step = Math.max(0, now - (this.#last ?? now)) / EASE_MS;
    this.#last = now;
    this.#weight = wanted > this.#weight ? Math.min(1, this.#weight + step) : Math.max(wanted, this.#weight - step);
    if (!this.#newest) return { share: 0.5, slide: 0, weight: 0 };
    const { x, y, z } = this.#ahead(now);
    const gain = this.gain * (trust(now - this.#newest.at) || 0.5);
    const slide = Math.max(-LARGEST_SLIDE, Math.min(LARGEST_SLIDE, (-SLIDE * y) / z));
    return { share: shareFrom(x, z, gain), slide: slide * this.#weight, weight: this.#weight };
  }
}

/** The server's clock on this page: by the ping that took the shortest way. */
export class ServerClock {
  #shortest = Infinity;
  #offset = null;

  /** @param {number} sent @param {number} came ms on the page's clock @param {number} at seconds on the server's */
  answered(sent, came, at) {
    this.#shortest *= 1.02; // so that a clock that drifts is found again
    if (came - sent > this.#shortest && this.#offset !== null) return;
    this.#shortest = came - sent;
    this.#offset = (sent + came) / 2 - at * 1000;
  }

  /** `at`, in the server's seconds, on the page's clock; what came at `came` if no ping was answered yet. */
  here(at, came) {
    return this.#offset === null ? came : Math.min(came, at * 1000 + this.#offset);
  }
}

// Talk: the call's socket, kept up: it says hello, hears, pings, and comes back by itself unless it was told to stay away.

const SOONEST_MS = 250;
const LATEST_MS = 5000;
const PING_EVERY_MS = 5000;
/** The server pings, and answers ours: whoever hears nothing for so long has lost it. */
const SILENT_MS = 11_000;
/** Closed so, the server wants us no more. Others are accidents. */
const FINAL = [1000, 4400, 4401, 4403, 4404, 4409, 4410];

/** How long to wait before a try. @param {number} tries that failed */
export const pause = (tries) => Math.min(LATEST_MS, SOONEST_MS * 2 ** tries);

/**
 * Fires "message" (detail: one of the server's), "state" when `state` changes (connecting, on, lost, over), and "over" once, with
 * {code, bye} as detail, when the server has said goodbye.
 */
export class Talk extends EventTarget {
  #address;
  #open;
  #socket = null;
  #tries = 0;
  #timer = 0;
  #pinging = 0;
  #heard = 0;
  #pinged = 0;
  #bye = null;
  #resume = false;

  /**
   * @param {string} address ws: or wss:
   * @param {string} token of the seat
   * @param {(address: string) => WebSocket} [open]
   */
  constructor(address, token, open = (where) => new WebSocket(where)) {
    super();
    this.#address = address;
    this.#open = open;
    /** The newest: the server renews it. */
    this.token = token;
    /** @type {"connecting"|"on"|"lost"|"over"} */
    this.state = "connecting";
  }

  /** @param {boolean} resume whether this page comes back by itself, and so yields to a newer window */
  start(resume) {
    this.#resume = resume;
    this.#bye = null;
    this.#tries = 0;
    this.#become("connecting");
    this.#connect();
  }

  /** @param {object} message @returns {boolean} whether it went */
  say(message) {
    if (this.#socket?.readyState !== 1 || this.state !== "on") return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Tries again at once, where it is lost: the network is back. */
  hurry() {
    if (this.state !== "lost") return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  /** Says no more, and hears no more. */
  stop() {
    this.#drop();
    this.#become("over");
  }

  #connect() {
    const socket = this.#open(this.#address);
    this.#socket = socket;
    this.#heard = performance.now();
    this.#pinging = setInterval(() => this.#ping(), PING_EVERY_MS);
    socket.onopen = () => socket.send(JSON.stringify({ t: "hello", token: this.token, resume: this.#resume }));
    socket.onmessage = ({ data }) => socket === this.#socket && this.#hear(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.#socket && this.#closed(code);
  }

  #ping() {
    if (performance.now() - this.#heard > SILENT_MS) return this.#closed(1006);
    this.#pinged = performance.now();
    this.say({ t: "ping" });
  }

  #hear(message) {
    this.#heard = performance.now();
    if (message.t === "token") this.token = message.token;
    if (message.t === "bye") this.#bye = message;
    if (message.t === "pong") message = { ...message, sent: this.#pinged, came: this.#heard };
    if (message.t === "welcome") {
      this.#tries = 0;
      this.#resume = true;
      this.#become("on");
      this.#ping();
    }
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #closed(code) {
    this.#drop();
    if (FINAL.includes(code)) {
      this.#become("over");
      this.dispatchEvent(new CustomEvent("over", { detail: { code, bye: this.#bye } }));
      return;
    }
    this.#become("lost");
    this.#timer = setTimeout(() => this.#connect(), pause(this.#tries));
    this.#tries += 1;
  }

  #drop() {
    clearTimeout(this.#timer);
    clearInterval(this.#pinging);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

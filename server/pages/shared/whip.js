// Publishing: one WebRTC connection out, by WHIP (RFC 9725). Knows nothing of cameras or pages.

import { ask, authorization } from "./api.js";

/** Gathering on a host without STUN takes milliseconds; a stuck interface must not hold up the call. */
const GATHERING_LIMIT_MS = 1500;

/** What the tracker needs: more pixels cost the server decoding time and find the face no better. */
const SENT_HEIGHT = 480;
const SENT_BITS_PER_SECOND = 2_500_000;

/** Half the hour for which the server's credentials for TURN are good. */
const SERVERS_KEPT_MS = 30 * 60 * 1000;

/** The servers last learned, for whom, and when. @type {{servers: RTCIceServer[], by: string, at: number} | null} */
let learned = null;

/**
 * What a session may need besides its address.
 * @typedef {{iceServers?: RTCIceServer[], hears?: boolean, token?: string}} Means iceServers: where they are known already; hears: what
 *   comes has sound; token: not the page's own
 */

/** @typedef {{connection: RTCPeerConnection, address: string, stop: () => Promise<void>, abandon: () => void}} Session */

/**
 * Sends the stream's one video track, and its sound if it has any, to `path`.
 * @param {string} path e.g. "whip/my-channel?avatar=sample"
 * @param {MediaStream} stream
 * @param {Means} [means]
 * @returns {Promise<Session>}
 */
export async function publish(path, stream, means = {}) {
  const send = (connection) => {
    for (const track of stream.getTracks()) connection.addTransceiver(track, { direction: "sendonly", streams: [stream] });
  };
  const session = await exchange(path, send, means);
  await limitVideo(session.connection);
  return session;
}

/** @param {RTCPeerConnection} connection */
async function limitVideo(connection) {
  const sender = connection.getSenders().find((one) => one.track?.kind === "video");
  if (!sender) return;
  const height = sender.track.getSettings().height ?? SENT_HEIGHT;
  const parameters = sender.getParameters();
  if (!parameters.encodings?.length) return;
  parameters.encodings[0].maxBitrate = SENT_BITS_PER_SECOND;
  parameters.encodings[0].scaleResolutionDownBy = Math.max(1, height / SENT_HEIGHT);
  await sender.setParameters(parameters).catch(() => undefined); // a wish: a browser that refuses sends what it likes
}

/**
 * Offers what `prepare` puts into a connection, with every candidate, and applies the answer. WHIP and WHEP do this alike.
 * @param {string} path
 * @param {(connection: RTCPeerConnection) => void} prepare
 * @param {Means} [means]
 * @returns {Promise<Session>}
 */
export async function exchange(path, prepare, { iceServers, hears = false, token = "" } = {}) {
  const connection = new RTCPeerConnection({ iceServers: iceServers ?? (await askIceServers(path)) });
  try {
    prepare(connection);
    const offer = await connection.createOffer();
    await connection.setLocalDescription({ type: "offer", sdp: hears ? inStereo(offer.sdp) : offer.sdp });
    await gathered(connection);
    const answer = await ask(path, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", ...bearer(token) },
      body: connection.localDescription.sdp,
    });
    const session = sessionOf(connection, answer, token);
    await connection.setRemoteDescription({ type: "answer", sdp: await answer.text() }).catch((failure) => {
      session.abandon();
      throw failure;
    });
    return session;
  } catch (failure) {
    connection.close();
    throw failure;
  }
}

/** Voices at a table come from where they sit: Chromium hears one ear's worth unless its offer asks for two (RFC 7587). */
function inStereo(sdp) {
  return sdp.replace(/^(a=fmtp:\d+ (?![^\r\n]*stereo=)[^\r\n]*useinbandfec=1[^\r\n]*)/gm, "$1;stereo=1");
}

/** @param {string} token @returns {Record<string, string>} */
const bearer = (token) => (token ? { Authorization: `Bearer ${token}` } : {});

/** @param {RTCPeerConnection} connection @param {Response} answer @param {string} token @returns {Session} */
function sessionOf(connection, answer, token) {
  const address = new URL(answer.headers.get("Location") ?? "", answer.url).href;
  const hangUp = async (keepalive) => {
    connection.close();
    await fetch(address, { method: "DELETE", headers: { ...authorization(), ...bearer(token) }, keepalive }).catch(() => undefined);
  };
  return {
    connection,
    address,
    stop: () => hangUp(false),
    abandon: () => void hangUp(true), // outlives the page that asks for it
  };
}

/**
 * The servers that have to be known before anything is gathered; whoever may post is told them.
 * @param {string} path @returns {Promise<RTCIceServer[]>}
 */
async function askIceServers(path) {
  const by = authorization().Authorization ?? "";
  if (learned?.by !== by || performance.now() - learned.at > SERVERS_KEPT_MS) {
    const answer = await ask(path, { method: "OPTIONS" });
    learned = { servers: iceServersOf(answer.headers.get("Link") ?? ""), by, at: performance.now() };
  }
  return learned.servers;
}

/** @param {string} links a Link header (RFC 9725, section 4.6) @returns {RTCIceServer[]} */
export function iceServersOf(links) {
  const servers = [];
  for (const [, urls, rest] of links.matchAll(/<([^>]+)>((?:\s*;\s*[\w-]+="[^"]*")*)/g)) {
    const said = Object.fromEntries([...rest.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, key, value]) => [key, value]));
    if (said.rel === "ice-server") servers.push({ urls, username: said.username, credential: said.credential });
  }
  return servers;
}

/** @param {RTCPeerConnection} connection */
function gathered(connection) {
  if (connection.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((done) => {
    const timer = setTimeout(done, GATHERING_LIMIT_MS);
    connection.addEventListener("icegatheringstatechange", () => {
      if (connection.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      done(undefined);
    });
  });
}

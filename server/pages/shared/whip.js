// Publishing: one WebRTC connection out, by WHIP (RFC 9725). Knows nothing of cameras or pages.

import { ask, authorization } from "./api.js";

/** Gathering on a host without STUN takes milliseconds; a stuck interface must not hold up the call. */
const GATHERING_LIMIT_MS = 1500;

/** What the tracker needs: more pixels cost the server decoding time and find the face no better. */
const SENT_HEIGHT = 480;
const SENT_BITS_PER_SECOND = 2_500_000;

/** None until the server names some. @type {RTCIceServer[]} */
const iceServers = [];

/** @typedef {{connection: RTCPeerConnection, address: string, stop: () => Promise<void>, abandon: () => void}} Session */

/**
 * Sends the stream's one video track, and its sound if it has any, to `path`.
 * @param {string} path e.g. "whip/my-channel?avatar=sample"
 * @param {MediaStream} stream
 * @returns {Promise<Session>}
 */
export async function publish(path, stream) {
  const session = await exchange(path, (connection) => {
    for (const track of stream.getTracks()) connection.addTransceiver(track, { direction: "sendonly", streams: [stream] });
  });
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
 * @returns {Promise<Session>}
 */
export async function exchange(path, prepare) {
  const connection = new RTCPeerConnection({ iceServers });
  try {
    prepare(connection);
    await connection.setLocalDescription();
    await gathered(connection);
    const answer = await ask(path, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: connection.localDescription.sdp,
    });
    const session = sessionOf(connection, answer);
    if (learnIceServers(answer)) {
      await session.stop(); // they count only for a connection that had them while gathering
      return await exchange(path, prepare);
    }
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

/** @param {RTCPeerConnection} connection @param {Response} answer @returns {Session} */
function sessionOf(connection, answer) {
  const address = new URL(answer.headers.get("Location") ?? "", answer.url).href;
  const hangUp = async (keepalive) => {
    connection.close();
    await fetch(address, { method: "DELETE", headers: authorization(), keepalive }).catch(() => undefined);
  };
  return {
    connection,
    address,
    stop: () => hangUp(false),
    abandon: () => void hangUp(true), // outlives the page that asks for it
  };
}

/** Takes up the servers that the answer names (RFC 9725, section 4.6). @param {Response} answer @returns {boolean} news? */
function learnIceServers(answer) {
  if (iceServers.length) return false;
  for (const [, urls, rest] of (answer.headers.get("Link") ?? "").matchAll(/<([^>]+)>((?:\s*;\s*[\w-]+="[^"]*")*)/g)) {
    const said = Object.fromEntries([...rest.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, key, value]) => [key, value]));
    if (said.rel === "ice-server") iceServers.push({ urls, username: said.username, credential: said.credential });
  }
  return iceServers.length > 0;
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

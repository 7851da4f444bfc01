// Publishing: one WebRTC connection out, by WHIP (RFC 9725). Knows nothing of cameras or pages.

import { ask, authorization } from "./api.js";

/** Gathering on a host without STUN takes milliseconds; a stuck interface must not hold up the call. */
const GATHERING_LIMIT_MS = 1500;

/** What the tracker needs: more pixels cost the server decoding time and find the face no better. */
const SENT_HEIGHT = 480;
const SENT_BITS_PER_SECOND = 2_500_000;

/** @typedef {{connection: RTCPeerConnection, address: string, stop: () => Promise<void>, abandon: () => void}} Session */

/**
 * Sends the stream's one video track, and its sound if it has any, to `path`.
 * @param {string} path e.g. "whip/my-channel?avatar=sample"
 * @param {MediaStream} stream
 * @returns {Promise<Session>}
 */
export async function publish(path, stream) {
  const connection = new RTCPeerConnection();
  try {
    for (const track of stream.getTracks()) connection.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    await connection.setLocalDescription();
    await limitVideo(connection);
    return await exchange(path, connection);
  } catch (failure) {
    connection.close();
    throw failure;
  }
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
 * Posts the gathered offer and applies the answer. WHIP and WHEP do this alike.
 * @param {string} path
 * @param {RTCPeerConnection} connection with its local offer set
 * @returns {Promise<Session>}
 */
export async function exchange(path, connection) {
  await gathered(connection);
  const answer = await ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/sdp" },
    body: connection.localDescription.sdp,
  });
  const location = answer.headers.get("Location");
  const session = location ? new URL(location, answer.url).href : "";
  const hangUp = async (keepalive) => {
    connection.close();
    if (session) await fetch(session, { method: "DELETE", headers: authorization(), keepalive }).catch(() => undefined);
  };
  try {
    await connection.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  } catch (failure) {
    await hangUp(true);
    throw failure;
  }
  return {
    connection,
    address: session,
    stop: () => hangUp(false),
    abandon: () => void hangUp(true), // outlives the page that asks for it
  };
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

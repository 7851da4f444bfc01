// Foreign libdatachannel with media, the library of OBS, as npm's node-datachannel brings it built. Its publisher sends ready H.264,
// in a file of pictures with their lengths before them; its player counts whole pictures. Both end with their standard input.
//
//     node foreign_datachannel.mjs MODULES publish URL FILE
//     node foreign_datachannel.mjs MODULES play URL
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, role, url, file] = process.argv.slice(2);
const rtc = createRequire(`${modules}/`)("node-datachannel");
const CLOCK = 90_000, RATE = 25, PAYLOAD = 96, SSRC = 4242;
const tell = (line) => process.stdout.write(`${line}\n`);
const ended = new Promise((resolve) => process.stdin.on("end", resolve).resume());

const peer = new rtc.PeerConnection("foreign", { iceServers: [] });
const video = new rtc.Video("video", role === "publish" ? "SendOnly" : "RecvOnly");
video.addH264Codec(PAYLOAD);
if (role === "publish") video.addSSRC(SSRC, "caller", "stream", "track");
const track = peer.addTrack(video);
let sending;
const session = await exchange();
if (role === "publish") await publish();
else play();
await ended;
clearInterval(sending);
await fetch(session, { method: "DELETE" });
peer.close();
rtc.cleanup();
process.exit(0);

async function exchange() {
  const gathered = new Promise((resolve) => peer.onGatheringStateChange((state) => state === "complete" && resolve()));
  peer.setLocalDescription("offer");
  await gathered;
  const offer = peer.localDescription().sdp;
  const answer = await fetch(url, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: offer });
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  peer.setRemoteDescription(await answer.text(), "answer");
  return new URL(answer.headers.get("Location"), url);
}

async function publish() {
  const config = new rtc.RtpPacketizationConfig(SSRC, "caller", PAYLOAD, CLOCK);
  const packetizer = new rtc.H264RtpPacketizer("StartSequence", config);
  packetizer.addToChain(new rtc.RtcpSrReporter(config));
  packetizer.addToChain(new rtc.RtcpNackResponder());
  track.setMediaHandler(packetizer);
  const pictures = [...pieces(readFileSync(file))];
  await new Promise((resolve) => track.onOpen(resolve));
  let count = 0;
  sending = setInterval(() => {
    config.timestamp = (count * CLOCK) / RATE;
    track.sendMessageBinary(pictures[count++ % pictures.length]);
  }, 1000 / RATE);
}

function* pieces(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    yield bytes.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
}

function play() {
  track.setMediaHandler(new rtc.RtcpReceivingSession());
  track.onOpen(() => track.requestKeyframe());
  let whole = 0;
  const isRtp = (packet) => packet.length > 12 && (packet[1] & 0x7f) === PAYLOAD;
  track.onMessage((packet) => isRtp(packet) && packet[1] & 0x80 && tell(++whole)); // marked: a picture's last packet
}

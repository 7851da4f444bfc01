// Caller and viewer in one page of a real browser; what the viewer saw of each numbered camera picture, and when.
// Run by benchmarks/glass_to_glass.py in the caller page, whose own modules do the publishing and the playing.
async ({ channel, warmUp, seconds, bits, checkBits, block, dark, light }) => {
  const { publish } = await import("/pages/shared/whip.js");
  const { Playback } = await import("/pages/shared/whep.js");
  const strip = { x: 0, y: 0, width: (bits + checkBits) * block, height: block };

  /** The number in the top left of the picture that `video` shows now, or -1. The luma plane is copied, nothing is drawn. */
  async function numberIn(video) {
    const frame = new VideoFrame(video);
    const bytes = new Uint8Array(frame.allocationSize({ rect: strip }));
    const [luma] = await frame.copyTo(bytes, { rect: strip });
    frame.close();
    let number = 0;
    for (let bit = 0; bit < bits; bit++) {
      const value = bytes[luma.offset + (block / 2) * luma.stride + bit * block + block / 2];
      if (Math.abs(value - (dark + light) / 2) < 40) return -1;
      if (value > 125) number += 2 ** bit;
    }
    return number;
  }

  function watch(video, seen) {
    const next = async (now, facts) => {
      video.requestVideoFrameCallback(next);
      const number = await numberIn(video).catch(() => -1);
      if (number >= 0) seen(number, facts, now);
    };
    video.requestVideoFrameCallback(next);
  }

  const shown = (stream) => {
    const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: stream });
    document.body.append(video);
    video.play();
    return video;
  };

  const camera = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  const captured = new Map();
  watch(shown(camera), (number, facts, now) => captured.set(number, facts.captureTime ?? now));
  const call = await publish(`whip/${channel}?avatar=sample`, camera);
  const video = shown(null);
  const playback = new Playback(video, `whep/${channel}?as=quilt`);
  const ages = [];
  const times = [];
  let newest = -1;
  let measuring = false;
  watch(video, (number, facts) => {
    const again = number < newest - 20; // the camera's film has begun anew
    if (number === newest || (number < newest && !again)) return;
    newest = number;
    if (!measuring || !captured.has(number)) return;
    times.push(facts.presentationTime);
    ages.push(facts.presentationTime - captured.get(number));
  });
  playback.start();
  const pause = (s) => new Promise((done) => setTimeout(done, 1000 * s));
  await pause(warmUp);
  measuring = true;
  const begun = performance.now();
  await pause(seconds);
  const took = (performance.now() - begun) / 1000;
  const report = await (await fetch(`/api/channels/${channel}`)).json();
  playback.stop();
  await call.stop();
  for (const track of camera.getTracks()) track.stop();
  return { ages, times, took, report, settings: camera.getVideoTracks()[0].getSettings() };
};

// Caller and viewer in one page of a real browser; what the viewer saw of each numbered camera picture, and when.
// Run by benchmarks/glass_to_glass.py in the caller page, whose own modules do the publishing and the playing.
async ({ channel, warmUp, seconds, code }) => {
  const { publish } = await import("/pages/shared/whip.js");
  const { Playback } = await import("/pages/shared/whep.js");
  const { watch } = senses(code);

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

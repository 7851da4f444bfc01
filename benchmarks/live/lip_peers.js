// Caller and viewer in one page of a real browser: what was captured, seen and heard, and when. Run by benchmarks/lip_sync.py in
// the caller's page, whose own modules publish and play. First both ends of one connection within the page: the control.
async ({ channel, control, seconds, code }) => {
  const { publish } = await import("/pages/shared/whip.js");
  const { Playback } = await import("/pages/shared/whep.js");
  const { watch, hear, told } = senses(code);
  const pause = (s) => new Promise((done) => setTimeout(done, 1000 * s));
  const element = (stream, muted) => {
    const video = Object.assign(document.createElement("video"), { muted, playsInline: true, srcObject: stream });
    document.body.append(video);
    void video.play().catch(() => undefined);
    return video;
  };

  const camera = await navigator.mediaDevices.getUserMedia({
    video: { width: 640, height: 480 },
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const captured = [];
  watch(element(camera, true), (number, facts, now) => captured.push([number, facts.captureTime ?? now]));
  const microphone = hear(camera.getAudioTracks()[0]);

  /** What the browser itself makes of how far sound and picture are apart, and how long each waits in it: each second until told to end. */
  function account(connection) {
    const told = [];
    const next = async () => {
      const now = { at: performance.now() };
      for (const one of (await connection.getStats()).values()) {
        if (one.type !== "inbound-rtp") continue;
        now[one.kind] = [one.estimatedPlayoutTimestamp ?? 0, one.jitterBufferDelay, one.jitterBufferEmittedCount];
      }
      told.push(now);
    };
    const timer = setInterval(() => void next().catch(() => clearInterval(timer)), 1000);
    return { told, end: () => clearInterval(timer) };
  }

  /** What a viewer gets of whatever `video` plays, for `length` seconds. */
  async function witness(video, length, connection) {
    const seen = [];
    watch(video, (number, facts) => seen.push([number, facts.presentationTime]));
    while (!video.srcObject?.getAudioTracks().length) await pause(0.05);
    const heard = hear(video.srcObject.getAudioTracks()[0]);
    const until = performance.now() + 60000;
    while (!seen.length && performance.now() < until) await pause(0.05);
    const itself = account(connection());
    await pause(length);
    itself.end();
    return { seen, heard: told(heard), itself: itself.told };
  }

  async function within() {
    const [near, far] = [new RTCPeerConnection(), new RTCPeerConnection()];
    near.onicecandidate = ({ candidate }) => candidate && far.addIceCandidate(candidate);
    far.onicecandidate = ({ candidate }) => candidate && near.addIceCandidate(candidate);
    const stream = new MediaStream();
    far.ontrack = ({ track }) => stream.addTrack(track);
    for (const track of camera.getTracks()) near.addTrack(track, camera);
    await near.setLocalDescription();
    await far.setRemoteDescription(near.localDescription);
    await far.setLocalDescription();
    await near.setRemoteDescription(far.localDescription);
    while (stream.getTracks().length < 2) await pause(0.05);
    const video = element(stream, false);
    const found = await witness(video, control, () => far);
    near.close();
    far.close();
    video.remove();
    return found;
  }

  const alone = control ? await within() : null;
  const call = await publish(`whip/${channel}?avatar=sample`, camera);
  await pause(1);
  const video = element(null, false);
  const playback = new Playback(video, `whep/${channel}?as=quilt`);
  playback.start();
  const found = await witness(video, seconds, () => playback.connection);
  const statistics = [];
  for (const one of (await playback.connection.getStats()).values()) {
    if (one.type === "inbound-rtp") statistics.push(one);
  }
  const report = await (await fetch(`/api/channels/${channel}`)).json();
  playback.stop();
  await call.stop();
  const mine = told(microphone);
  for (const track of camera.getTracks()) track.stop();
  return { captured, microphone: mine, control: alone, call: found, statistics, report, origin: performance.timeOrigin };
};

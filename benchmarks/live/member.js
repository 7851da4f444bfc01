// One member's page of a call, watched from within: begins to note what it captures, sees and hears. Run by benchmarks/members.py
// in the call's own page, which goes on as it is. All times are milliseconds since 1970.
async ({ code }) => {
  const { watch, hear, told } = senses(code);
  const at = (when) => performance.timeOrigin + when;
  const noted = { captured: [], seen: [] };
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const own = document.createElement("video");
  own.muted = true;
  while (!document.querySelector("#self-video").srcObject) await pause(20);
  own.srcObject = new MediaStream(document.querySelector("#self-video").srcObject.getVideoTracks());
  void own.play();
  watch(own, (number, facts, now) => noted.captured.push([number, at(facts.captureTime ?? now)]));
  while (!document.querySelector("#places .place video")?.srcObject?.getAudioTracks().length) await pause(20);
  const other = document.querySelector("#places .place video");
  watch(other, (number, facts) => noted.seen.push([number, at(facts.presentationTime)]));
  const drawn = () => other.getVideoPlaybackQuality().totalVideoFrames;
  let [heard, before] = [hear(other.srcObject.getAudioTracks()[0]), drawn()];
  globalThis.member = {
    /** Forgets what was noted so far. */
    begin() {
      noted.captured = noted.captured.slice(-250);
      noted.seen = [];
      before = drawn();
      heard.ended = true;
      heard = hear(other.srcObject.getAudioTracks()[0]);
    },
    told: () => ({ ...noted, pictures: drawn() - before, heard: told(heard), width: other.videoWidth, height: other.videoHeight }),
  };
};

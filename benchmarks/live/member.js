// One member's page of a call, watched from within: begins to note what it captures, sees and hears. Run by benchmarks/members.py
// in the call's own page, which goes on as it is. All times are milliseconds since 1970.
async ({ code }) => {
  const { watch, hear, told } = senses(code);
  const at = (when) => performance.timeOrigin + when;
  const noted = { captured: [], seen: [] };
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  /** What the browser itself tells of all that it sends and receives (W3C webrtc-stats): name of the account -> figures. */
  const accounts = async () => {
    const open = globalThis.lines.filter((line) => line.connectionState === "connected");
    const told = (await Promise.all(open.map((line) => line.getStats()))).flatMap((reports) => [...reports.values()]);
    return Object.fromEntries(told.filter((one) => one.type.endsWith("bound-rtp")).map((one) => [`${one.type} ${one.kind}`, one]));
  };
  const own = document.createElement("video");
  own.muted = true;
  while (!document.querySelector("#self-video").srcObject) await pause(20);
  own.srcObject = new MediaStream(document.querySelector("#self-video").srcObject.getVideoTracks());
  void own.play();
  watch(own, (number, facts, now) => noted.captured.push([number, at(facts.captureTime ?? now)]));
  while (!document.querySelector("#places .place video")?.srcObject?.getAudioTracks().length) await pause(20);
  const other = document.querySelector("#places .place video");
  const looks = watch(other, (number, facts) => noted.seen.push([number, at(facts.presentationTime)]));
  const drawn = () => other.getVideoPlaybackQuality().totalVideoFrames;
  let [before, lines, looked] = [drawn(), await accounts(), { ...looks }];
  globalThis.member = {
    /** Forgets what was noted so far. */
    async begin() {
      noted.captured = noted.captured.slice(-250);
      noted.seen = [];
      before = drawn();
      looked = { ...looks };
      lines = await accounts();
    },
    /** What is heard for so many seconds, which takes from what is measured beside it. */
    async hear(seconds) {
      const heard = hear(other.srcObject.getAudioTracks()[0]);
      await pause(1000 * seconds);
      return told(heard);
    },
    told: async () => ({
      ...noted,
      pictures: drawn() - before,
      looks: Object.fromEntries(Object.entries(looks).map(([what, many]) => [what, many - looked[what]])),
      width: other.videoWidth,
      height: other.videoHeight,
      lines: [lines, await accounts()],
    }),
  };
};

// Witness: what a page sees and hears, and when: the numbers in its pictures, the samples of its sound. Put before a script that runs
// in a page (browsers.py): pages take no foreign modules.

/** @param {{bits: number, checkBits: number, block: number, dark: number, light: number}} code as barcode.py draws it */
function senses({ bits, checkBits, block, dark, light }) {
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

  /**
   * Tells `seen` of each numbered picture: its number, the callback's facts, and when that came. What is returned counts: `told`, pictures
   * that the browser called back for; `missed`, those that it showed without; `unread`, those without a number.
   */
  function watch(video, seen) {
    const looks = { told: 0, missed: 0, unread: 0 };
    let shown = 0;
    const next = async (now, facts) => {
      video.requestVideoFrameCallback(next);
      looks.told += 1;
      looks.missed += shown ? Math.max(0, facts.presentedFrames - shown - 1) : 0;
      shown = facts.presentedFrames;
      const number = await numberIn(video).catch(() => -1);
      if (number >= 0) seen(number, facts, now);
      else looks.unread += 1;
    };
    video.requestVideoFrameCallback(next);
    return looks;
  }

  /** Keeps what `track` sounds like, and when each chunk of it came, until told. */
  function hear(track) {
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 200 }).readable.getReader();
    const heard = { chunks: [], times: [], rate: 48000 };
    const next = async () => {
      const { value, done } = await reader.read();
      if (done || heard.ended) return void reader.cancel();
      const samples = new Float32Array(value.numberOfFrames);
      value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      heard.times.push([performance.now(), value.numberOfFrames]);
      heard.chunks.push(Int16Array.from(samples, (one) => Math.max(-1, Math.min(1, one)) * 32767));
      heard.rate = value.sampleRate;
      value.close();
      return next();
    };
    void next();
    return heard;
  }

  /** What was heard, as JSON: the samples in base 64. */
  function told(heard) {
    heard.ended = true;
    let text = "";
    for (const chunk of heard.chunks) {
      for (const byte of new Uint8Array(chunk.buffer)) text += String.fromCharCode(byte);
    }
    return { times: heard.times, rate: heard.rate, pcm: btoa(text) };
  }

  return { watch, hear, told };
}

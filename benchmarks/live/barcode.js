  // Numbers in pictures (barcode.py), read in a page.
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

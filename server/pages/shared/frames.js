// Which pictures of a video are new: one waiting place, the newest wins.

export class FreshFrames {
  #video;
  #fresh = false;
  #lastTime = -1;

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.#video = video;
    if (!video.requestVideoFrameCallback) return;
    const next = () => {
      this.#fresh = true;
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  }

  /** Whether the video shows a picture that it did not show at the last call. */
  take() {
    if (!this.#video.requestVideoFrameCallback) {
      const { currentTime } = this.#video;
      this.#fresh = currentTime !== this.#lastTime;
      this.#lastTime = currentTime;
    }
    const fresh = this.#fresh;
    this.#fresh = false;
    return fresh;
  }
}

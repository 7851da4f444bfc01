// Media sources: what moves the avatar: a camera, a video file, or the puppet; each as one MediaStream. Knows nothing of publishing.

import { puppetClip } from "./api.js";

/** Enough for a snapshot with detail; what is sent is scaled down (whip.js). */
const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const CANVAS_RATE = 25;

/** A driver that cannot be had, in words for the person at the page. */
export class DriverUnavailable extends Error {}

/** @type {Record<string, string>} by DOMException name (Media Capture and Streams, getUserMedia) */
const REFUSALS = {
  NotAllowedError: "The browser was not allowed to use it. Allow the camera or microphone in the address bar, then try again; or drive with a video file or the puppet.",
  NotFoundError: "None is connected. Plug one in and try again, or drive with a video file or the puppet.",
  NotReadableError: "Another program is using it. Close that program, then try again.",
  OverconstrainedError: "It is gone. Choose another one.",
};

/** @param {MediaStreamConstraints} wanted */
async function capture(wanted) {
  if (!navigator.mediaDevices) {
    throw new DriverUnavailable("Browsers only give a camera to pages opened by https:// or on localhost. Open this page that way, or drive with a video file or the puppet.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia(wanted);
  } catch (failure) {
    const words = REFUSALS[failure.name];
    throw words ? new DriverUnavailable(words) : failure;
  }
}

/** @param {MediaStream|null} stream */
function stopTracks(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** Cameras by label; empty labels until one was allowed. */
export const cameras = () => devices("videoinput");

/** As cameras(). */
export const microphones = () => devices("audioinput");

/** @param {MediaDeviceKind} kind */
async function devices(kind) {
  const found = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return found.filter((device) => device.kind === kind);
}

/** One source of moving face, shown in `video`. Fires "change" when it goes on or off, also by itself. */
export class Driver extends EventTarget {
  #video;
  #round = 0;
  #address = "";
  /** @type {MediaStream|null} */
  #pictures = null;
  /** @type {MediaStream|null} */
  #sound = null;
  #soundRound = 0;
  #drawing = 0;
  /** What it is, in the server's words: camera, film, puppet. */
  kind = "camera";

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    super();
    this.#video = video;
  }

  get on() {
    return this.#pictures !== null;
  }

  /** The id of the camera in use. */
  get deviceId() {
    return this.#pictures?.getVideoTracks()[0]?.getSettings().deviceId ?? "";
  }

  /** @param {string} [deviceId] */
  async useCamera(deviceId) {
    await this.#begin(async () => {
      const stream = await capture({ video: deviceId ? { ...CAMERA, deviceId: { exact: deviceId } } : CAMERA });
      this.kind = "camera";
      return { stream, show: () => (this.#video.srcObject = stream) };
    });
  }

  /** @param {Blob} clip @param {"film"|"puppet"} [kind] */
  async useClip(clip, kind = "film") {
    await this.#begin(async () => {
      this.kind = kind;
      this.#address = URL.createObjectURL(clip);
      this.#video.src = this.#address;
      this.#video.loop = true;
      await this.#video.play().catch(() => {
        throw new DriverUnavailable("This browser cannot play that video. Try an MP4 (H.264) or WebM file.");
      });
      return { stream: this.#filmed(), show: () => undefined };
    });
  }

  async usePuppet() {
    const round = this.#round;
    const clip = await puppetClip();
    if (round === this.#round) await this.useClip(clip, "puppet"); // else something else was chosen meanwhile
  }

  get hasVoice() {
    return this.#sound !== null;
  }

  /** Adds the microphone, or takes it away. @param {boolean} wanted @param {string} [deviceId] */
  async useVoice(wanted, deviceId) {
    this.#dropSound();
    const round = this.#soundRound;
    if (!wanted) return;
    const sound = await capture({ audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...(deviceId ? { deviceId: { exact: deviceId } } : {}) } });
    if (round === this.#soundRound) this.#sound = sound;
    else stopTracks(sound); // it was switched off, or all was let go, while the browser asked for permission
  }

  /** The microphone's stream, to measure. */
  get sound() {
    return this.#sound;
  }

  /** Blackens the picture of a camera that stays connected. @param {boolean} seen */
  letPictureBeSeen(seen) {
    for (const track of this.#pictures?.getVideoTracks() ?? []) track.enabled = seen;
  }

  /** Silences a microphone that stays connected. @param {boolean} heard */
  letVoiceBeHeard(heard) {
    for (const track of this.#sound?.getAudioTracks() ?? []) track.enabled = heard;
  }

  /** What to publish: the pictures, and the sound if wanted. */
  stream() {
    return new MediaStream([...(this.#pictures?.getVideoTracks() ?? []), ...(this.#sound?.getAudioTracks() ?? [])]);
  }

  /** The present picture, as it is and not mirrored, for a portrait. @returns {Promise<Blob>} */
  snapshot() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    canvas.getContext("2d").drawImage(this.#video, 0, 0);
    return new Promise((done, fail) => {
      canvas.toBlob((blob) => (blob ? done(blob) : fail(new DriverUnavailable("The camera gave no picture. Try again."))), "image/jpeg", 0.95);
    });
  }

  /** Lets go of the camera alone: its light goes out. */
  stopPictures() {
    this.#letGoOfPictures();
    this.dispatchEvent(new Event("change"));
  }

  /** Lets go of the camera and the microphone: their lights go out. */
  stop() {
    this.#dropSound();
    this.#letGoOfPictures();
    this.dispatchEvent(new Event("change"));
  }

  #dropSound() {
    this.#soundRound += 1;
    stopTracks(this.#sound);
    this.#sound = null;
  }

  #letGoOfPictures() {
    this.#round += 1;
    stopTracks(this.#pictures);
    this.#pictures = null;
    cancelAnimationFrame(this.#drawing);
    this.#video.pause();
    this.#video.srcObject = null;
    this.#video.removeAttribute("src");
    this.#video.loop = false;
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = "";
  }

  /** @param {() => Promise<{stream: MediaStream, show: () => unknown}>} open */
  async #begin(open) {
    this.#letGoOfPictures(); // the sound outlives a change of pictures
    this.dispatchEvent(new Event("change"));
    const round = this.#round;
    const { stream, show } = await open();
    if (round !== this.#round) return stopTracks(stream);
    this.#pictures = stream;
    stream.getVideoTracks()[0].addEventListener("ended", () => round === this.#round && this.stop());
    show();
    await this.#video.play().catch(() => undefined);
    this.dispatchEvent(new Event("change"));
  }

  /** The playing clip as a stream; browsers without captureStream() draw it on a canvas that has one. */
  #filmed() {
    const video = /** @type {any} */ (this.#video);
    const film = video.captureStream ?? video.mozCaptureStream;
    if (film) return new MediaStream(film.call(video).getVideoTracks());
    const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
    const context = canvas.getContext("2d");
    const draw = () => {
      context.drawImage(video, 0, 0);
      this.#drawing = requestAnimationFrame(draw);
    };
    draw();
    return canvas.captureStream(CANVAS_RATE);
  }
}

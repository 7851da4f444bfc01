// How loud the own microphone is. It is measured and never played: what one says does not come back.

const FLOOR_DB = -60;

/** From an amplitude (root of the mean of squares, 0..1) to how full a bar is, 0..1. Pure. @param {number} amplitude */
export const fullness = (amplitude) => Math.min(1, Math.max(0, 1 - (20 * Math.log10(Math.max(amplitude, 1e-6))) / FLOOR_DB));

export class Level {
  #context = null;
  #source = null;
  #analyser = null;
  #samples = new Float32Array(1024);

  /** @param {MediaStream|null} sound null: nothing, and nothing is run for it */
  listen(sound) {
    this.#source?.disconnect();
    this.#source = null;
    if (!sound) return void this.#context?.suspend().catch(() => undefined);
    this.#context ??= new AudioContext();
    void this.#context.resume().catch(() => undefined);
    this.#analyser ??= new AnalyserNode(this.#context, { fftSize: this.#samples.length });
    this.#source = this.#context.createMediaStreamSource(sound);
    this.#source.connect(this.#analyser);
  }

  /** 0..1 */
  get now() {
    if (!this.#source) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, one) => sum + one * one, 0) / this.#samples.length;
    return fullness(Math.sqrt(power));
  }
}

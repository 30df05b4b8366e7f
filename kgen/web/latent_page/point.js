// The state of the page: a latent point and a class, or a seed whose point only the exported graph can compute.

import { firstLabel, hasKnownPrior, latentSize } from "./manifest.js";
import { latentOf } from "./seeds.js";

export class Point {
  /** `sample` is {seed, temperature} if the point is that of a seed, else null. */
  constructor(model) {
    const start = { z: new Float32Array(latentSize(model)), label: firstLabel(model), sample: null };
    Object.assign(this, { model, ...start, listeners: [] });
  }

  /** Calls back after every change. */
  onChange(listener) {
    this.listeners.push(listener);
  }

  /** Whether `z` is the point: with a fitted prior, a seed leaves z unchanged. */
  isKnown() {
    return !this.sample || hasKnownPrior(this.model);
  }

  move(z) {
    this.change({ z, sample: null });
  }

  /** Sets some dimensions, [[index, value], ...]. */
  shift(changes) {
    const z = this.z.slice();
    for (const [place, value] of changes) z[place] = value;
    this.move(z);
  }

  takeSeed(sample) {
    this.change(hasKnownPrior(this.model) ? { z: latentOf(this.model, sample), sample } : { sample });
  }

  setLabel(label) {
    this.change({ label });
  }

  change(values) {
    Object.assign(this, values);
    for (const listener of this.listeners) listener();
  }

  /** Its image. */
  draw(decoder) {
    return this.isKnown() ? decoder.decode(this.z, this.label) : decoder.generate(this.sample, this.label);
  }
}

// Where the page is: a latent point and a class, or a seed whose point only the graph knows.

import { hasKnownPrior, latentSize } from "./manifest.js";
import { latentOf } from "./seeds.js";

export class Point {
  /** `sample` is {seed, temperature} where the point is that of a seed, else null. */
  constructor(model) {
    Object.assign(this, { model, z: new Float32Array(latentSize(model)), label: 0, sample: null, listeners: [] });
  }

  /** Calls back whenever something of it changes. */
  onChange(listener) {
    this.listeners.push(listener);
  }

  /** Whether `z` is the point: a seed of a fitted prior leaves z where it was. */
  isKnown() {
    return !this.sample || hasKnownPrior(this.model);
  }

  move(z) {
    this.change({ z, sample: null });
  }

  /** Moves some numbers, [[place, value], ...]. */
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

  /** Its picture. */
  draw(decoder) {
    return this.isKnown() ? decoder.decode(this.z, this.label) : decoder.generate(this.sample, this.label);
  }
}

// Seeds: random, typed by the user, and the latent points that they give.

import { setStatus } from "./dom.js";
import { latentSize } from "./manifest.js";
import { normals, SEED_LIMIT } from "./portable.js";

export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % SEED_LIMIT;

/** Parses a seed; throws an Error that says what a seed is. */
export function readSeed(text) {
  const seed = Number(text);
  if (String(text).trim() === "" || !Number.isInteger(seed) || seed < 0 || seed >= SEED_LIMIT) {
    throw new Error(`A seed is a whole number from 0 to ${SEED_LIMIT - 1}.`);
  }
  return seed;
}

/** The seed of an <input>, set to `text`; null, with the error in a status line, if that is no seed. */
export function takeSeed(input, text, line) {
  try {
    input.value = readSeed(text);
    setStatus(line);
    return Number(input.value);
  } catch (error) {
    setStatus(line, error);
    return null;
  }
}

/** The largest temperature of the sliders: what the export takes, at most 2. */
export const maxTemperature = (model) => Math.min(2, (model.kgen.ranges.temperature ?? [0, 2])[1]);

/** The latent point of a sample {seed, temperature}. */
export function latentOf(model, sample) {
  const temperature = Math.fround(sample.temperature);
  return normals(sample.seed, latentSize(model)).map((x) => temperature * x);
}

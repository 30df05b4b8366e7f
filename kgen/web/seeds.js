// Seeds: any, those that people give, and the latent points that they stand for.

import { latentSize } from "./manifest.js";
import { normals, SEED_LIMIT } from "./portable.js";

export const anySeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % SEED_LIMIT;

/** The seed that a text is; throws an Error that says what a seed is. */
export function readSeed(text) {
  const seed = Number(text);
  if (String(text).trim() === "" || !Number.isInteger(seed) || seed < 0 || seed >= SEED_LIMIT) {
    throw new Error(`A seed is a whole number from 0 to ${SEED_LIMIT - 1}.`);
  }
  return seed;
}

/** The latent point that a sample was drawn from. */
export function latentOf(model, sample) {
  const temperature = Math.fround(sample.temperature);
  return normals(sample.seed, latentSize(model)).map((x) => temperature * x);
}

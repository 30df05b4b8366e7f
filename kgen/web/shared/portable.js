// The portable generator of kgen/random.py: a seed gives the latent point that it gives in Python, to 2e-5.

const FIELDS = [46337, 46307];
const NUM_PAIRS = FIELDS[0] * FIELDS[1];
const LIMB = 2 ** 15;
const ROUNDS = [
  [7919, 31337, 2357, 17389, 40009, 11743],
  [23719, 5309, 37021, 12553, 1931, 29611],
];
const HIGH_BIT = 20011;
const TWO_PI = [6.28125, 0.0019350051879882812]; // 2 pi in two parts, the second rounded to float16
const TWO_THIRDS = 0.66650390625; // rounded to float16
const ROW_STRIDE = 1327217885;
export const SEED_LIMIT = 2 ** 31;

const f = Math.fround;

/** The seed of row `row` of a batch that has one seed. */
export function rowSeed(seed, row) {
  return Number((BigInt(seed) + BigInt(row) * BigInt(ROW_STRIDE)) % BigInt(SEED_LIMIT));
}

/** Element k of a seed in both fields; every product stays below 2^31. */
function fieldElements(seed, k) {
  const [low, middle] = [seed % LIMB, Math.floor(seed / LIMB) % LIMB];
  const high = Math.floor(seed / (LIMB * LIMB)) * HIGH_BIT;
  return FIELDS.map((field, number) => {
    const own = k % field;
    const keys = [low, middle, own + high, low, middle, own];
    return keys.reduce((x, key, round) => {
      const sum = (x + key + ROUNDS[number][round]) % field;
      return (((sum * sum) % field) * sum) % field;
    }, own);
  });
}

/** A number from 1 to NUM_PAIRS. */
function uniformPair(seed, k) {
  const [a, b] = fieldElements(seed, k);
  return a * FIELDS[1] + b + 1;
}

/** -2 ln(1 - t) of a small t. */
function logNearOne(t) {
  return f(t * f(2 + f(t * f(1 + f(t * f(TWO_THIRDS + f(t * 0.5)))))));
}

/** Standard normal noise of a seed: `size` float32 numbers, a function of the seed and of `size`. */
export function normals(seed, size) {
  const count = Math.ceil(size / 2);
  const found = new Float32Array(2 * count);
  for (let k = 0; k < count; k++) {
    const n = uniformPair(seed, k);
    const [u, t, turn] = [n, NUM_PAIRS - n, uniformPair(seed, count + k)].map((x) => f(f(x) / f(NUM_PAIRS)));
    const radius = f(Math.sqrt(t < 1 / 64 ? logNearOne(t) : f(-2 * f(Math.log(u)))));
    const angle = f(f(turn * TWO_PI[0]) + f(turn * TWO_PI[1]));
    found[k] = radius * f(Math.cos(angle));
    found[count + k] = radius * f(Math.sin(angle));
  }
  return found.slice(0, size);
}

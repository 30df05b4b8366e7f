// The decoder in the page: model.tflite in LiteRT.js, on one thread of the CPU.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

import { take } from "./embedded.js";
import { labels } from "./manifest.js";

const ARRAYS = { float32: Float32Array, int32: Int32Array };
const MAX_TIMES = 31; // calls, for the median
const WARM_UP = 100; // milliseconds

/** Starts the runtime from the embedded files; nothing is fetched. */
export async function openDecoder(model) {
  const [loader, wasmBinary, content] = await Promise.all(["loader", "wasm", "decoder"].map(take));
  globalThis.Module = { wasmBinary, printErr: logMessage }; // the loader takes its settings from here
  const script = URL.createObjectURL(new Blob([loader], { type: "text/javascript" }));
  await loadLiteRt(`${script}#.js`); // LiteRT.js takes an address with another ending for a folder
  URL.revokeObjectURL(script);
  return new Decoder(model, await loadAndCompile(content, { accelerator: "wasm" }));
}

/** The runtime prints every message to stderr; its level is in the text. */
function logMessage(line) {
  if (/^(VERBOSE|INFO|WARNING): /.test(line)) console.debug(line);
  else console.error(line);
}

/** Methods return the image as bytes [H * W * C]. */
class Decoder {
  constructor(model, compiled) {
    Object.assign(this, { model, compiled, shape: model.kgen.image_shape, times: [], last: Promise.resolve() });
  }

  /** The image of a latent point. */
  decode(z, label) {
    return this.run("decode", { z, ...labels(this.model, label) });
  }

  /** The image of a seed, with any prior. */
  generate({ seed, temperature }, label) {
    return this.run("generate", { seed: [seed], temperature: [temperature], ...labels(this.model, label) });
  }

  /** The image at t in [0, 1] between z0 and z1, by spherical interpolation. */
  between(z0, z1, t, label) {
    return this.run("interpolate", { z0, z1, t: [t], ...labels(this.model, label) });
  }

  /** Runs one call at a time, so that times are those of single images. */
  run(signature, row) {
    const done = this.last.then(() => this.runNow(signature, row));
    this.last = done.catch(() => {});
    return done;
  }

  async runNow(signature, row) {
    const started = performance.now();
    const runner = this.compiled.signatures[signature];
    const tensors = runner.getInputDetails().map(({ name, dtype, shape }) => {
      return [name, new Tensor(ARRAYS[dtype].from(row[name]), shape)];
    });
    const inputs = Object.fromEntries(tensors);
    let outputs = {};
    try {
      outputs = await runner.run(inputs);
      const values = outputs.images.toTypedArray();
      // Rounds and clips as kgen.images.to_uint8 does, halves to even.
      return Uint8ClampedArray.from(values, (value) => Math.fround(255 * value));
    } finally {
      for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) tensor.delete();
      this.times = [...this.times.slice(1 - MAX_TIMES), performance.now() - started];
    }
  }

  /** Decodes for WARM_UP milliseconds: the first calls are slower and are not counted. */
  async warmUp(draw) {
    const end = performance.now() + WARM_UP;
    do await draw();
    while (performance.now() < end);
    this.times = [];
    await draw();
  }

  /** Milliseconds per image, the median of the last calls. */
  milliseconds() {
    const sorted = this.times.toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }
}

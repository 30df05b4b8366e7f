// The decoder in the page: model.tflite in LiteRT.js, on one thread of the CPU.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

import { take } from "./embedded.js";
import { labels } from "./manifest.js";

const ARRAYS = { float32: Float32Array, int32: Int32Array };
const REMEMBERED = 31; // times of pictures, for the rate
const WARM_UP = 100; // milliseconds

/** Starts the runtime with what is embedded; nothing is fetched. */
export async function openDecoder(model) {
  const [loader, wasmBinary, content] = await Promise.all(["loader", "wasm", "decoder"].map(take));
  globalThis.Module = { wasmBinary, printErr: tell }; // the loader takes its settings from here
  const script = URL.createObjectURL(new Blob([loader], { type: "text/javascript" }));
  await loadLiteRt(`${script}#.js`); // LiteRT.js takes what does not end so for a folder
  URL.revokeObjectURL(script);
  return new Decoder(model, await loadAndCompile(content, { accelerator: "wasm" }));
}

/** The runtime says everything as if it were an error. */
function tell(line) {
  if (/^(VERBOSE|INFO|WARNING): /.test(line)) console.debug(line);
  else console.error(line);
}

/** Every picture is bytes [H * W * C]. */
class Decoder {
  constructor(model, compiled) {
    Object.assign(this, { model, compiled, shape: model.kgen.image_shape, times: [], last: Promise.resolve() });
  }

  /** The picture of a latent point. */
  decode(z, label) {
    return this.run("decode", { z, ...labels(this.model, label) });
  }

  /** The picture of a seed, whatever the prior. */
  generate({ seed, temperature }, label) {
    return this.run("generate", { seed: [seed], temperature: [temperature], ...labels(this.model, label) });
  }

  /** The picture per share t of the way from z0 to z1, along the great circle. */
  between(z0, z1, t, label) {
    return this.run("interpolate", { z0, z1, t: [t], ...labels(this.model, label) });
  }

  /** One at a time, so that times are those of single pictures. */
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
      this.times = [...this.times.slice(1 - REMEMBERED), performance.now() - started];
    }
  }

  /** Draws a few pictures: the first of a page take longer, and are no measure of the others. */
  async warmUp(draw) {
    const end = performance.now() + WARM_UP;
    do await draw();
    while (performance.now() < end);
    this.times = [];
    await draw();
  }

  /** Milliseconds that a picture takes, the median of the last ones. */
  milliseconds() {
    const sorted = this.times.toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }
}

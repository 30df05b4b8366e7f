// A .tflite file of kgen-export in LiteRT.js, on one thread of the CPU.

import {loadAndCompile, loadLiteRt, Tensor} from '@litertjs/core';

import {readMetadata} from './metadata.js';

const ARRAYS = {float32: Float32Array, int32: Int32Array, uint8: Uint8Array};
const runtime = loadLiteRt(new URL('node_modules/@litertjs/core/wasm/', import.meta.url).href);

/** Opens a file (a Uint8Array). */
export async function openGenerator(content) {
  await runtime;
  const model = await loadAndCompile(content, {accelerator: 'wasm'});
  try {
    return new Generator(model, readMetadata(content));
  } catch (error) {
    model.delete();
    throw error;
  }
}

/** `about` is the metadata of the file: signatures with their inputs, ranges, class names and more. */
class Generator {
  constructor(model, about) {
    this.model = model;
    this.about = about;
  }

  /** Runs a signature on a row of its inputs, numbers or arrays by name: {values, shape: [1, H, W, C]}. */
  async run(signature, row) {
    this.checkLabel(signature, row);
    const runner = this.model.signatures[signature];
    const inputs = {};
    let outputs = {};
    try {
      for (const {name, dtype, shape} of runner.getInputDetails()) {
        const values = new ARRAYS[dtype](shape.reduce((a, b) => a * b, 1));
        values.set([row[name]].flat());
        inputs[name] = new Tensor(values, shape);
      }
      outputs = await runner.run(inputs);
      return {values: outputs.images.toTypedArray().slice(), shape: [...outputs.images.type.layout.dimensions]};
    } finally {
      [...Object.values(inputs), ...Object.values(outputs)].forEach((tensor) => tensor.delete());
    }
  }

  /** Refuses a number of no class: the model fails on it, but LiteRT.js 2.5.3 hides that and gives any pixels. */
  checkLabel(signature, {label}) {
    const {signatures, class_names: names, class_numbers: numbers = [...names.keys()]} = this.about;
    if (signatures[signature].includes('label') && ![label].flat().every((number) => numbers.includes(number))) {
      throw new Error(`no class has the number ${label}, only ${numbers.join(', ')}`);
    }
  }

  /** Frees the memory of the model, which the browser does not do by itself. */
  delete() {
    this.model.delete();
  }
}

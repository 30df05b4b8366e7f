// Pictures: the calls that give them, and their images.
//
// A picture is {model, signature, inputs, facts, source}: the call of one row that gives it, [name, value] pairs to
// show, and a data URL of its PNG.

import { element } from "./dom.js";
import { className, labels } from "./manifest.js";
import { predict } from "./models.js";

/** Samples through `generate_png`: one picture for each {label, seed, temperature}, in one call. */
export async function drawSamples(model, samples) {
  const inputs = (rows) => ({
    ...(model.kgen.conditional ? { label: rows.map((row) => row.label) } : {}),
    seed: rows.map((row) => row.seed),
    temperature: rows.map((row) => row.temperature),
  });
  const outputs = await predict(model, "generate_png", inputs(samples));
  return samples.map((sample, row) => ({
    model,
    sample,
    signature: "generate_png",
    inputs: inputs([sample]),
    facts: [["Seed", sample.seed], ...classFact(model, sample.label), ["Temperature", sample.temperature]],
    source: `data:image/png;base64,${outputs[row].b64}`,
  }));
}

/** Decodes latent points (already nested); each picture has a call and facts of its own. */
export async function decode(model, points, label, facts) {
  const outputs = await predict(model, "decode", { z: points, ...labels(model, label, points.length) });
  return points.map((z, row) => ({
    model,
    signature: "decode",
    inputs: { z: [z], ...labels(model, label) },
    facts: [...facts(row), ...classFact(model, label)],
    source: pngOf(outputs[row]),
  }));
}

/** Frames through `interpolate`, a picture per share t in [0, 1]; `facts` are common to all. */
export async function between(model, z0, z1, label, shares, facts) {
  const rows = (values) => ({
    z0: values.map(() => z0),
    z1: values.map(() => z1),
    ...labels(model, label, values.length),
    t: values,
  });
  const outputs = await predict(model, "interpolate", rows(shares));
  return shares.map((t, row) => ({
    model,
    signature: "interpolate",
    inputs: rows([t]),
    facts: [...facts, ["Position t", t], ...classFact(model, label)],
    source: pngOf(outputs[row]),
  }));
}

const classFact = (model, label) => (model.kgen.conditional ? [["Class", className(model, label)]] : []);

/** A data URL of pixels [H][W][C] in [0, 1]. */
function pngOf(rows) {
  const [height, width, channels] = [rows.length, rows[0].length, rows[0][0].length];
  const canvas = element("canvas", { width, height });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  rows.flat().forEach((pixel, place) => {
    const [red, green, blue] = channels === 1 ? [pixel[0], pixel[0], pixel[0]] : pixel;
    pixels.data.set([red, green, blue, 1].map((value) => Math.round(255 * value)), 4 * place);
  });
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL("image/png");
}

/** An <img> of a picture with an alternative text. */
export const imageOf = (picture, text) => element("img", { src: picture.source, alt: text, className: "pixels" });

/** A picture in words. */
export const describe = (picture) => picture.facts.map(([name, value]) => `${name.toLowerCase()} ${value}`).join(", ");

/** What made a picture, for its file; a picture of no seed was moved. */
export function madeBy({ model, inputs, sample }) {
  const label = inputs.label ? String(inputs.label[0]) : null;
  return { ...model.origin, label, seed: sample?.seed ?? null, temperature: sample?.temperature ?? null };
}

/** A file name of letters that every system takes. */
export function fileName(picture) {
  const { model, facts } = picture;
  const parts = [model.name, model.version, ...facts.flat().map((value) => String(value).toLowerCase())];
  return `${parts.join("-").replace(/[^\w.-]+/g, "_")}.png`;
}

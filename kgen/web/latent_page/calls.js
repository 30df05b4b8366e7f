// The calls that reproduce the image of a point, as text.

import { latent, nameOf } from "./manifest.js";

/** A shell command for the image of a seed. */
export function command(model, { label, sample }) {
  const { conditional, prior } = model.kgen;
  const flags = [
    "--count 1",
    ...(conditional ? [`--label ${quoted(nameOf(model, label))}`] : []),
    `--seed ${sample.seed}`,
    ...(sample.temperature === 1 ? [] : [`--temperature ${sample.temperature}`]),
    ...(prior === "standard_normal" ? [] : [`--prior ${prior}`]),
  ];
  return `kgen-sample ${quoted(model.source)} ${flags.join(" ")}`;
}

/** A word for a shell. */
const quoted = (text) => (/^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** A Python program for the image of a latent point. */
export function program(model, { z, label }) {
  const numbers = JSON.stringify([latent(model, z)]).replaceAll(",", ", ");
  return `import kgen
import numpy as np

sampler = kgen.open_sampler(${JSON.stringify(model.source)})
z = np.array(${numbers}, np.float32)
images = sampler.decode(z${model.kgen.conditional ? `, np.array([sampler.spec.label(${JSON.stringify(nameOf(model, label))})], np.int32)` : ""})
kgen.images.save_png("picture.png", images[0])
`;
}

// What an export's manifest says of a model, and values in the forms that its signatures take.
//
// A model has it as `kgen`: {class_names, num_classes, latent_shape, image_shape, prior, conditional, ranges}.

/** How many numbers per latent point has. */
export const latentSize = (model) => model.kgen.latent_shape.reduce((product, side) => product * side, 1);

/** Whether seeds give latent points in the browser: fitted priors are known to the server alone. */
export const hasKnownPrior = (model) => model.kgen.prior === "standard_normal";

/** [number, name] of every class; none of an unconditional model. */
export function classes(model) {
  const { conditional, num_classes: count, class_names: names } = model.kgen;
  return conditional ? Array.from({ length: count }, (_, label) => [label, names[label] ?? String(label)]) : [];
}

/** The name of a class with its number, where they differ. */
export function className(model, label) {
  const name = model.kgen.class_names[label];
  return name === undefined || name === String(label) ? String(label) : `${name} (${label})`;
}

/** A decimal number that float32 reads as this one. */
function shortest(x) {
  const rounded = [6, 7, 8, 9].map((digits) => Number(x.toPrecision(digits)));
  return rounded.find((value) => Math.fround(value) === Math.fround(x));
}

/** {"label": [...]} of a conditional model, {} of another. */
export const labels = (model, label, rows = 1) => (model.kgen.conditional ? { label: Array(rows).fill(label) } : {});

/** Numbers with as few digits as float32 needs, nested in the model's latent shape. */
export function latent(model, numbers) {
  let nested = Array.from(numbers, shortest);
  for (const side of model.kgen.latent_shape.slice(1).reverse()) {
    nested = Array.from({ length: nested.length / side }, (_, i) => nested.slice(i * side, (i + 1) * side));
  }
  return nested;
}

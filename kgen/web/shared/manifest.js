// What the manifest of an export records of a model, and values in the form that its signatures take.
//
// A model has it as `kgen`: {class_names, class_numbers, num_classes, latent_shape, image_shape,
// prior, conditional, ranges}. A label is the number of a class, as every signature takes it.

/** Dimensions of a latent point. */
export const latentSize = (model) => model.kgen.latent_shape.reduce((product, side) => product * side, 1);

/** Whether the browser can compute the latent point of a seed: it does not have fitted priors. */
export const hasKnownPrior = (model) => model.kgen.prior === "standard_normal";

/** [number, name] per class; [] for an unconditional model. */
export function classes(model) {
  const { conditional, class_names: names, class_numbers: numbers } = model.kgen;
  return conditional ? numbers.map((label, place) => [label, names[place] ?? String(label)]) : [];
}

/** The number of the first class; 0 where there are none. */
export const firstLabel = (model) => model.kgen.class_numbers[0] ?? 0;

/** The name of a class; its number where the classes have no names. */
export function nameOf(model, label) {
  const { class_names: names, class_numbers: numbers } = model.kgen;
  return names[numbers.indexOf(label)] ?? String(label);
}

/** The name of a class with its number, where they differ. */
export function className(model, label) {
  const name = nameOf(model, label);
  return name === String(label) ? name : `${name} (${label})`;
}

/** The shortest decimal number that rounds to this float32. */
function shortest(x) {
  const rounded = [6, 7, 8, 9].map((digits) => Number(x.toPrecision(digits)));
  return rounded.find((value) => Math.fround(value) === Math.fround(x));
}

/**
 * {"label": [...]} of a conditional model, {} of an unconditional one.
 *
 * A number of no class is refused here: the decoder fails on it, but LiteRT.js 2.5.3 hides that and gives any pixels.
 */
export function labels(model, label, rows = 1) {
  const { conditional, class_numbers: numbers } = model.kgen;
  if (!conditional) return {};
  if (!numbers.includes(label)) throw new Error(`No class has the number ${label}, only ${numbers.join(", ")}.`);
  return { label: Array(rows).fill(label) };
}

/** The numbers of a latent point, with as few digits as float32 needs, nested in the model's latent shape. */
export function latent(model, numbers) {
  let nested = Array.from(numbers, shortest);
  for (const side of model.kgen.latent_shape.slice(1).reverse()) {
    nested = Array.from({ length: nested.length / side }, (_, i) => nested.slice(i * side, (i + 1) * side));
  }
  return nested;
}

// The models that serve, and the public REST calls on them.

/** What `GET /page/models.json` tells. */
export async function servingModels() {
  return (await ask("/page/models.json")).models;
}

/** The outputs of a signature, for inputs in columns. */
export async function predict(model, signature, inputs) {
  const body = JSON.stringify({ signature_name: signature, inputs });
  return (await ask(`${path(model)}:predict`, { method: "POST", body })).outputs;
}

/** What TF Serving's metadata call tells. */
export const metadata = (model) => ask(`${path(model)}/metadata`);

/** The address of a version, as other programs need it. */
export const address = (model) => location.origin + path(model);

function path(model) {
  const name = encodeURIComponent(model.name).replace(/'/g, "%27");
  return `/v1/models/${name}/versions/${model.version}`;
}

async function ask(url, options) {
  let answer, values;
  try {
    answer = await fetch(url, options);
  } catch {
    throw new Error("The server cannot be reached; is kgen-serve still running?");
  }
  try {
    values = await answer.json();
  } catch {
    throw new Error(`The server's answer is no JSON (HTTP ${answer.status}).`);
  }
  if (!answer.ok) throw new Error(`HTTP ${answer.status}: ${values.error ?? answer.statusText}`);
  return values;
}

/** name/version, which tells a model from all others of this server. */
export const keyOf = (model) => `${model.name}/${model.version}`;

/** How many numbers a latent point has. */
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

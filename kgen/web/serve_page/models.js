// The served models, and the public REST calls on them.

/** The models of `GET /page/models.json`. */
export async function servingModels() {
  return (await ask("/page/models.json")).models;
}

/** The outputs of a signature, for inputs in columns. */
export async function predict(model, signature, inputs) {
  const body = JSON.stringify({ signature_name: signature, inputs });
  return (await ask(`${path(model)}:predict`, { method: "POST", body })).outputs;
}

/** The metadata of a model, as of TensorFlow Serving. */
export const metadata = (model) => ask(`${path(model)}/metadata`);

/** The URL of a version, for other programs. */
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
    throw new Error(`The answer of the server is not JSON (HTTP ${answer.status}).`);
  }
  if (!answer.ok) throw new Error(`HTTP ${answer.status}: ${values.error ?? answer.statusText}`);
  return values;
}

/** name/version: identifies a model on this server. */
export const keyOf = (model) => `${model.name}/${model.version}`;

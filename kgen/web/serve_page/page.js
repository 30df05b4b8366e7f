// The page: the choice of the model, and the parts that show it.

import { byId, element, fill, setStatus } from "./dom.js";
import { Kept } from "./kept.js";
import { classes } from "./manifest.js";
import { keyOf, metadata, servingModels } from "./models.js";
import { Path } from "./path.js";
import { Plane } from "./plane.js";
import { Samples } from "./samples.js";
import { Selected } from "./selected.js";

const kept = new Kept();
const selected = new Selected(kept);
const select = (picture) => selected.show(picture);
const plane = new Plane(kept, select);
const path = new Path(kept, select);
const samples = new Samples(kept, selected, (label) => plane.setLabel(label));
kept.onSelect = select;

/** A version in a few words. */
function facts(model) {
  if (!model.kgen) return [`version ${model.version}`, "metadata only"];
  const { image_shape: shape, latent_shape: latent, prior } = model.kgen;
  const count = classes(model).length;
  return [
    `version ${model.version}`,
    `${shape.join(" × ")} pixels`,
    `latent ${latent.join(" × ")}`,
    `prior ${prior.replaceAll("_", " ")}`,
    count ? `${count} classes` : "unconditional",
  ];
}

async function showMetadata(model) {
  const [line, text] = [byId("about-status"), byId("about-text")];
  byId("about-problem").textContent = `No pictures of this model here: ${model.problem}.`;
  text.textContent = "";
  setStatus(line, "Loading …");
  try {
    text.textContent = JSON.stringify(await metadata(model), null, 2);
    setStatus(line);
  } catch (error) {
    setStatus(line, error);
  }
}

function show(model) {
  history.replaceState(null, "", `#${encodeURIComponent(keyOf(model))}`);
  document.title = `${model.name} · kgen`;
  byId("facts").replaceChildren(...facts(model).map((fact) => element("li", { textContent: fact })));
  byId("studio").hidden = !model.kgen;
  byId("about").hidden = Boolean(model.kgen);
  if (!model.kgen) return showMetadata(model);
  selected.clear();
  kept.showModel(model);
  plane.showModel(model);
  path.showModel(model);
  samples.showModel(model);
}

async function start() {
  const [line, picker] = [byId("status"), byId("model")];
  try {
    const models = await servingModels();
    setStatus(line, models.length ? "" : "No model is served.");
    const many = (model) => models.filter((other) => other.name === model.name).length > 1;
    const name = (model) => (many(model) ? `${model.name}, version ${model.version}` : model.name);
    fill(picker, models.map((model) => [keyOf(model), name(model)]));
    const wanted = models.find((model) => `#${encodeURIComponent(keyOf(model))}` === location.hash);
    const first = wanted ?? models.find((model) => model.kgen) ?? models[0];
    picker.addEventListener("change", () => show(models.find((model) => keyOf(model) === picker.value)));
    if (!first) return;
    picker.value = keyOf(first);
    show(first);
  } catch (error) {
    setStatus(line, error);
  }
}

start();

// The page: starts the decoder and the parts of the page.

import { openDecoder } from "./decoder.js";
import { byId, element, fillChips, setStatus } from "./dom.js";
import { model } from "./embedded.js";
import { classes, latentSize } from "./manifest.js";
import { Path } from "./path.js";
import { Plane } from "./plane.js";
import { Point } from "./point.js";
import { Samples } from "./samples.js";
import { Sliders } from "./sliders.js";
import { View } from "./view.js";

/** The model in a few words. */
function facts() {
  const { image_shape: shape, latent_shape: latent, prior } = model.kgen;
  const count = classes(model).length;
  const noise = latentSize(model) - model.code_size;
  return [
    `${shape.join(" × ")} pixels`,
    noise ? `latent ${model.code_size}, and ${noise} of noise` : `latent ${latent.join(" × ")}`,
    `prior ${prior.replaceAll("_", " ")}`,
    count ? `${count} classes` : "unconditional",
    `${model.parameters.toLocaleString("en")} parameters`,
    ...(model.precision ? [model.precision] : []),
  ];
}

async function start() {
  byId("facts").replaceChildren(...facts().map((fact) => element("li", { textContent: fact })));
  const decoder = await openDecoder(model);
  const point = new Point(model);
  await decoder.warmUp(() => point.draw(decoder));
  fillChips(byId("classes"), classes(model), (label) => point.setLabel(label));
  const samples = new Samples(model, decoder, point);
  new View(model, decoder, point);
  new Sliders(model, point);
  new Plane(model, decoder, point);
  new Path(model, decoder, point);
  samples.restart(0);
  byId("studio").hidden = false;
  setStatus(byId("status"));
  return decoder;
}

const ready = start();
ready.catch((error) => setStatus(byId("status"), new Error(`The decoder failed to start: ${error.message ?? error}`)));
const ask = (method) => async (...given) => (await ready)[method](...given);

/** For the console: each method returns a promise of bytes [H * W * C]. */
window.kgen = { ready, decode: ask("decode"), generate: ask("generate"), between: ask("between") };

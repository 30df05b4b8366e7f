// What is embedded in the page: the description of the model, and files, gzip in base64.

import { byId } from "./dom.js";

/** {name, data, parameters, source, code_size, precision: what differs from the export, kgen: as `manifest.js` reads}. */
export const model = JSON.parse(byId("model").textContent);

/** Decodes an embedded file, once: its text is removed from the page. */
export async function take(id) {
  const box = byId(id);
  const text = atob(box.textContent);
  box.remove();
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

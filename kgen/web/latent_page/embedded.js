// What kgen put into the page: a description, and files, compressed and in base64.

import { byId } from "./dom.js";

/** {name, data, parameters, source, code_size, kgen: what `manifest.js` reads}. */
export const model = JSON.parse(byId("model").textContent);

/** The bytes of a file, once: its text is dropped. */
export async function take(id) {
  const box = byId(id);
  const text = atob(box.textContent);
  box.remove();
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Gets an image from kgen-serve or TF Serving with `fetch`: in Node 18 or newer, and the function in any page.
//
//   node generate.mjs http://127.0.0.1:8501/v1/models/cvae '{"label": 3, "seed": 7, "temperature": 1}' three.png

/** The bytes of a PNG file: of the signature generate_png, for a row of its inputs. */
export async function generate(model, row) {
  const answer = await fetch(`${model}:predict`, {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({signature_name: 'generate_png', instances: [row]}),
  });
  const {predictions, error} = await answer.json();
  if (!answer.ok) throw new Error(`${answer.status}: ${error}`);
  const text = atob(predictions[0].b64);
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

const inNode = typeof process !== 'undefined' && process.argv?.[1];
if (inNode && import.meta.url === (await import('node:url')).pathToFileURL(process.argv[1]).href) {
  const [model, row, out] = process.argv.slice(2);
  const {writeFile} = await import('node:fs/promises');
  try {
    await writeFile(out, await generate(model, JSON.parse(row)));
  } catch (error) {
    console.error(`generate: ${error.message}`);
    process.exitCode = 1;
  }
}

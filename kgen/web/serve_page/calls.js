// The calls that give a picture again, as text: curl, Python and JavaScript. They need no kgen.

import { address } from "./models.js";
import { fileName } from "./picture.js";

const PNG = 'base64.b64decode(json.load(sys.stdin)["outputs"][0]["b64"])';
const DECODED = `python3 -c 'import base64, json, sys; sys.stdout.buffer.write(${PNG})'`;

/** JSON with a space after commas and colons, which is a Python literal too. */
function literal(value) {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, inner]) => `"${name}": ${literal(inner)}`).join(", ")}}`;
}

const bodyOf = (picture) => literal({ signature_name: picture.signature, inputs: picture.inputs });

/** A shell line. A PNG is written to a file; pixels come as JSON. */
export function curl(picture) {
  const call = `curl -sS ${address(picture.model)}:predict \\\n  -d '${bodyOf(picture)}'`;
  return picture.sample ? `${call} \\\n  | ${DECODED} > ${fileName(picture)}` : call;
}

/** A Python program that writes the picture to a file, with requests; pixels also take NumPy and Pillow. */
export function python(picture) {
  const [imports, save] = picture.sample
    ? [
        "import base64\nfrom pathlib import Path\n\nimport requests",
        `png = base64.b64decode(answer.json()["outputs"][0]["b64"])\nPath("${fileName(picture)}").write_bytes(png)`,
      ]
    : [
        "import numpy as np\nimport requests\nfrom PIL import Image",
        `pixels = np.rint(255 * np.array(answer.json()["outputs"][0])).astype(np.uint8)  # [height, width, channels]
Image.fromarray(pixels.squeeze()).save("${fileName(picture)}")`,
      ];
  return `${imports}

body = ${bodyOf(picture)}
answer = requests.post("${address(picture.model)}:predict", json=body, timeout=60)
answer.raise_for_status()
${save}
`;
}

/** JavaScript for a page, which adds the picture to it. */
export function javascript(picture) {
  const show = picture.sample
    ? `const image = new Image();
image.src = "data:image/png;base64," + outputs[0].b64;
document.body.append(image);`
    : `const [pixels] = outputs; // [height][width][channels] in [0, 1]
const canvas = document.createElement("canvas");
[canvas.width, canvas.height] = [pixels[0].length, pixels.length];
const context = canvas.getContext("2d");
const image = context.createImageData(canvas.width, canvas.height);
pixels.flat().forEach(([red, green = red, blue = red], i) => {
  image.data.set([red, green, blue, 1].map((value) => Math.round(255 * value)), 4 * i);
});
context.putImageData(image, 0, 0);
document.body.append(canvas);`;
  return `const body = ${bodyOf(picture)};
const answer = await fetch("${address(picture.model)}:predict", { method: "POST", body: JSON.stringify(body) });
if (!answer.ok) throw new Error(await answer.text());
const { outputs } = await answer.json();
${show}
`;
}

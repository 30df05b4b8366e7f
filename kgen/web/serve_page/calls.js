// The calls that reproduce a picture, as text: curl and Python.

import { hasKnownPrior } from "./manifest.js";
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

/** A shell line. A PNG is written to a file; pixels come as JSON. */
export function curl(picture) {
  const body = literal({ signature_name: picture.signature, inputs: picture.inputs });
  const call = `curl -sS ${address(picture.model)}:predict \\\n  -d '${body}'`;
  return picture.sample ? `${call} \\\n  | ${DECODED} > ${fileName(picture)}` : call;
}

/** A Python program that writes the picture to a file. */
export function python(picture) {
  const { model, sample, signature } = picture;
  if (sample && hasKnownPrior(model)) return generated(picture);
  return signature === "decode" ? decoded(picture) : requested(picture);
}

function generated(picture) {
  const { label, seed, temperature } = picture.sample;
  const given = picture.model.kgen.conditional ? `labels=${label}, seed=${seed}` : `seed=${seed}`;
  return `import kgen

sampler = kgen.open_sampler("${address(picture.model)}")
samples = kgen.generate(sampler, 1, ${given}, temperature=${temperature})
kgen.images.save_png("${fileName(picture)}", samples.images[0])
`;
}

function decoded(picture) {
  const { z, label } = picture.inputs;
  return `import kgen
import numpy as np

sampler = kgen.open_sampler("${address(picture.model)}")
z = np.array(${literal(z)}, np.float32)
images = sampler.decode(z${label ? `, np.array(${literal(label)}, np.int32)` : ""})
kgen.images.save_png("${fileName(picture)}", images[0])
`;
}

function requested(picture) {
  const [imports, save] = picture.sample
    ? [
        "import base64\nfrom pathlib import Path\n",
        `Path("${fileName(picture)}").write_bytes(base64.b64decode(answer.json()["outputs"][0]["b64"]))`,
      ]
    : [
        "import kgen\nimport numpy as np",
        `kgen.images.save_png("${fileName(picture)}", np.array(answer.json()["outputs"][0], np.float32))`,
      ];
  return `${imports}
import requests

inputs = ${literal(picture.inputs)}
body = {"signature_name": "${picture.signature}", "inputs": inputs}
answer = requests.post("${address(picture.model)}:predict", json=body, timeout=60)
answer.raise_for_status()
${save}
`;
}

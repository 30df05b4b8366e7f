// The page: a file, a class, a seed and a temperature become a picture.

const SIGNATURE = 'generate_u8';
const get = (id) => document.getElementById(id);
let generator = null;

get('file').addEventListener('change', ({target}) => {
  const [file] = target.files;
  if (file) attempt(async () => open(file.name, new Uint8Array(await file.arrayBuffer())));
});
get('form').addEventListener('submit', (event) => {
  event.preventDefault();
  attempt(draw);
});
get('another').addEventListener('click', () => {
  const {min, max} = get('seed');
  get('seed').value = Number(min) + Math.floor(Math.random() * (Number(max) - Number(min) + 1));
  get('form').requestSubmit();
});
attempt(async () => {
  const named = new URLSearchParams(location.search).get('model');
  const answer = await fetch(named ?? 'model.tflite');
  if (answer.ok) {
    await open(named ?? 'model.tflite', new Uint8Array(await answer.arrayBuffer()));
  } else if (named === null) {
    say('Choose the model.tflite of an export.');
  } else {
    throw new Error(`${named} is not there: ${answer.status} ${answer.statusText}`);
  }
});

/** Does something that the form waits for, and says what went wrong. */
async function attempt(action) {
  get('form').ariaBusy = get('choice').disabled = get('controls').disabled = true;
  try {
    await action();
  } catch (error) {
    say(error.message ?? String(error), true);
  } finally {
    get('form').ariaBusy = get('choice').disabled = false;
    get('controls').disabled = generator === null;
  }
}

async function open(name, content) {
  close();
  say(`Opening ${name} ...`);
  const {openGenerator} = await import('./generator.js').catch((error) => {
    throw new Error(`LiteRT.js is not here (${error.message}): run npm ci in this folder`);
  });
  const opened = await openGenerator(content).catch((error) => {
    throw new Error(`${name} cannot be opened: ${error.message ?? error}`);
  });
  const {signatures, ranges, class_names: names, class_numbers, model, parameters, spec} = opened.about;
  const numbers = class_numbers ?? [...names.keys()];
  const inputs = signatures[SIGNATURE];
  if (!inputs) {
    opened.delete();
    throw new Error(`${name} has no ${SIGNATURE} but ${Object.keys(signatures).join(', ')}; choose model.tflite`);
  }
  generator = opened;
  get('about').textContent = `${model} of ${spec.name}, ${parameters.toLocaleString('en')} parameters`;
  get('classes').hidden = !inputs.includes('label');
  get('label').replaceChildren(...numbers.map((number, place) => new Option(names[place] ?? number, number)));
  for (const input of ['seed', 'temperature']) [get(input).min, get(input).max] = ranges[input];
  await generator.run(SIGNATURE, asked()); // prepares the weights, so that the time of no picture holds that
  await draw();
}

function close() {
  generator?.delete();
  generator = null;
  get('about').textContent = '';
  get('canvas').width = get('canvas').height = 1; // which clears it
  get('canvas').ariaLabel = 'no picture yet';
}

/** The inputs of the signature, as the form has them. */
function asked() {
  return Object.fromEntries(['label', 'seed', 'temperature'].map((name) => [name, Number(get(name).value)]));
}

async function draw() {
  const row = asked();
  const started = performance.now();
  const {values, shape} = await generator.run(SIGNATURE, row);
  const milliseconds = performance.now() - started;
  paint(values, shape);
  const [chosen] = get('classes').hidden ? [] : get('label').selectedOptions;
  const title = `${chosen ? `class ${chosen.text}, ` : ''}seed ${row.seed}, temperature ${row.temperature}`;
  get('canvas').ariaLabel = title;
  say(`${title}: ${shape[2]} × ${shape[1]} pixels in ${milliseconds.toFixed(1)} ms`);
}

/** Gray or colour bytes [1, H, W, C] onto the canvas. */
function paint(values, [, height, width, channels]) {
  const picture = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let i = 0; i < 3; i++) picture.data[4 * pixel + i] = values[channels * pixel + Math.min(i, channels - 1)];
    picture.data[4 * pixel + 3] = 255;
  }
  const canvas = get('canvas');
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext('2d').putImageData(picture, 0, 0);
}

function say(text, wrong = false) {
  get('status').textContent = text;
  get('status').className = wrong ? 'wrong' : '';
}

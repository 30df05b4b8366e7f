// Bytes onto canvases, and many pictures without holding up the page.

const BREATH = 12; // milliseconds of work between two chances for the browser to draw and to listen

/** A canvas of columns × rows pictures; what is on it stays where the size does. */
export function fit(canvas, [height, width], columns = 1, rows = 1) {
  if (canvas.width !== width * columns) canvas.width = width * columns;
  if (canvas.height !== height * rows) canvas.height = height * rows;
}

/** Puts a picture of gray or colour bytes [H * W * C] into a place of a canvas. */
export function paint(canvas, bytes, [height, width, channels], column = 0, row = 0) {
  const picture = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let i = 0; i < 3; i++) picture.data[4 * pixel + i] = bytes[channels * pixel + Math.min(i, channels - 1)];
    picture.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, column * width, row * height);
}

/** A function that does `work` for 0 .. count - 1, with breaks; a new call ends the one before it. */
export function interruptible(work) {
  let turn = 0;
  return async (count, ...given) => {
    const own = ++turn;
    let started = performance.now();
    for (let i = 0; i < count; i++) {
      if (own !== turn) return;
      await work(i, ...given);
      if (performance.now() - started < BREATH) continue;
      await new Promise((resume) => setTimeout(resume));
      started = performance.now();
    }
  };
}

// Images onto canvases, and many of them without blocking the page.

const MAX_BLOCKING = 12; // milliseconds of work between two returns to the event loop

export const GAP = 1; // pixels between the images of a map

/** Sizes a canvas for an image, or for side × side images with gaps; keeps its content if the size stays. */
export function fit(canvas, [height, width], side = 1) {
  const gap = side > 1 ? GAP : 0;
  if (canvas.width !== (width + gap) * side) canvas.width = (width + gap) * side;
  if (canvas.height !== (height + gap) * side) canvas.height = (height + gap) * side;
}

/** Draws an image of gray or color bytes [H * W * C] into a cell of a canvas. */
export function paint(canvas, bytes, [height, width, channels], column = 0, row = 0) {
  const picture = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let i = 0; i < 3; i++) picture.data[4 * pixel + i] = bytes[channels * pixel + Math.min(i, channels - 1)];
    picture.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, column * (width + GAP), row * (height + GAP));
}

/** A function that calls `work` for 0 .. count - 1, with pauses; a new call cancels the one before it. */
export function interruptible(work) {
  let turn = 0;
  return async (count, ...given) => {
    const own = ++turn;
    let started = performance.now();
    for (let i = 0; i < count; i++) {
      if (own !== turn) return;
      await work(i, ...given);
      if (performance.now() - started < MAX_BLOCKING) continue;
      await new Promise((resume) => setTimeout(resume));
      started = performance.now();
    }
  };
}

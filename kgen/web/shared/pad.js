// A square pad with a point that the pointer and the arrow keys move.

import { byId } from "./dom.js";

const STEP = 1 / 30; // of the reach, per press of an arrow key; five times that with Shift
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

export class Pad {
  /** `onMove` is called when the user has moved the point. */
  constructor(onMove) {
    Object.assign(this, { onMove, reach: 1, names: ["x", "y"], place: [0, 0], dragged: false });
    const box = byId("pad");
    box.addEventListener("pointerdown", (event) => {
      box.setPointerCapture(event.pointerId);
      this.dragged = true;
      this.follow(event);
    });
    box.addEventListener("pointermove", (event) => this.dragged && this.follow(event));
    for (const end of ["pointerup", "pointercancel"]) box.addEventListener(end, () => (this.dragged = false));
    box.addEventListener("keydown", (event) => this.press(event));
  }

  /** A pad from -reach to reach, with its point in the middle; `names` are those of its axes. */
  reset(reach, names = ["x", "y"]) {
    Object.assign(this, { reach, names });
    [byId("pad-across"), byId("pad-up")].forEach((axis, i) => {
      if (!axis) return;
      const [low, name, high] = axis.children;
      [low.textContent, name.textContent, high.textContent] = [`−${reach}`, names[i], reach];
    });
    byId("pad").setAttribute("aria-valuemin", -reach);
    byId("pad").setAttribute("aria-valuemax", reach);
    this.put(0, 0);
  }

  /** The centers of side × side cells, row by row from the upper left. */
  cells(side) {
    const center = (i) => this.reach * ((2 * i + 1) / side - 1);
    return Array.from({ length: side * side }, (_, i) => [center(i % side), -center(Math.floor(i / side))]);
  }

  /** Shows A at (1, 0), B at (0, 1) and the circle through both. */
  showMarks(visible) {
    for (const [id, x, y] of [["pad-a", 1, 0], ["pad-b", 0, 1]]) {
      byId(id).hidden = !visible;
      this.locate(byId(id), x, y);
    }
    byId("pad-circle").hidden = !visible;
    byId("pad-circle").style.width = byId("pad-circle").style.height = `${100 / this.reach}%`;
  }

  put(x, y) {
    const bounded = (value) => Math.round(1000 * Math.max(-this.reach, Math.min(this.reach, value))) / 1000;
    this.place = [bounded(x), bounded(y)];
    this.locate(byId("pad-point"), ...this.place);
    byId("pad").setAttribute("aria-valuenow", this.place[0]);
    byId("pad").setAttribute("aria-valuetext", this.words(...this.place));
  }

  /** A place with the names of the axes: "x 0.20, y -1.00". */
  words(x, y) {
    return `${this.names[0]} ${x.toFixed(2)}, ${this.names[1]} ${y.toFixed(2)}`;
  }

  locate(element, x, y) {
    element.style.left = `${50 * (1 + x / this.reach)}%`;
    element.style.top = `${50 * (1 - y / this.reach)}%`;
  }

  follow(event) {
    const { left, top, width, height } = byId("pad").getBoundingClientRect();
    const [right, down] = [(event.clientX - left) / width, (event.clientY - top) / height];
    this.put(this.reach * (2 * right - 1), this.reach * (1 - 2 * down));
    this.onMove();
  }

  press(event) {
    const direction = ARROWS[event.key];
    if (!direction) return;
    event.preventDefault();
    const step = this.reach * STEP * (event.shiftKey ? 5 : 1);
    this.put(this.place[0] + step * direction[0], this.place[1] + step * direction[1]);
    this.onMove();
  }
}

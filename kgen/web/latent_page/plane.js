// Two dimensions of the latent point under the pointer, over a map of decoded images.

import { fit, interruptible, paint } from "./canvas.js";
import { byId, fill, setStatus } from "./dom.js";
import { Pad } from "./pad.js";

const REACH = 3; // standard deviations
const SIDES = [15, 11, 7, 5]; // images per side of the map
const BUDGET = 400; // milliseconds that a map may take

export class Plane {
  constructor(model, decoder, point) {
    Object.assign(this, { decoder, point, mapped: "" });
    byId("axes").hidden = model.code_size === 2;
    byId("plane").hidden = model.code_size < 2;
    if (model.code_size < 2) return;
    const options = Array.from({ length: model.code_size }, (_, place) => [place, `z${place}`]);
    for (const [id, first] of [["axis-x", 0], ["axis-y", 1]]) {
      fill(byId(id), options, first);
      byId(id).addEventListener("change", () => this.show());
    }
    this.pad = new Pad(() => {
      const [[x, y], [right, up]] = [this.axes(), this.pad.place];
      point.shift([[x, right], [y, up]]);
    });
    this.pad.reset(REACH);
    this.drawMap = interruptible((cell, ...given) => this.cell(cell, ...given));
    byId("map").addEventListener("change", () => this.show());
    point.onChange(() => this.show());
    this.show();
  }

  axes() {
    return [Number(byId("axis-x").value), Number(byId("axis-y").value)];
  }

  show() {
    const { z, label } = this.point;
    const [x, y] = this.axes();
    this.pad.put(z[x], z[y]);
    byId("across-name").textContent = `z${x} →`;
    byId("up-name").textContent = `z${y} →`;
    const wanted = byId("map").checked;
    byId("pad-map").hidden = !wanted;
    const rest = z.map((value, place) => (place === x || place === y ? 0 : value)).join();
    const key = JSON.stringify([x, y, label, rest]);
    if (!wanted || key === this.mapped) return;
    this.mapped = key;
    const side = this.side();
    fit(byId("pad-map"), this.decoder.shape, side);
    this.drawMap(side * side, side, this.pad.cells(side), { x, y, z, label }).catch((error) => {
      setStatus(byId("plane-status"), error);
    });
  }

  /** Images per side of the map that fit into BUDGET. */
  side() {
    const most = BUDGET / this.decoder.milliseconds();
    return SIDES.find((side) => side * side <= most) ?? SIDES.at(-1);
  }

  async cell(cell, side, centers, { x, y, z, label }) {
    const moved = z.slice();
    [moved[x], moved[y]] = centers[cell];
    const bytes = await this.decoder.decode(moved, label);
    paint(byId("pad-map"), bytes, this.decoder.shape, cell % side, Math.floor(cell / side));
  }
}

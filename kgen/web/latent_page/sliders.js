// A slider per dimension of the latent point.

import { byId, element } from "./dom.js";

const REACH = 4; // standard deviations
const ENDS = [`−${REACH}`, String(REACH)];
const ALL = 32; // sliders that are shown at once
const FIRST = 12; // of more dimensions, until all are asked for

export class Sliders {
  constructor(model, point) {
    Object.assign(this, { point, rows: [] });
    this.size = model.code_size;
    byId("more").hidden = this.size <= ALL;
    byId("more").textContent = `All ${this.size}`;
    byId("more").addEventListener("click", () => {
      byId("more").hidden = true;
      this.fill(this.size);
    });
    byId("reset").addEventListener("click", () => point.shift(Array.from({ length: this.size }, (_, i) => [i, 0])));
    point.onChange(() => this.show());
    this.fill(this.size <= ALL ? this.size : FIRST);
  }

  fill(count) {
    while (this.rows.length < count) this.rows.push(this.row(this.rows.length));
    byId("sliders").replaceChildren(...this.rows.map(({ label }) => label));
    this.show();
  }

  row(place) {
    const range = element("input", { type: "range", min: -REACH, max: REACH, step: 0.01, id: `z${place}` });
    const value = element("output");
    range.addEventListener("input", () => this.point.shift([[place, Number(range.value)]]));
    const [name, low, high] = [`z${place}`, ...ENDS].map((textContent) => element("span", { textContent }));
    return { range, value, label: element("label", {}, name, low, range, high, value) };
  }

  show() {
    this.rows.forEach(({ range, value }, place) => {
      range.value = this.point.z[place];
      value.textContent = this.point.z[place].toFixed(2);
    });
    byId("sliders").classList.toggle("stale", !this.point.isKnown());
  }
}

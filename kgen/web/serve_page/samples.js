// Samples: a grid of seeds, of one class and temperature.

import { byId, element, fillChips, newest, setStatus } from "./dom.js";
import { classes, firstLabel } from "./manifest.js";
import { describe, drawSamples, imageOf } from "./picture.js";
import { rowSeed } from "./portable.js";
import { maxTemperature, randomSeed, takeSeed } from "./seeds.js";

const COUNT = 24;

export class Samples {
  /** `onLabel` is called with the class that is chosen. */
  constructor(kept, selected, onLabel) {
    Object.assign(this, { kept, selected, onLabel, label: 0, count: COUNT });
    this.line = byId("samples-status");
    this.draw = newest(this.line, (model) => this.drawGrid(model));
    byId("temperature").addEventListener("input", () => this.redraw());
    byId("seed").addEventListener("change", () => this.restart(byId("seed").value));
    byId("new-seeds").addEventListener("click", () => this.restart(randomSeed()));
    byId("more").addEventListener("click", () => {
      this.count += COUNT;
      this.redraw();
    });
    kept.onChange(() => this.mark());
    selected.onShow(() => this.mark());
  }

  showModel(model) {
    this.model = model;
    this.pictures = [];
    byId("grid").replaceChildren();
    byId("temperature").max = maxTemperature(model);
    this.showClasses(classes(model));
    this.restart(byId("seed").value);
  }

  showClasses(found) {
    fillChips(byId("classes"), found, (label) => {
      this.choose(label);
      this.redraw();
    });
    this.choose(firstLabel(this.model));
  }

  choose(label) {
    this.label = label;
    this.onLabel(label);
  }

  /** Starts from a first seed. */
  restart(text) {
    const seed = takeSeed(byId("seed"), text, this.line);
    if (seed === null) return;
    this.seed = seed;
    this.count = COUNT;
    this.redraw();
  }

  redraw() {
    byId("temperature-value").textContent = Number(byId("temperature").value).toFixed(2);
    this.draw(this.model);
  }

  async drawGrid(model) {
    const { label, seed, count } = this;
    const temperature = Number(byId("temperature").value);
    const wanted = Array.from({ length: count }, (_, row) => ({ label, seed: rowSeed(seed, row), temperature }));
    const first = wanted.findIndex((sample, row) => !this.shows(model, sample, row));
    const ready = this.pictures.slice(0, first < 0 ? count : first);
    setStatus(this.line, "Drawing …");
    byId("grid").setAttribute("aria-busy", "true");
    try {
      const drawn = first < 0 ? [] : await drawSamples(model, wanted.slice(first));
      if (model !== this.model) return;
      setStatus(this.line);
      this.fillGrid([...ready, ...drawn]);
    } catch (error) {
      if (model === this.model) this.fillGrid(ready);
      throw error;
    } finally {
      byId("grid").removeAttribute("aria-busy");
    }
  }

  fillGrid(pictures) {
    this.pictures = pictures;
    byId("grid").replaceChildren(...pictures.map((picture, row) => this.item(picture, row)));
    this.mark();
  }

  /** Whether the grid shows this sample in this row already. */
  shows(model, sample, row) {
    const shown = this.pictures[row];
    return shown?.model === model && Object.keys(sample).every((name) => shown.sample[name] === sample[name]);
  }

  /** A picture that a click selects, its row, and the star that keeps it. */
  item(picture, row) {
    const text = describe(picture);
    const choose = element("button", { type: "button", className: "sample", title: text }, imageOf(picture, text));
    choose.addEventListener("click", () => this.selected.show(picture));
    const keep = element("button", { type: "button", className: "star", "aria-label": `Keep row ${row}` });
    keep.addEventListener("click", () => this.kept.toggle(picture));
    const caption = element("div", { className: "caption" }, element("span", { className: "row", textContent: row }), keep);
    return element("li", {}, choose, caption);
  }

  /** Marks the sample that is selected, and those that are kept. */
  mark() {
    [...byId("grid").children].forEach((item, row) => {
      const picture = this.pictures[row];
      const isKept = this.kept.has(picture.sample);
      item.querySelector(".sample").setAttribute("aria-pressed", this.selected.picture === picture);
      item.querySelector(".star").setAttribute("aria-pressed", isKept);
      item.querySelector(".star").textContent = isKept ? "★" : "☆";
    });
  }
}

// Samples: a grid of seeds, of one class and temperature.

import { byId, element, fillChips, newest, say } from "./dom.js";
import { classes } from "./manifest.js";
import { drawSamples, imageOf, told } from "./picture.js";
import { rowSeed } from "./portable.js";
import { anySeed, readSeed } from "./seeds.js";

const COUNT = 24;

export class Samples {
  /** `onLabel` hears of the class that is chosen. */
  constructor(kept, select, onLabel) {
    Object.assign(this, { kept, select, onLabel, label: 0, count: COUNT });
    this.line = byId("samples-status");
    this.draw = newest(this.line, (model) => this.drawGrid(model));
    byId("temperature").addEventListener("input", () => this.redraw());
    byId("seed").addEventListener("change", () => this.restart(byId("seed").value));
    byId("new-seeds").addEventListener("click", () => this.restart(anySeed()));
    byId("more").addEventListener("click", () => {
      this.count += COUNT;
      this.redraw();
    });
    kept.onChange(() => this.mark());
  }

  showModel(model) {
    this.model = model;
    this.pictures = [];
    byId("grid").replaceChildren();
    const [, hottest] = model.kgen.ranges.temperature ?? [0, 2];
    byId("temperature").max = Math.min(2, hottest);
    this.showClasses(classes(model));
    this.restart(byId("seed").value);
  }

  showClasses(found) {
    fillChips(byId("classes"), found, (label) => {
      this.choose(label);
      this.redraw();
    });
    this.choose(0);
  }

  choose(label) {
    this.label = label;
    this.onLabel(label);
  }

  /** Begins anew with a first seed; what is no seed is said. */
  restart(seed) {
    try {
      this.seed = byId("seed").value = readSeed(seed);
    } catch (error) {
      say(this.line, error);
      return;
    }
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
    const there = this.pictures.slice(0, first < 0 ? count : first);
    say(this.line, "Drawing …");
    byId("grid").setAttribute("aria-busy", "true");
    try {
      const drawn = first < 0 ? [] : await drawSamples(model, wanted.slice(first));
      if (model !== this.model) return;
      say(this.line);
      this.fillGrid([...there, ...drawn]);
    } catch (error) {
      if (model === this.model) this.fillGrid(there);
      throw error;
    } finally {
      byId("grid").removeAttribute("aria-busy");
    }
  }

  fillGrid(pictures) {
    this.pictures = pictures;
    byId("grid").replaceChildren(...pictures.map((picture) => this.item(picture)));
    this.mark();
  }

  /** Whether the grid has this sample in this place already. */
  shows(model, sample, row) {
    const there = this.pictures[row];
    return there?.model === model && Object.keys(sample).every((name) => there.sample[name] === sample[name]);
  }

  item(picture) {
    const button = element("button", { type: "button", className: "sample" }, imageOf(picture, told(picture)));
    button.append(element("span", { className: "seed", textContent: picture.sample.seed }));
    button.addEventListener("click", () => {
      this.kept.keep(picture);
      this.select(picture);
    });
    return element("li", {}, button);
  }

  /** Shows which samples are kept. */
  mark() {
    byId("grid").querySelectorAll("button").forEach((button, row) => {
      button.setAttribute("aria-pressed", this.kept.has(this.pictures[row].sample));
    });
  }
}

// Samples: a grid of seeds, of the class of the point.

import { fit, interruptible, paint } from "./canvas.js";
import { byId, element, say } from "./dom.js";
import { hasKnownPrior } from "./manifest.js";
import { rowSeed } from "./portable.js";
import { anySeed, readSeed } from "./seeds.js";

const COUNT = 25;

export class Samples {
  constructor(model, decoder, point) {
    Object.assign(this, { decoder, point, seed: 0, drawn: "" });
    this.line = byId("samples-status");
    const [, hottest] = model.kgen.ranges.temperature ?? [0, 2];
    byId("temperature").max = Math.min(2, hottest);
    byId("samples-hint").textContent = hasKnownPrior(model)
      ? "A click goes to the latent point of a sample."
      : `Seeds draw from the export's ${model.kgen.prior.replaceAll("_", " ")}; their latent points are not shown, ` +
        "so the sliders keep their own point.";
    this.items = Array.from({ length: COUNT }, (_, row) => this.item(row));
    byId("grid").replaceChildren(...this.items.map(({ box }) => box));
    this.drawGrid = interruptible((row, label) => this.draw(row, label));
    byId("temperature").addEventListener("input", () => this.restart(this.seed));
    byId("seed").addEventListener("change", () => this.restart(byId("seed").value));
    byId("random").addEventListener("click", () => this.restart(anySeed()));
    point.onChange(() => this.show());
  }

  item(row) {
    const canvas = element("canvas", { className: "pixels" });
    fit(canvas, this.decoder.shape);
    const button = element("button", { type: "button", className: "sample" }, canvas);
    button.addEventListener("click", () => this.point.takeSeed(this.sample(row)));
    return { canvas, button, box: element("li", {}, button) };
  }

  /** The seed and the temperature of a place of the grid. */
  sample(row) {
    return { seed: rowSeed(this.seed, row), temperature: Number(byId("temperature").value) };
  }

  /** Begins anew with a first seed, whose point is taken; what is no seed is said. */
  restart(seed) {
    try {
      this.seed = byId("seed").value = readSeed(seed);
    } catch (error) {
      say(this.line, error);
      return;
    }
    say(this.line);
    this.point.takeSeed(this.sample(0));
  }

  /** Draws the grid where it is another one, and marks the sample that is shown. */
  show() {
    const { label, sample } = this.point;
    const { temperature } = this.sample(0);
    byId("temperature-value").textContent = temperature.toFixed(2);
    this.items.forEach(({ button }, row) => {
      const { seed } = this.sample(row);
      button.title = button.ariaLabel = `seed ${seed}`;
      button.ariaPressed = sample?.seed === seed && sample.temperature === temperature;
    });
    const key = [this.seed, temperature, label].join();
    if (key === this.drawn) return;
    this.drawn = key;
    this.drawGrid(COUNT, label).catch((error) => say(this.line, error));
  }

  async draw(row, label) {
    paint(this.items[row].canvas, await this.decoder.generate(this.sample(row), label), this.decoder.shape);
  }
}

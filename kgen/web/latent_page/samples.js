// Samples: a grid of seeds, of the class of the point.

import { fit, interruptible, paint } from "./canvas.js";
import { byId, element, setStatus } from "./dom.js";
import { hasKnownPrior } from "./manifest.js";
import { rowSeed } from "./portable.js";
import { maxTemperature, randomSeed, takeSeed } from "./seeds.js";

const COUNT = 25;

export class Samples {
  constructor(model, decoder, point) {
    Object.assign(this, { decoder, point, seed: 0, shownKey: "" });
    this.line = byId("samples-status");
    byId("temperature").max = maxTemperature(model);
    byId("samples-hint").textContent = hasKnownPrior(model)
      ? "A click goes to the latent point of a sample."
      : `Seeds sample the export's ${model.kgen.prior.replaceAll("_", " ")}; their latent points are not shown, ` +
        "so the sliders keep their own point.";
    this.items = Array.from({ length: COUNT }, (_, row) => this.item(row));
    byId("grid").replaceChildren(...this.items.map(({ box }) => box));
    this.drawGrid = interruptible((row, label) => this.draw(row, label));
    byId("temperature").addEventListener("input", () => this.restart(this.seed));
    byId("seed").addEventListener("change", () => this.restart(byId("seed").value));
    byId("random").addEventListener("click", () => this.restart(randomSeed()));
    point.onChange(() => this.show());
  }

  item(row) {
    const canvas = element("canvas", { className: "pixels" });
    fit(canvas, this.decoder.shape);
    const button = element("button", { type: "button", className: "sample" }, canvas);
    button.addEventListener("click", () => this.point.takeSeed(this.sample(row)));
    return { canvas, button, box: element("li", {}, button) };
  }

  /** The seed and the temperature of a cell of the grid. */
  sample(row) {
    return { seed: rowSeed(this.seed, row), temperature: Number(byId("temperature").value) };
  }

  /** Starts from a first seed, and goes to its latent point. */
  restart(text) {
    const seed = takeSeed(byId("seed"), text, this.line);
    if (seed === null) return;
    this.seed = seed;
    this.point.takeSeed(this.sample(0));
  }

  /** Draws the grid if it has changed, and marks the sample that is shown. */
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
    if (key === this.shownKey) return;
    this.shownKey = key;
    this.drawGrid(COUNT, label).catch((error) => setStatus(this.line, error));
  }

  async draw(row, label) {
    paint(this.items[row].canvas, await this.decoder.generate(this.sample(row), label), this.decoder.shape);
  }
}

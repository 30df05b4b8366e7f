// Interpolation between two kept samples.

import { byId, element, fill, fillPair, newest, setStatus } from "./dom.js";
import { classes, hasKnownPrior, latent } from "./manifest.js";
import { between, describe, imageOf } from "./picture.js";
import { latentOf } from "./seeds.js";

const FRAMES = 9;

export class Path {
  constructor(kept, select) {
    Object.assign(this, { kept, select, model: null });
    this.line = byId("path-status");
    this.drawStrip = newest(this.line, (model) => this.frames(model));
    this.drawShare = newest(this.line, (model, chosen) => this.share(model, chosen));
    byId("path-from").addEventListener("change", () => this.takeClass());
    for (const id of ["path-from", "path-to"]) byId(id).addEventListener("change", () => this.redraw());
    byId("path-class").addEventListener("change", () => this.redraw());
    byId("share").addEventListener("input", () => this.drawShare(this.model, true));
    kept.onChange(() => this.model && this.refill());
  }

  showModel(model) {
    this.model = model;
    fill(byId("path-class"), classes(model));
    byId("path-class-label").hidden = !model.kgen.conditional;
    this.refill();
  }

  /** Why there is no interpolation, or "". */
  obstacle() {
    if (!this.model.signatures.includes("interpolate")) return "This export has no signature interpolate.";
    if (!hasKnownPrior(this.model)) {
      const prior = this.model.kgen.prior.replaceAll("_", " ");
      return `Not available: seeds of this export sample its ${prior}, which only the server has.`;
    }
    return this.kept.samples.length < 2 ? "Keep two samples to interpolate between them." : "";
  }

  refill() {
    const obstacle = this.obstacle();
    const options = this.kept.options();
    const before = byId("path-from").value;
    fillPair(byId("path-from"), byId("path-to"), options);
    byId("path-body").hidden = Boolean(obstacle);
    byId("path-hint").textContent =
      obstacle || "Spherical interpolation between two latent points; all frames have one class.";
    if (obstacle) byId("strip").replaceChildren();
    if (byId("path-from").value !== before) this.takeClass();
    if (!obstacle) this.redraw();
  }

  /** The frames get the class of the first sample, until another is chosen. */
  takeClass() {
    const from = this.kept.find(byId("path-from").value);
    if (from && this.model.kgen.conditional) byId("path-class").value = from.label;
  }

  redraw() {
    this.drawStrip(this.model);
    this.drawShare(this.model, false);
  }

  /** The frames at some values of t in [0, 1]. */
  draw(model, shares) {
    const samples = ["path-from", "path-to"].map((id) => this.kept.find(byId(id).value));
    const [z0, z1] = samples.map((sample) => latent(model, latentOf(model, sample)));
    const facts = [["From seed", samples[0].seed], ["To seed", samples[1].seed]];
    return between(model, z0, z1, Number(byId("path-class").value), shares, facts);
  }

  async frames(model) {
    if (this.obstacle()) return;
    setStatus(this.line, "Drawing …");
    const shares = Array.from({ length: FRAMES }, (_, i) => i / (FRAMES - 1));
    const pictures = await this.draw(model, shares);
    if (model !== this.model) return;
    setStatus(this.line);
    byId("strip").replaceChildren(...pictures.map((picture) => this.item(picture)));
  }

  item(picture) {
    const button = element("button", { type: "button", className: "sample" }, imageOf(picture, describe(picture)));
    button.addEventListener("click", () => {
      byId("share").value = picture.inputs.t[0];
      this.drawShare(this.model, true);
    });
    return element("li", {}, button);
  }

  /** Draws the frame at the slider, and selects it if the user moved the slider. */
  async share(model, chosen) {
    if (this.obstacle()) return;
    const t = Number(byId("share").value);
    byId("share-value").textContent = t;
    const [picture] = await this.draw(model, [t]);
    if (model !== this.model) return;
    setStatus(this.line);
    Object.assign(byId("path-picture"), { src: picture.source, alt: describe(picture) });
    if (chosen) this.select(picture);
  }
}

// A plane of the latent space under the pointer, and the decoded image of its point.

import { byId, fillPair, newest, setStatus } from "./dom.js";
import { firstLabel, hasKnownPrior, latent, latentSize } from "./manifest.js";
import { Pad } from "./pad.js";
import { decode, describe, imageOf } from "./picture.js";
import { rowSeed, SEED_LIMIT } from "./portable.js";
import { latentOf } from "./seeds.js";

const FLAT = {
  reach: 3,
  names: ["z0", "z1"],
  hint: "Drag, or use the arrow keys: the latent space is this plane, −3 to 3 standard deviations of the prior.",
};
const SPANNED = {
  reach: 1.5,
  names: ["x", "y"],
  hint: "Drag, or use the arrow keys: z = x A + y B. The plane goes through A, B and the mean; samples are about as far from the mean as the circle.",
};
const MAP_SIDES = [9, 7, 5]; // images per side
const MAP_NUMBERS = 320_000; // largest map, pixels times channels
const MAP_LATENT = 512; // models with larger latent points are slow

export class Plane {
  constructor(kept, select) {
    Object.assign(this, { kept, select, model: null, label: 0, seed: 1 });
    this.line = byId("plane-status");
    this.pad = new Pad(() => this.draw(this.model, true));
    this.draw = newest(this.line, (model, chosen) => this.point(model, chosen));
    this.drawMap = newest(this.line, (model) => this.map(model));
    byId("plane-other").addEventListener("click", () => {
      this.seed = (this.seed + 1) % SEED_LIMIT;
      this.redraw();
    });
    for (const id of ["plane-kind", "plane-from", "plane-to"]) {
      byId(id).addEventListener("change", () => this.redraw());
    }
    byId("plane-map").addEventListener("change", () => this.drawMap(this.model));
    kept.onChange(() => this.model && this.refill());
  }

  showModel(model) {
    Object.assign(this, { model, label: firstLabel(model) });
    const offered = model.signatures.includes("decode");
    byId("plane").hidden = !offered;
    if (!offered) return;
    byId("plane-kind").value = "random";
    byId("plane-map").checked = latentSize(model) <= MAP_LATENT;
    byId("plane-map").disabled = !this.mapSide(model);
    const { reach, names } = this.flat() ? FLAT : SPANNED;
    this.pad.reset(reach, names);
    this.refill();
    this.redraw();
  }

  /** The class of the pictures. */
  setLabel(label) {
    if (label === this.label) return;
    this.label = label;
    this.redraw();
  }

  flat() {
    return latentSize(this.model) === 2;
  }

  throughKept() {
    return !this.flat() && byId("plane-kind").value === "kept";
  }

  /** Offers the kept samples as points of the plane. */
  refill() {
    const before = JSON.stringify(this.spanningSamples());
    const options = this.kept.options();
    fillPair(byId("plane-from"), byId("plane-to"), options);
    const possible = options.length > 1 && hasKnownPrior(this.model);
    byId("plane-kind").options[1].disabled = !possible;
    if (!possible) byId("plane-kind").value = "random";
    if (this.throughKept() && before !== JSON.stringify(this.spanningSamples())) this.redraw();
    else this.showControls();
  }

  showControls() {
    const kept = this.throughKept();
    byId("plane-kind-label").hidden = this.flat();
    byId("plane-from-label").hidden = byId("plane-to-label").hidden = !kept;
    byId("plane-other").hidden = kept || this.flat();
    const { hint } = this.flat() ? FLAT : SPANNED;
    const kind = this.model.kgen.conditional ? " All are of the class chosen above." : "";
    byId("plane-hint").textContent = hint + kind + this.priorNote();
    this.pad.showMarks(!this.flat());
  }

  priorNote() {
    if (hasKnownPrior(this.model)) return "";
    const prior = this.model.kgen.prior.replaceAll("_", " ");
    return ` These are points of a standard normal; samples of this export come from its ${prior}.`;
  }

  redraw() {
    if (!this.model?.signatures.includes("decode")) return;
    this.showControls();
    this.draw(this.model, false);
    this.drawMap(this.model);
  }

  /** The samples at A and B. */
  spanningSamples() {
    if (!this.throughKept()) return [0, 1].map((row) => ({ seed: rowSeed(this.seed, row), temperature: 1 }));
    return ["plane-from", "plane-to"].map((id) => this.kept.find(byId(id).value));
  }

  /** The function from points of the pad to latent points: x A + y B, or (x, y) in a latent space of two dimensions. */
  points(model) {
    if (this.flat()) return ([x, y]) => latent(model, [x, y]);
    const [a, b] = this.spanningSamples().map((sample) => latentOf(model, sample));
    return ([x, y]) => latent(model, a.map((value, i) => x * value + y * b[i]));
  }

  async point(model, chosen) {
    const [x, y] = this.pad.place;
    const spanned = this.flat() ? [] : this.spanningSamples().map(({ seed }, i) => [`Seed of ${"AB"[i]}`, seed]);
    const facts = () => [["Position", this.pad.words(x, y)], ...spanned];
    const [picture] = await decode(model, [this.points(model)([x, y])], this.label, facts);
    if (model !== this.model) return;
    setStatus(this.line);
    Object.assign(byId("plane-picture"), { src: picture.source, alt: describe(picture) });
    byId("plane-place").textContent = this.pad.words(x, y);
    if (chosen) this.select(picture);
  }

  /** Images per side of the map; undefined where they are too large. */
  mapSide(model) {
    const numbers = model.kgen.image_shape.reduce((product, side) => product * side, 1);
    return MAP_SIDES.find((side) => side * side * numbers <= MAP_NUMBERS);
  }

  async map(model) {
    const [side, box] = [this.mapSide(model), byId("pad-map")];
    if (!side || !byId("plane-map").checked) {
      box.replaceChildren();
      return;
    }
    const pictures = await decode(model, this.pad.cells(side).map(this.points(model)), this.label, () => []);
    if (model !== this.model) return;
    box.style.gridTemplateColumns = `repeat(${side}, 1fr)`;
    box.replaceChildren(...pictures.map((picture) => imageOf(picture, "")));
  }
}

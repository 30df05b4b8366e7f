// Kept samples: a tray that outlives the page.

import { byId, element, say } from "./dom.js";
import { className } from "./manifest.js";
import { keyOf } from "./models.js";
import { drawSamples, imageOf, told } from "./picture.js";

const STORAGE = "kgen.kept"; // {"name/version": [{label, seed, temperature}]}

/** What tells a sample from the others of its model. */
const idOf = ({ label, seed, temperature }) => [label, seed, temperature].join("/");

export class Kept {
  /** `samples` are those of the model that is shown, in the order in which they were kept. */
  constructor() {
    Object.assign(this, { listeners: [], model: null, samples: [], pictures: new Map(), onSelect: () => {} });
    this.line = byId("kept-status");
  }

  /** Calls back whenever the samples change. */
  onChange(listener) {
    this.listeners.push(listener);
  }

  has(sample) {
    return this.samples.some((other) => idOf(other) === idOf(sample));
  }

  /** [id, text] of every sample, for a <select>. */
  options() {
    return this.samples.map((sample) => {
      const kind = this.model.kgen.conditional ? `${className(this.model, sample.label)} · ` : "";
      const heat = sample.temperature === 1 ? "" : ` · ${sample.temperature}`;
      return [idOf(sample), `${kind}seed ${sample.seed}${heat}`];
    });
  }

  /** The sample that an option names; undefined when none is chosen. */
  find(id) {
    return this.samples.find((sample) => idOf(sample) === id);
  }

  keep(picture) {
    if (this.has(picture.sample)) return;
    this.pictures.set(idOf(picture.sample), picture);
    this.change([...this.samples, picture.sample]);
  }

  remove(sample) {
    this.change(this.samples.filter((other) => idOf(other) !== idOf(sample)));
  }

  toggle(picture) {
    if (this.has(picture.sample)) this.remove(picture.sample);
    else this.keep(picture);
  }

  change(samples) {
    this.samples = samples;
    say(this.line);
    try {
      localStorage.setItem(STORAGE, JSON.stringify({ ...stored(), [keyOf(this.model)]: samples }));
    } catch {
      say(this.line, new Error("The browser stores nothing here: kept until you leave the page."));
    }
    this.draw();
    for (const listener of this.listeners) listener();
  }

  async showModel(model) {
    Object.assign(this, { model, samples: stored()[keyOf(model)] ?? [], pictures: new Map() });
    this.draw();
    for (const listener of this.listeners) listener();
    say(this.line);
    if (!this.samples.length) return;
    say(this.line, "Drawing what you kept …");
    try {
      const pictures = await drawSamples(model, this.samples);
      if (this.model !== model) return;
      for (const picture of pictures) this.pictures.set(idOf(picture.sample), picture);
      say(this.line);
      this.draw();
    } catch (error) {
      if (this.model === model) say(this.line, error);
    }
  }

  draw() {
    byId("kept-empty").hidden = this.samples.length > 0;
    byId("tray").replaceChildren(...this.samples.map((sample) => this.item(sample)));
  }

  /** A place in the tray; empty until its picture is there. */
  item(sample) {
    const picture = this.pictures.get(idOf(sample));
    const text = picture ? told(picture) : `seed ${sample.seed}, not drawn`;
    const choose = element("button", { type: "button", className: "sample", title: text, disabled: !picture });
    choose.append(
      picture ? imageOf(picture, text) : element("div", { className: "pixels missing" }),
      element("span", { className: "seed", textContent: sample.seed }),
    );
    choose.addEventListener("click", () => this.onSelect(picture));
    const drop = element("button", { type: "button", className: "drop", "aria-label": `Remove ${text}` }, "×");
    drop.addEventListener("click", () => this.remove(sample));
    return element("li", {}, choose, drop);
  }
}

/** What earlier visits kept, of all models. */
function stored() {
  try {
    return JSON.parse(localStorage.getItem(STORAGE)) ?? {};
  } catch {
    return {};
  }
}

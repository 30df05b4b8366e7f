// Kept samples: a tray that is stored in the browser.

import { byId, element, setStatus } from "./dom.js";
import { className } from "./manifest.js";
import { keyOf } from "./models.js";
import { describe, drawSamples, imageOf } from "./picture.js";

const STORAGE = "kgen.kept"; // {"name/version": [{label, seed, temperature}]}

/** Identifies a sample among those of its model. */
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
    return this.samples.map((sample, place) => {
      const kind = this.model.kgen.conditional ? `${className(this.model, sample.label)} · ` : "";
      const temperature = sample.temperature === 1 ? "" : ` · ${sample.temperature}`;
      return [idOf(sample), `${place + 1} · ${kind}seed ${sample.seed}${temperature}`];
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
    setStatus(this.line);
    try {
      localStorage.setItem(STORAGE, JSON.stringify({ ...stored(), [keyOf(this.model)]: samples }));
    } catch {
      setStatus(this.line, new Error("The browser stores nothing: kept only until you leave the page."));
    }
    this.draw();
    for (const listener of this.listeners) listener();
  }

  async showModel(model) {
    Object.assign(this, { model, samples: stored()[keyOf(model)] ?? [], pictures: new Map() });
    this.draw();
    for (const listener of this.listeners) listener();
    setStatus(this.line);
    if (!this.samples.length) return;
    setStatus(this.line, "Loading the kept samples …");
    try {
      const pictures = await drawSamples(model, this.samples);
      if (this.model !== model) return;
      for (const picture of pictures) this.pictures.set(idOf(picture.sample), picture);
      setStatus(this.line);
      this.draw();
    } catch (error) {
      if (this.model === model) setStatus(this.line, error);
    }
  }

  draw() {
    byId("kept-empty").hidden = this.samples.length > 0;
    byId("tray").replaceChildren(...this.samples.map((sample, place) => this.item(sample, place + 1)));
  }

  /** An item of the tray with its number; empty until its picture is loaded. */
  item(sample, number) {
    const picture = this.pictures.get(idOf(sample));
    const text = picture ? describe(picture) : `seed ${sample.seed}, not loaded`;
    const choose = element("button", { type: "button", className: "sample", title: text, disabled: !picture });
    choose.append(
      picture ? imageOf(picture, text) : element("div", { className: "pixels missing" }),
      element("span", { className: "row", textContent: number }),
    );
    choose.addEventListener("click", () => this.onSelect(picture));
    const drop = element("button", { type: "button", className: "drop", "aria-label": `Remove ${text}` }, "×");
    drop.addEventListener("click", () => this.remove(sample));
    return element("li", {}, choose, drop);
  }
}

/** The samples that were kept on earlier visits, of all models. */
function stored() {
  try {
    return JSON.parse(localStorage.getItem(STORAGE)) ?? {};
  } catch {
    return {};
  }
}

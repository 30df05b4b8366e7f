// The image of the point, enlarged, with its facts and the calls that reproduce it.

import { command, program } from "./calls.js";
import { fit, paint } from "./canvas.js";
import { copy } from "./clipboard.js";
import { byId, element, fillFacts, newest, setStatus } from "./dom.js";
import { className } from "./manifest.js";
import { taggedPng } from "./png.js";

export class View {
  constructor(model, decoder, point) {
    Object.assign(this, { model, decoder, point });
    fit(byId("picture"), decoder.shape);
    const draw = newest(byId("picture-status"), () => this.draw());
    point.onChange(draw);
    byId("copy").addEventListener("click", () => copy(byId("call"), byId("copy-status")));
    byId("save").addEventListener("click", () => this.save());
    draw();
  }

  async draw() {
    const bytes = await this.point.draw(this.decoder);
    paint(byId("picture"), bytes, this.decoder.shape);
    setStatus(byId("picture-status"));
    const facts = this.facts();
    byId("picture").ariaLabel = facts.map(([name, value]) => `${name} ${value}`.toLowerCase()).join(", ");
    fillFacts(byId("picture-facts"), facts);
    byId("call-title").textContent = this.point.sample ? "The same in a shell" : "The same in Python";
    byId("call").textContent = this.point.sample ? command(this.model, this.point) : program(this.model, this.point);
    setStatus(byId("copy-status"));
    this.showRate();
  }

  facts() {
    const { z, label, sample } = this.point;
    const kind = this.model.kgen.conditional ? [["Class", className(this.model, label)]] : [];
    const from = sample ? [["Seed", sample.seed], ["Temperature", sample.temperature]] : [["Seed", "none: moved"]];
    const length = Math.hypot(...z.subarray(0, this.model.code_size));
    return [...kind, ...from, ...(this.point.isKnown() ? [["Length of z", length.toFixed(2)]] : [])];
  }

  showRate() {
    const milliseconds = this.decoder.milliseconds();
    const rate = Math.round(1000 / milliseconds).toLocaleString("en");
    byId("rate").textContent = `${milliseconds.toFixed(1)} ms per picture, ${rate} per second`;
  }

  save() {
    const name = [this.model.name, this.model.data, ...this.facts().flat()].join("-").toLowerCase();
    const { label, sample } = this.point;
    const made = {
      ...this.model.origin,
      label: this.model.kgen.conditional ? className(this.model, label) : null,
      seed: sample?.seed ?? null,
      temperature: sample?.temperature ?? null,
    };
    const address = taggedPng(byId("picture").toDataURL("image/png"), made);
    element("a", { href: address, download: `${name.replace(/[^\w.-]+/g, "_")}.png` }).click();
  }
}

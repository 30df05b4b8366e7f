// Interpolation: from one latent point to another, in the class of the point.

import { fit, interruptible, paint } from "./canvas.js";
import { byId, element, newest, setStatus } from "./dom.js";
import { latentOf } from "./seeds.js";

const FRAMES = 5;

export class Path {
  constructor(model, decoder, point) {
    Object.assign(this, { decoder, point, label: point.label });
    this.line = byId("path-status");
    this.ends = [0, 1].map((seed) => latentOf(model, { seed, temperature: 1 }));
    this.frames = Array.from({ length: FRAMES }, (_, i) => this.frame(i / (FRAMES - 1)));
    byId("strip").replaceChildren(...this.frames.map(({ box }) => box));
    fit(byId("path-picture"), decoder.shape);
    byId("path-hint").textContent = `From A to B by slerp${model.kgen.conditional ? ", in the class above" : ""}.`;
    this.drawStrip = interruptible((place) => this.draw(this.frames[place].canvas, place / (FRAMES - 1)));
    this.drawShare = newest(this.line, (share) => this.draw(byId("path-picture"), share));
    byId("share").addEventListener("input", () => this.showShare());
    ["from", "to"].forEach((id, end) => {
      byId(id).addEventListener("click", () => {
        this.ends[end] = point.z;
        byId("share").value = end;
        this.show();
      });
    });
    point.onChange(() => this.pointChanged());
    this.show();
  }

  frame(share) {
    const canvas = element("canvas", { className: "pixels" });
    fit(canvas, this.decoder.shape);
    const text = { 0: "A", 1: "B" }[share] ?? share.toFixed(2);
    const caption = element("span", { className: "seed", textContent: text });
    const button = element("button", { type: "button", className: "sample", ariaLabel: `t ${text}` }, canvas, caption);
    button.addEventListener("click", () => {
      byId("share").value = share;
      this.showShare();
    });
    return { canvas, box: element("li", {}, button) };
  }

  pointChanged() {
    byId("from").disabled = byId("to").disabled = !this.point.isKnown();
    if (this.label === this.point.label) return;
    this.label = this.point.label;
    this.show();
  }

  show() {
    this.drawStrip(FRAMES).catch((error) => setStatus(this.line, error));
    this.showShare();
  }

  showShare() {
    const share = Number(byId("share").value);
    byId("share-value").textContent = share.toFixed(2);
    this.drawShare(share);
  }

  async draw(canvas, share) {
    paint(canvas, await this.decoder.between(...this.ends, share, this.label), this.decoder.shape);
    setStatus(this.line);
  }
}

// The selected picture, enlarged, with the calls that reproduce it.

import { curl, javascript, python } from "./calls.js";
import { copy } from "./clipboard.js";
import { byId, fillFacts, setStatus } from "./dom.js";
import { describe, fileName, madeBy } from "./picture.js";
import { taggedPng } from "./png.js";

export class Selected {
  constructor(kept) {
    this.kept = kept;
    Object.assign(this, { picture: null, listeners: [] });
    byId("keep").addEventListener("click", () => kept.toggle(this.picture));
    for (const call of ["curl", "python", "javascript"]) {
      byId(`copy-${call}`).addEventListener("click", () => copy(byId(call), byId("copy-status")));
    }
    kept.onChange(() => this.picture && this.showKept());
  }

  clear() {
    this.picture = null;
    byId("selected-body").hidden = true;
    byId("selected-empty").hidden = false;
  }

  show(picture) {
    this.picture = picture;
    byId("selected-body").hidden = false;
    byId("selected-empty").hidden = true;
    Object.assign(byId("selected-picture"), { src: picture.source, alt: describe(picture) });
    fillFacts(byId("selected-facts"), [["Call", picture.signature], ...picture.facts]);
    Object.assign(byId("download"), { href: taggedPng(picture.source, madeBy(picture)), download: fileName(picture) });
    byId("curl").textContent = curl(picture);
    byId("python").textContent = python(picture);
    byId("javascript").textContent = javascript(picture);
    setStatus(byId("copy-status"));
    this.showKept();
    for (const listener of this.listeners) listener(picture);
  }

  /** Calls back with every picture that is selected. */
  onShow(listener) {
    this.listeners.push(listener);
  }

  showKept() {
    const [button, { sample }] = [byId("keep"), this.picture];
    button.hidden = !sample;
    if (sample) button.textContent = this.kept.has(sample) ? "Remove from kept" : "Keep";
  }
}

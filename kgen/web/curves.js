// Hovering curves: the values nearest to the pointer, and a rule through all panels of a group.
"use strict";

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const flat = (value, log) => (log ? Math.log10(value) : value);
  const place = ([low, high, start, end, log], value) =>
    start + ((flat(value, log) - flat(low, log)) / (flat(high, log) - flat(low, log))) * (end - start);
  const words = (value) => (value === null ? "not finite" : String(Number(value.toPrecision(5))));

  // The index of the number nearest to x; the numbers rise.
  function nearest(numbers, x) {
    let low = 0;
    let high = numbers.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (numbers[middle] <= x) low = middle;
      else high = middle;
    }
    return Math.abs(numbers[high] - x) < Math.abs(numbers[low] - x) ? high : low;
  }

  function element(name, attributes, namespace = null) {
    const made = namespace ? document.createElementNS(namespace, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  class Curve {
    constructor(figure, group) {
      this.data = JSON.parse(figure.dataset.curve);
      this.svg = figure.querySelector("svg");
      this.pointer = figure.querySelector(".pointer");
      this.tip = figure.querySelector(".tip");
      this.all = [...new Set(this.data.lines.flatMap((line) => line.x))].sort((a, b) => a - b);
      this.group = group;
      this.x = null;
      this.svg.addEventListener("pointermove", (event) => this.follow(event));
      this.svg.addEventListener("pointerdown", (event) => this.follow(event));
      this.svg.addEventListener("pointerleave", () => this.group.forEach((curve) => curve.hide()));
      this.svg.addEventListener("blur", () => this.group.forEach((curve) => curve.hide()));
      this.svg.addEventListener("keydown", (event) => this.key(event));
    }

    follow(event) {
      const box = this.svg.getBoundingClientRect();
      const [low, high, start, end, log] = this.data.across;
      const at = ((event.clientX - box.left) / box.width) * this.svg.viewBox.baseVal.width;
      const share = Math.min(1, Math.max(0, (at - start) / (end - start)));
      const x = flat(low, log) + share * (flat(high, log) - flat(low, log));
      this.show(this.all[nearest(this.all, log ? 10 ** x : x)]);
    }

    key(event) {
      const last = this.all.length - 1;
      const at = this.x === null ? null : nearest(this.all, this.x);
      const target = {
        ArrowLeft: at === null ? last : Math.max(0, at - 1),
        ArrowRight: at === null ? 0 : Math.min(last, at + 1),
        Home: 0,
        End: last,
      }[event.key];
      if (target !== undefined) {
        event.preventDefault();
        this.show(this.all[target]);
      } else if (event.key === "Escape") {
        this.group.forEach((curve) => curve.hide());
      }
    }

    show(x) {
      for (const curve of this.group) {
        if (curve !== this) curve.hide();
        curve.mark(x);
      }
      const { lines, x: name } = this.data;
      const head = element("div", {});
      head.textContent = `${name} ${words(x)}`;
      const entries = lines.map((line) => {
        const at = nearest(line.x, x);
        const entry = element("span", { class: `key line-${line.color}` });
        const value = element("b", {});
        value.textContent = words(line.y[at]);
        const elsewhere = line.x[at] === x ? "" : ` (${name} ${words(line.x[at])})`;
        entry.append(`${line.name}${elsewhere} `, value);
        return entry;
      });
      this.tip.replaceChildren(head, ...entries);
      this.tip.hidden = false;
      const box = this.svg.getBoundingClientRect();
      const at = (place(this.data.across, x) / this.svg.viewBox.baseVal.width) * box.width;
      const right = at + 12 + this.tip.offsetWidth <= box.width;
      const left = right ? at + 12 : Math.max(0, at - 12 - this.tip.offsetWidth);
      this.tip.style.transform = `translate(${left}px, 4px)`;
    }

    // A rule at x, and a dot on every line.
    mark(x) {
      this.x = x;
      const { lines, across, up } = this.data;
      const [, , bottom, top] = up;
      const at = place(across, Math.min(across[1], Math.max(across[0], x)));
      const rule = element("path", { d: `M${at} ${bottom}V${top}` }, SVG);
      const dots = lines.flatMap((line) => {
        const i = nearest(line.x, x);
        if (line.y[i] === null) return [];
        const spot = { cx: place(across, line.x[i]), cy: place(up, line.y[i]), r: 4, class: `line-${line.color}` };
        return [element("circle", spot, SVG)];
      });
      this.pointer.replaceChildren(rule, ...dots);
    }

    hide() {
      this.x = null;
      this.tip.hidden = true;
      this.pointer.replaceChildren();
    }
  }

  for (const part of document.querySelectorAll(".curves")) {
    const group = [];
    for (const figure of part.querySelectorAll("[data-curve]")) group.push(new Curve(figure, group));
  }
})();

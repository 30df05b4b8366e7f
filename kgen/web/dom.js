// Elements, messages, and requests of which only the newest waits.

/** The element of an id. */
export const byId = (id) => document.getElementById(id);

/** An element with properties and children; `data-` and `aria-` names become attributes. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Says something in a status line: "" clears it; an Error is shown as one. */
export function say(line, what = "") {
  line.textContent = what instanceof Error ? what.message : what;
  line.classList.toggle("error", what instanceof Error);
}

/**
 * Calls `work` with the newest arguments, one call at a time: what is asked for meanwhile replaces what waits.
 * Errors are shown in `line`.
 */
export function newest(line, work) {
  let running = false;
  let waiting = null;
  return async (...given) => {
    waiting = given;
    if (running) return;
    running = true;
    while (waiting) {
      const next = waiting;
      waiting = null;
      try {
        await work(...next);
      } catch (error) {
        say(line, error);
      }
    }
    running = false;
  };
}

/** Fills a <select> and keeps its choice where it still exists. */
export function fill(select, options, fallback = 0) {
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, text]) => element("option", { value, textContent: text })));
  const values = options.map(([value]) => String(value));
  select.selectedIndex = values.includes(chosen) ? values.indexOf(chosen) : Math.min(fallback, values.length - 1);
}

/** Fills a <fieldset> with a radio button for each [value, text], below its legend; the first is chosen. */
export function fillChips(box, options, onChoose) {
  const chip = ([value, text], place) => {
    const button = element("input", { type: "radio", name: box.id, value, checked: !place });
    button.addEventListener("change", () => onChoose(value));
    return element("label", {}, button, element("span", { textContent: text }));
  };
  box.hidden = !options.length;
  box.replaceChildren(box.firstElementChild, ...options.map(chip));
}

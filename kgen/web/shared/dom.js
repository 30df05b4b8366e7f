// Elements of the page, status lines, and work of which only the newest request waits.

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

/** Shows a message in a status line: "" clears it; an Error is marked as one. */
export function setStatus(line, message = "") {
  line.textContent = message instanceof Error ? message.message : message;
  line.classList.toggle("error", message instanceof Error);
}

/**
 * Calls `work` with the newest arguments, one call at a time: a request during a call replaces the one that waits.
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
        setStatus(line, error);
      }
    }
    running = false;
  };
}

/** Fills a <select> with [value, text] options and keeps its choice where it still exists. */
export function fill(select, options, fallback = 0) {
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, text]) => element("option", { value, textContent: text })));
  const values = options.map(([value]) => String(value));
  select.selectedIndex = values.includes(chosen) ? values.indexOf(chosen) : Math.min(fallback, values.length - 1);
}

/** Fills two <select>s with the same options; their choices differ where there are several. */
export function fillPair(first, second, options) {
  fill(first, options, 0);
  fill(second, options, 1);
  if (second.value === first.value) second.selectedIndex = options.length - 1;
}

/** Fills a <dl> with [name, value] pairs. */
export function fillFacts(list, facts) {
  const entry = ([name, value]) => [element("dt", { textContent: name }), element("dd", { textContent: value })];
  list.replaceChildren(...facts.flatMap(entry));
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

// Copying what a page shows.

import { say } from "./dom.js";

/** Copies the text of an element; browsers give the clipboard to secure pages alone, others copy what is selected. */
export async function copy(source, line) {
  try {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(source.textContent);
    } else {
      getSelection().selectAllChildren(source);
      if (!document.execCommand("copy")) throw new Error("refused");
    }
    say(line, "Copied.");
  } catch (error) {
    getSelection().selectAllChildren(source);
    say(line, new Error(`The browser does not copy (${error.message}); the text is selected, copy it yourself.`));
  }
}

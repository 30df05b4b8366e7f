// Copying text to the clipboard.

import { setStatus } from "./dom.js";

/** Copies the text of an element. Browsers give the clipboard only to secure pages; on others the text is selected. */
export async function copy(source, line) {
  try {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(source.textContent);
    } else {
      getSelection().selectAllChildren(source);
      if (!document.execCommand("copy")) throw new Error("refused");
    }
    setStatus(line, "Copied.");
  } catch (error) {
    getSelection().selectAllChildren(source);
    setStatus(line, new Error(`The browser refused to copy (${error.message}); the text is selected, copy it from there.`));
  }
}

// The slider over the sample grids, and the buttons that copy commands.
"use strict";

(() => {
  const slider = document.getElementById("epoch");
  if (!slider) return;
  const frames = JSON.parse(document.getElementById("frames").textContent);
  const image = document.getElementById("frame");
  const paths = document.getElementById("frame-paths");
  const words = document.getElementById("frame-words");
  const opened = { src: image.src, paths: paths?.src };
  Object.assign(frames.at(-1), opened);
  const play = document.getElementById("play");
  const strip = document.querySelector(".strip");
  const THUMBNAILS = Math.min(8, frames.length);
  const MILLISECONDS = 600;
  let timer = null;

  const places = Array.from({ length: THUMBNAILS }, (_, i) => Math.round((i * (frames.length - 1)) / (THUMBNAILS - 1)));
  const buttons = places.map((place) => {
    const button = document.createElement("button");
    const small = document.createElement("img");
    button.type = "button";
    button.setAttribute("aria-label", `Show ${frames[place].words}`);
    small.src = frames[place].src;
    small.alt = "";
    button.append(small);
    button.addEventListener("click", () => {
      stop();
      show(place);
    });
    return button;
  });
  strip.append(...buttons);

  function show(place) {
    const frame = frames[place];
    slider.value = place;
    slider.setAttribute("aria-valuetext", frame.words);
    image.src = frame.src;
    image.alt = `Samples, ${frame.words}`;
    if (paths && frame.paths) paths.src = frame.paths;
    words.textContent = frame.words;
    buttons.forEach((button, i) => button.classList.toggle("now", places[i] === place));
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play");
  }

  function start() {
    const last = frames.length - 1;
    show(Number(slider.value) === last ? 0 : Number(slider.value) + 1);
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
    timer = setInterval(() => {
      show(Number(slider.value) + 1);
      if (Number(slider.value) === last) stop();
    }, MILLISECONDS);
  }

  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  play.addEventListener("click", () => (timer === null ? start() : stop()));
  show(frames.length - 1);
})();

(() => {
  // Without the clipboard, which some browsers refuse to files, the command is at least selected.
  function select(code) {
    const range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return document.execCommand("copy");
  }

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      let copied = true;
      try {
        await navigator.clipboard.writeText(code.textContent);
      } catch {
        copied = select(code);
      }
      button.textContent = copied ? "Copied" : "Selected";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
  }
})();

// The language and the colours, as chosen here and kept for the next time.

import { mark } from "./dom.js";
import { language, speak } from "./words.js";

function keep(name, value) {
  try {
    localStorage.setItem(`sesacctl.${name}`, value);
  } catch {
    // Storage may be forbidden or full: the choice holds for this page.
  }
}

/** Let the buttons choose; `changed` is called after each choice. */
export function choices(changed) {
  const root = document.documentElement;
  const show = () => {
    for (const button of document.querySelectorAll("button[data-language]")) {
      mark(button, "aria-pressed", String(button.dataset.language === language()));
    }
    for (const button of document.querySelectorAll("button[data-theme-choice]")) {
      mark(button, "aria-pressed", String(button.dataset.themeChoice === root.dataset.theme));
    }
  };
  const choose = (event) => {
    const { language: chosen, themeChoice } = event.currentTarget.dataset;
    if (chosen !== undefined) {
      keep("language", chosen);
      speak(chosen);
    } else {
      keep("theme", themeChoice);
      root.dataset.theme = themeChoice;
    }
    show();
    changed();
  };
  for (const button of document.querySelectorAll(".choice button")) button.addEventListener("click", choose);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  speak(language());
  show();
}

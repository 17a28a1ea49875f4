// The page's language: by the browser, or as it was chosen here.

import { ENGLISH } from "./words_en.js";
import { KOREAN } from "./words_ko.js";

export const LANGUAGES = { en: ENGLISH, ko: KOREAN };

let current = document.documentElement.lang === "ko" ? "ko" : "en";

/** `en` or `ko`. */
export function language() {
  return current;
}

/** All texts in the page's language. */
export function words() {
  return LANGUAGES[current];
}

/** Change it, and say so in the page's own texts: `data-t` names a text, `data-label` that of a group. */
export function speak(chosen) {
  current = chosen in LANGUAGES ? chosen : "en";
  document.documentElement.lang = current;
  const said = words();
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = said.page[node.dataset.t];
  for (const node of document.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", said.page[node.dataset.label]);
  }
}

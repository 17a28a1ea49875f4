// Small parts that several views show: a state's mark, a command with its button, what went wrong.

import { el, mark, put } from "./dom.js";
import { words } from "./words.js";

const COPIED_MS = 1600;

/** A state as a shape and a word. */
export function stateMark() {
  return el("span", { class: "state" }, el("span", { class: "state-shape", "aria-hidden": "true" }), el("span", { class: "state-word" }));
}

/** Show another state in it. */
export function setState(node, state) {
  mark(node, "data-state", state);
  put(node.lastElementChild, words().states[state] ?? state);
}

/** A command, and a button that copies it. */
export function commandLine(command) {
  const button = el("button", { type: "button", class: "copy", text: words().copy, "aria-label": words().copyFor(command) });
  button.addEventListener("click", async () => {
    await copyText(command);
    button.textContent = words().copied;
    setTimeout(() => {
      button.textContent = words().copy;
    }, COPIED_MS);
  });
  return el("span", { class: "command" }, el("code", { text: command }), button);
}

// Pages of other hosts without TLS have no clipboard; a selection can be copied everywhere.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const box = el("textarea", { class: "quiet" });
    box.value = text;
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }
}

/** What an answer said that is no good. */
export function failure(error) {
  return el("div", { class: "failed" }, el("p", { text: error.message, lang: "en" }), error.next ? commandLine(error.next) : null);
}

/** A line of figures as a picture; nothing is said by it that is not said in numbers beside it. */
export function drawTrend(polyline, figures) {
  const most = Math.max(...figures, 1e-9);
  const step = figures.length > 1 ? 100 / (figures.length - 1) : 0;
  mark(polyline, "points", figures.map((each, index) => `${(index * step).toFixed(1)},${(19 - (each / most) * 18).toFixed(1)}`).join(" "));
}

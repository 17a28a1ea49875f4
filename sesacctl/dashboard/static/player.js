// A recording in place of a server: a slider through its looks, and a button that plays them.

import { el, mark, put } from "./dom.js";
import { clockText, countText } from "./numbers.js";
import { pointOfLook } from "./store.js";
import { words } from "./words.js";

const PLAY_MS = 500;

/** Show the recording's last look; `draw` is called after every move. */
export function playRecording(recorded, store, draw) {
  const looks = recorded.looks ?? [];
  const section = document.getElementById("player");
  const slider = el("input", { type: "range", id: "player-slider", min: "0", max: String(Math.max(0, looks.length - 1)), step: "1" });
  const at = el("output", { class: "player-at", for: "player-slider" });
  const button = el("button", { type: "button", class: "main-button" });
  const own = looks.map((look) => ({ look, point: pointOfLook(look) }));
  let timer = null;

  const show = (index) => {
    slider.value = String(index);
    store.before = index > 0 ? looks[index - 1] : null;
    store.look = looks[index] ?? null;
    store.events = [];
    store.addEvents(looks.slice(0, index + 1).flatMap((look) => look.events ?? []));
    store.cursor = own[index]?.point.at ?? null;
    drawWords();
    draw();
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    drawWords();
  };
  const step = () => (Number(slider.value) < looks.length - 1 ? show(Number(slider.value) + 1) : stop());
  const drawWords = () => {
    const said = words().play;
    const place = said.of(countText(Number(slider.value) + 1), countText(looks.length));
    put(button, timer === null ? said.play : said.pause);
    put(at, store.look === null ? "–" : `${clockText(store.look.at)} · ${place}`);
    mark(slider, "aria-label", said.position);
    mark(slider, "aria-valuetext", at.textContent);
  };
  button.addEventListener("click", () => {
    if (timer !== null) return stop();
    if (Number(slider.value) >= looks.length - 1) show(0);
    timer = setInterval(step, PLAY_MS);
    return drawWords();
  });
  slider.addEventListener("input", () => show(Number(slider.value)));
  section.append(el("div", { class: "player-line" }, button, slider, at));
  section.hidden = false;
  store.recorded = true;
  store.takeHistory(recorded.history);
  store.addPoints(own.map(({ point }) => point));
  show(looks.length - 1);
  return drawWords;
}

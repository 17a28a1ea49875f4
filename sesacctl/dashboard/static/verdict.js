// Which stage holds the others up, in a sentence, and the command to run.

import { el, keyed, mark, put } from "./dom.js";
import { clockText, countText, durationText } from "./numbers.js";
import { commandLine } from "./parts.js";
import { language, words } from "./words.js";

const KEEPS_UP = 0.95;

/** The sentence in Korean, from the figures that the server's English one was made of. */
function koreanReason(store, stage) {
  const said = words().reasons;
  if (stage === null) {
    return store.look.top.reason.startsWith("not sure") ? said.unsure : said.fine;
  }
  if (stage.problem) return said.away;
  const waiting = countText(stage.backlog);
  if (stage.key === "cache") return said.empty;
  if (stage.key !== "consume") return said[stage.key]?.(waiting) ?? null;
  const arrivals = store.stage("broker")?.rate ?? 0;
  if (!stage.rate) return said.none(waiting);
  if (stage.rate < KEEPS_UP * arrivals && stage.backlog > arrivals) {
    return said.slow(waiting, countText(arrivals - stage.rate));
  }
  return said.drain(waiting, durationText(stage.backlog / stage.rate));
}

function sentences(store, stage) {
  const { reason } = store.look.top;
  const { command } = store.look;
  const plain = command && reason.endsWith(`: ${command}`) ? reason.slice(0, -command.length - 2) : reason;
  const english = `${plain.charAt(0).toUpperCase()}${plain.slice(1)}${/[.!?]$/.test(plain) ? "" : "."}`;
  if (language() === "en") return [[english, "en"]];
  const korean = koreanReason(store, stage);
  if (korean === null) return [[english, "en"]];
  return stage?.problem ? [[korean, "ko"], [stage.problem, "en"]] : [[korean, "ko"]];
}

/** What is drawn into the verdict's section. */
export function verdictView() {
  const section = document.getElementById("verdict");
  const said = document.getElementById("verdict-said");
  const todo = document.getElementById("verdict-do");
  let shownCommand = null;
  return (store, now) => {
    const { look } = store;
    const key = look?.top.bottleneck ?? null;
    const stage = key === null ? null : store.stage(key);
    mark(section, "data-state", look === null || store.isOld(now) ? "unknown" : stage === null ? "ok" : (look.stages[key] ?? "slow"));
    mark(section, "data-old", store.isOld(now));
    const texts = words().verdicts;
    const title = look === null ? texts.nothing : stage === null ? texts.none : texts.is(words().stages[key]);
    const lines = look === null ? [] : sentences(store, stage);
    if (store.isOld(now)) lines.unshift([texts.old(clockText(look.at)), language()]);
    const items = [["title", title, language()], ...lines.map(([text, lang], index) => [`line ${index}`, text, lang])];
    keyed(said, items, ([name]) => name, ([name]) => el("p", { class: name === "title" ? "verdict-title" : "verdict-why" }), (node, [, text, lang]) => {
      put(node, text);
      mark(node, "lang", lang);
    });
    const command = `${look?.command ?? ""} ${language()}`;
    if (command === shownCommand) return;
    shownCommand = command;
    todo.replaceChildren(...(look?.command ? [el("span", { class: "verdict-run", text: texts.run }), commandLine(look.command)] : []));
  };
}

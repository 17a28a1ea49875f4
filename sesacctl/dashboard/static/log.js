// What happened to the loop, the newest first.

import { el, keyed, mark, put } from "./dom.js";
import { instanceNames, shortName } from "./names.js";
import { clockText, countText } from "./numbers.js";
import { words } from "./words.js";

const TONES = {
  bad: new Set(["away", "broker_down", "left", "gap", "cut", "fenced", "stalled", "refused"]),
  good: new Set(["back", "broker_up", "joined", "moving"]),
};
const OF_INSTANCES = new Set(["joined", "left", "restarted", "fenced"]);

function toneOf(kind) {
  return Object.keys(TONES).find((tone) => TONES[tone].has(kind)) ?? "plain";
}

/** The sentence in the page's language; of a kind that this page does not know, the server's own. */
function sentence(event, names) {
  const said = words();
  const make = said.events[event.kind];
  if (make === undefined) return event.text;
  const stage = ["stalled", "moving"].includes(event.kind) ? said.stages[event.subject] : undefined;
  const instance = OF_INSTANCES.has(event.kind) ? names.get(event.subject) : undefined;
  const subject = stage ?? (instance === undefined ? shortName(event.subject) : `#${instance.label}`);
  return make(event.kind === "refreshed" ? countText(Number(subject)) : subject, countText(event.count));
}

/** What is drawn into the log. */
export function logView() {
  const list = document.getElementById("log");
  return (store, now) => {
    mark(list, "data-old", store.isOld(now));
    const names = instanceNames(store.look?.instances ?? []);
    const items = store.events.length ? [...store.events].reverse() : [null];
    const make = () => el("li", {}, el("time"), el("span", { class: "log-mark", "aria-hidden": "true" }), el("span", { class: "log-text" }));
    keyed(list, items, (event) => (event === null ? "none" : `${event.id} ${event.at}`), make, (node, event) => {
      mark(node, "data-tone", event === null ? "none" : toneOf(event.kind));
      mark(node, "data-kind", event?.kind);
      put(node.children[0], event === null ? "" : clockText(event.at));
      mark(node.children[0], "datetime", event?.at);
      put(node.children[2], event === null ? words().logEmpty : sentence(event, names));
      mark(node.children[2], "title", event?.text);
    });
  };
}

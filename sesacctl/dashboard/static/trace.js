// Where one order is: its id or the position of its record, and every hop that it took.

import { el, mark, untrusted } from "./dom.js";
import { stampText } from "./numbers.js";
import { commandLine, failure } from "./parts.js";
import { ask } from "./source.js";
import { words } from "./words.js";

const POSITION = /^.+-\d{1,9}@\d{1,19}$/;
const BAD = new Set(["doubled", "missing", "expired", "cut", "no record", "nowhere"]);
const WAITS = new Set(["parked", "dead letter", "waiting", "discarded", "skipped", "removed", "consumed"]);

function hopName(stage) {
  const said = words().tracing;
  const letter = /^dead letter (\d+)$/.exec(stage);
  return letter === null ? (said.hops[stage] ?? stage) : said.deadLetter(letter[1]);
}

function hopNode(hop) {
  const said = words().tracing;
  return el(
    "li",
    { class: "hop" },
    el("p", { class: "hop-head" }, el("strong", { text: hopName(hop.stage) }), el("span", { class: "hop-at", text: hop.at === null ? said.never : stampText(hop.at) })),
    el("p", { class: "hop-where" }, untrusted(hop.where)),
    el("p", { class: "hop-what", lang: "en" }, untrusted(hop.detail)),
  );
}

function traceNode(found) {
  const said = words().tracing;
  const state = BAD.has(found.verdict) ? "away" : WAITS.has(found.verdict) ? "slow" : "ok";
  return el(
    "div",
    { class: "traced" },
    el("p", { class: "traced-verdict", "data-state": state }, el("strong", { text: said.verdicts[found.verdict] ?? found.verdict }), " ", found.id === null ? null : untrusted(found.id)),
    el("p", { class: "traced-said", lang: "en" }, untrusted(found.sentence)),
    found.next_command ? el("p", { class: "traced-next" }, `${said.next}: `, commandLine(found.next_command)) : null,
    found.hops.length ? el("ol", { class: "hops" }, found.hops.map(hopNode)) : null,
  );
}

/** Let the form ask; `open` fills it and asks. */
export function traceView() {
  const form = document.getElementById("trace-form");
  const place = document.getElementById("trace");
  let newest = 0;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const what = form.elements.what.value.trim();
    if (what === "") return;
    newest += 1;
    const own = newest;
    mark(place, "aria-busy", "true");
    place.replaceChildren(el("p", { class: "nobody", role: "status", text: words().tracing.searching }));
    const query = new URLSearchParams(POSITION.test(what) ? { at: what } : { order_id: what });
    let node;
    try {
      node = traceNode(await ask(`/trace?${query}`, words().failed));
    } catch (error) {
      node = failure(error);
    }
    if (own !== newest) return;
    mark(place, "aria-busy", "false");
    place.replaceChildren(node);
  });
  return (store) => {
    document.getElementById("trace-card").hidden = store.recorded;
  };
}

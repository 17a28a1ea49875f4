// How many rows have waited for how many rounds, beside the bound that no row may exceed.

import { drawTable, el, keyed, mark, put, svg, table } from "./dom.js";
import { countText } from "./numbers.js";
import { words } from "./words.js";

const [WIDTH, HEIGHT_OF_BARS, BASE] = [400, 96, 112];
const ROOM = 44;
const FEW_BARS = 12;
const GAP = 0.18;

/** The bins of a table, and where its bound lies among them; the axis reaches a little beyond both. */
function binsOf(each) {
  const counts = each.histogram ?? [];
  const per = each.rounds_per_bin ?? 1;
  const bound = each.bound === null ? null : each.bound / per;
  const number = Math.max(counts.length, bound === null ? 0 : Math.floor(bound) + 2, 4);
  return { counts, per, bound, number };
}

function drawBars(picture, each) {
  const { counts, per, bound, number } = binsOf(each);
  const step = (WIDTH - ROOM) / number;
  const most = Math.max(1, ...counts);
  const bars = counts.flatMap((count, index) => {
    const height = count === 0 ? 0 : Math.max(2, (count / most) * (HEIGHT_OF_BARS - 18));
    const x = ROOM / 2 + index * step;
    const late = bound !== null && index > bound;
    const bar = svg("rect", { class: late ? "bar late" : "bar", x: x + step * (GAP / 2), y: BASE - height, width: step * (1 - GAP), height, rx: Math.min(3, step / 4) });
    const label = number <= FEW_BARS && count > 0 ? svg("text", { class: "bar-count", x: x + step / 2, y: BASE - height - 4, "text-anchor": "middle" }) : null;
    if (label !== null) label.textContent = countText(count);
    return [bar, label].filter((node) => node !== null);
  });
  const every = Math.ceil(number / FEW_BARS);
  const ticks = [];
  for (let index = 0; index < number; index += every) {
    const tick = svg("text", { class: "bar-tick", x: ROOM / 2 + (index + 0.5) * step, y: BASE + 15, "text-anchor": "middle" });
    tick.textContent = countText(index * per);
    ticks.push(tick);
  }
  const line = [];
  if (bound !== null) {
    const x = ROOM / 2 + (bound + 1) * step;
    const label = svg("text", { class: "bound-name", x: x - 5, y: 12, "text-anchor": "end" });
    label.textContent = words().aging.bound(countText(each.bound));
    line.push(svg("line", { class: "bound", x1: x, x2: x, y1: 2, y2: BASE }), label);
  }
  picture.replaceChildren(svg("line", { class: "base", x1: 0, x2: WIDTH, y1: BASE, y2: BASE }), ...bars, ...ticks, ...line);
}

function sentenceOf(each) {
  const said = words().aging;
  if (each.bound === null) return said.unbounded;
  const worst = countText(each.worst_wait ?? 0);
  return (each.holds ? said.holds : said.broken)(worst, countText(each.bound));
}

function agingBlock() {
  return el(
    "section",
    { class: "aged" },
    el("h3", {}, el("span"), el("small")),
    svg("svg", { class: "bars", viewBox: `0 0 ${WIDTH} 130`, "aria-hidden": "true" }),
    el("p", { class: "aged-said" }),
  );
}

function agingTables(tables) {
  const { waited, rows } = words().columns;
  const of = (each) => {
    const per = each.rounds_per_bin ?? 1;
    const name = (index) => (per === 1 ? countText(index) : `${countText(index * per)}–${countText((index + 1) * per - 1)}`);
    return table(words().captions.aging(each.table), [waited, rows], (each.histogram ?? []).map((count, index) => [name(index), countText(count)]));
  };
  return el("div", {}, tables.map(of));
}

/** What is drawn into the aging's place. */
export function agingView() {
  const place = document.getElementById("aging");
  const blocks = el("div", { class: "aged-all" });
  const none = el("p", { class: "nobody" });
  place.append(blocks, none);
  let drawn = "";
  return (store, now) => {
    mark(place, "data-old", store.isOld(now));
    const tables = store.look?.aging?.tables ?? [];
    put(none, tables.length ? "" : words().aging.none);
    const shown = JSON.stringify([tables, words().aging.axis]);
    if (shown !== drawn) {
      drawn = shown;
      keyed(blocks, tables, (each) => each.table, agingBlock, (node, each) => {
        const [head, picture, said] = node.children;
        put(head.children[0], each.table);
        put(head.children[1], words().aging.rows(countText(each.rows)));
        drawBars(picture, each);
        put(said, sentenceOf(each));
        mark(said, "data-state", each.bound === null ? "unknown" : each.holds ? "ok" : "away");
      });
    }
    drawTable(document.getElementById("aging-table"), () => agingTables(tables));
  };
}

// The partition map: a tile for each partition with its owner, lag, leader and copies.

import { drawTable, el, keyed, mark, put, table } from "./dom.js";
import { instanceNames, shortName } from "./names.js";
import { countText, rateText } from "./numbers.js";
import { words } from "./words.js";

const MOST = 240;
// A topic with more has all the width.
const FEW = 4;
// Beyond these, a tile's lag is coloured.
const [SOME_LAG, MUCH_LAG] = [1, 1000];

function tile() {
  return el(
    "li",
    { class: "tile" },
    el("span", { class: "tile-head" }, el("strong", { class: "tile-number" }), el("span", { class: "tile-owner" })),
    el("span", { class: "tile-lag" }, el("b"), " ", el("span", { class: "quiet" }), " ", el("span", { class: "tile-isr" })),
    el("span", { class: "tile-leader" }),
  );
}

function drawTile(node, each, names, changed) {
  const said = words();
  const [head, lag, leader] = node.children;
  const isr = lag.children[2];
  const owner = each.member === null ? undefined : names.get(each.member);
  mark(node, "data-partition", `${each.topic}-${each.partition}`);
  put(head.children[0], String(each.partition));
  mark(head.children[1], "data-colour", owner?.colour);
  mark(node, "data-owned", String(each.member !== null));
  put(head.children[1], each.member === null ? said.tile.noOwner : said.tile.owner(owner?.label ?? shortName(each.member)));
  mark(head.children[1], "title", each.member === null ? null : shortName(each.member));
  put(lag.children[0], countText(each.lag));
  put(lag.children[1], said.tile.lag);
  mark(node, "data-lag", each.lag >= MUCH_LAG ? "much" : each.lag >= SOME_LAG ? "some" : null);
  put(leader, each.leader === null ? said.tile.noLeader : said.tile.leader(each.leader));
  mark(leader, "data-none", each.leader === null);
  put(isr, `${each.in_sync}/${each.replicas}`);
  mark(isr, "data-short", each.in_sync < each.replicas);
  mark(isr, "title", said.inSync(each.in_sync, each.replicas));
  mark(node, "data-changed", changed);
}

function topicsOf(partitions) {
  const topics = new Map();
  for (const each of partitions) {
    if (!topics.has(each.topic)) topics.set(each.topic, []);
    topics.get(each.topic).push(each);
  }
  return [...topics];
}

/** Of what is known; null if nothing is. */
function sum(partitions, key) {
  const known = partitions.map((each) => each[key]).filter((figure) => figure !== null);
  return known.length ? known.reduce((total, figure) => total + figure, 0) : null;
}

/** Whose owner or leader is another one than in the look before. */
function changedIn(store) {
  const before = new Map((store.before?.top.partitions ?? []).map((each) => [`${each.topic}-${each.partition}`, each]));
  return (each) => {
    const old = before.get(`${each.topic}-${each.partition}`);
    return old !== undefined && (old.member !== each.member || old.leader !== each.leader);
  };
}

function mapTable(partitions, names) {
  const said = words();
  const { topic, lag, stored, leader, inSync, owner } = said.columns;
  const rows = partitions.map((each) => [
    `${each.topic}-${each.partition}`,
    countText(each.lag),
    rateText(each.rate),
    each.leader === null ? said.tile.noLeader : each.leader,
    `${each.in_sync}/${each.replicas}`,
    each.member === null ? said.tile.noOwner : said.instance(names.get(each.member)?.label ?? shortName(each.member)),
  ]);
  return table(said.captions.map, [topic, lag, stored, leader, inSync, owner], rows);
}

function drawTopic(node, [topic, partitions], names, changed) {
  const said = words();
  mark(node, "data-large", partitions.length > FEW);
  put(node.children[0].children[0], topic);
  put(node.children[0].children[1], said.topicNote(countText(partitions.length), countText(sum(partitions, "lag")), rateText(sum(partitions, "rate"))));
  keyed(node.children[1], partitions, (each) => each.partition, tile, (cell, each) => drawTile(cell, each, names, changed(each)));
}

/** What is drawn into the map's place. */
export function mapView() {
  const place = document.getElementById("map");
  const note = document.getElementById("map-note");
  const topics = el("div", { class: "topics" });
  const said = el("p", { class: "nobody" });
  place.append(topics, said);
  let marked = null;
  return (store, now) => {
    mark(place, "data-old", store.isOld(now));
    if (store.look === null) return;
    const all = store.look.top.partitions;
    const shown = all === null || all.length <= MOST ? (all ?? []) : [...all].sort((one, other) => (other.lag ?? 0) - (one.lag ?? 0)).slice(0, MOST);
    const names = instanceNames(store.look.instances);
    // What has changed stays marked for a look, however often this look is drawn.
    if (marked?.look !== store.look.id) marked = { look: store.look.id, changed: changedIn(store) };
    put(note, all === null ? "" : words().mapNote(countText(all.length), countText(sum(all, "lag"))));
    keyed(topics, topicsOf(shown), ([topic]) => topic, () => el("section", { class: "topic" }, el("h3", {}, el("span"), el("small")), el("ul", { class: "tiles" })), (node, topic) => drawTopic(node, topic, names, marked.changed));
    put(said, all === null ? words().tile.unknown : shown.length < all.length ? words().tile.more(countText(all.length - shown.length)) : "");
    drawTable(document.getElementById("map-table"), () => mapTable(shown, names));
  };
}

// The lines of the loop, drawn between its nodes wherever these are, with dots that move as fast as rows do.

import { mark, svg } from "./dom.js";

const DOT_GAP = 26;
const SLOWEST = 0.35;
const FASTEST = 2.4;
const WIDE_FROM = 940;
const LOOKS_OF_A_ROUND = 12;
// The two ways through a broker do not lie on each other.
const APART = 9;

/** Of a node in the picture: its sides and middles. */
function boxOf(node, origin) {
  const box = node.getBoundingClientRect();
  const left = box.left - origin.left;
  const top = box.top - origin.top;
  return { left, top, right: left + box.width, bottom: top + box.height, x: left + box.width / 2, y: top + box.height / 2 };
}

const straight = (x1, y1, x2, y2) => `M${x1} ${y1}L${x2} ${y2}`;
const across = (x1, y1, x2, y2) => `M${x1} ${y1}C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`;
const down = (x1, y1, x2, y2) => `M${x1} ${y1}C${x1} ${(y1 + y2) / 2} ${x2} ${(y1 + y2) / 2} ${x2} ${y2}`;

/** Side by side: out along the top, back along the bottom. */
function wideWays({ database, refresh, cache, produce, kafka, consumers }, brokers) {
  return [
    ["source", straight(database.right, refresh.y, refresh.left, refresh.y)],
    ["refresh", straight(refresh.right, refresh.y, cache.left, refresh.y)],
    ["cache", straight(cache.right, refresh.y, produce.left, refresh.y)],
    ...brokers.map(([id, box]) => ["produce", across(produce.right, produce.y, kafka.left, box.y - APART), id]),
    ...brokers.map(([id, box]) => ["broker", across(kafka.left, box.y + APART, consumers.right, consumers.y), id]),
    ["consume", straight(consumers.left, consumers.y, database.right, consumers.y)],
  ];
}

/** On a narrow screen: down on the left, up again on the right. */
function narrowWays({ database, refresh, cache, produce, kafka, consumers }, brokers) {
  return [
    ["source", straight(refresh.x, database.bottom, refresh.x, refresh.top)],
    ["refresh", straight(refresh.x, refresh.bottom, refresh.x, cache.top)],
    ["cache", straight(refresh.x, cache.bottom, refresh.x, produce.top)],
    ...brokers.map(([id, box]) => ["produce", down(produce.x, produce.bottom, box.x - APART, kafka.top), id]),
    ...brokers.map(([id, box]) => ["broker", down(box.x + APART, kafka.top, consumers.x, consumers.bottom), id]),
    ["consume", straight(consumers.x, consumers.top, consumers.x, database.bottom)],
  ];
}

// Which stage's rate is seen on a line, by where the line begins.
const RATE_OF = { source: "refresh", refresh: "refresh", cache: "produce", produce: "produce", broker: "consume", consume: "sink" };

function oneLine(from) {
  const pipe = svg("path", { class: "pipe" });
  const flow = svg("path", { class: "flow" });
  const node = svg("g", { class: "way", "data-from": from }, pipe, flow);
  const motion = flow.animate([{ strokeDashoffset: "0" }, { strokeDashoffset: String(-DOT_GAP) }], { duration: 1000, iterations: Infinity });
  motion.pause();
  return { node, pipe, flow, motion };
}

/** What flows a second; rounds of the refresh are seconds apart, so its last looks count together. */
function flowOf(stage) {
  if (stage === null || stage.problem) return 0;
  if (stage.key !== "refresh") return stage.rate ?? 0;
  const last = stage.history.slice(-LOOKS_OF_A_ROUND);
  return last.reduce((total, each) => total + each, 0) / Math.max(1, last.length);
}

function speedOf(rate) {
  return Math.min(FASTEST, SLOWEST + 0.5 * Math.log10(1 + rate));
}

function move(line, rate, moving) {
  mark(line.node, "data-flows", rate > 0);
  if (!(rate > 0 && moving)) {
    line.motion.pause();
    return;
  }
  const speed = speedOf(rate);
  if (Math.abs(line.motion.playbackRate - speed) > 0.05) line.motion.updatePlaybackRate(speed);
  if (line.motion.playState !== "running") line.motion.play();
}

/** `node` is the picture; `draw` moves what a look says. The lines follow the nodes when these move. */
export function loopLines(place, nodes) {
  const node = svg("svg", { class: "lines", "aria-hidden": "true" });
  const lines = new Map();
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const brokerTiles = () => [...nodes.querySelectorAll(".broker")];
  let last = null;

  const lay = () => {
    mark(place, "data-layout", place.clientWidth >= WIDE_FROM ? "wide" : "narrow");
    const origin = place.getBoundingClientRect();
    const boxes = Object.fromEntries([...nodes.children].map((child) => [child.classList[1].slice("node-".length), boxOf(child, origin)]));
    const brokers = brokerTiles().map((tile) => [tile.dataset.broker, boxOf(tile, origin)]);
    const ways = (place.dataset.layout === "wide" ? wideWays : narrowWays)(boxes, brokers);
    const wanted = new Set();
    for (const [from, path, broker] of ways) {
      const key = `${from} ${broker ?? ""}`;
      wanted.add(key);
      if (!lines.has(key)) {
        lines.set(key, { ...oneLine(from), from, broker });
        node.append(lines.get(key).node);
      }
      for (const each of [lines.get(key).pipe, lines.get(key).flow]) mark(each, "d", path);
    }
    for (const [key, line] of lines) {
      if (wanted.has(key)) continue;
      line.motion.cancel();
      line.node.remove();
      lines.delete(key);
    }
  };

  const draw = (store, moving) => {
    last = [store, moving];
    const drawn = [...lines.values()].filter((line) => line.from === "produce").map((line) => line.broker);
    if (lines.size === 0 || brokerTiles().map((tile) => tile.dataset.broker).sort().join() !== drawn.sort().join()) lay();
    const up = new Map(store.look.brokers.map((broker) => [String(broker.id), broker.up !== false]));
    for (const line of lines.values()) {
      const open = line.broker === undefined || up.get(line.broker) === true;
      mark(line.node, "data-open", String(open));
      mark(line.node, "data-state", store.look.stages[line.from]);
      move(line, open ? flowOf(store.stage(RATE_OF[line.from])) : 0, moving && !calm.matches);
    }
  };

  new ResizeObserver(lay).observe(place);
  for (const child of nodes.children) new ResizeObserver(lay).observe(child);
  calm.addEventListener("change", () => last && draw(...last));
  return { node, draw };
}

// The loop as a picture: seven stages in their places, three brokers, nine consumers, and what flows between them.

import { drawTable, el, keyed, mark, put, svg, table } from "./dom.js";
import { icon } from "./icons.js";
import { loopLines } from "./loop_lines.js";
import { instanceNames, shortName } from "./names.js";
import { countText, durationText, rateText } from "./numbers.js";
import { drawTrend, setState, stateMark } from "./parts.js";
import { words } from "./words.js";

const STATES = ["ok", "slow", "stalled", "away", "unknown"];
const MOST_TILES = 60;
const MOST_PIPS = 6;
const JUST_SECONDS = 8;

function stageBlock(key) {
  const line = svg("polyline", { class: "trend-line" });
  const rate = el("span", { class: "stage-rate" });
  const unit = el("span", { class: "stage-unit" });
  const facts = el("p", { class: "stage-facts" });
  const name = el("span", { class: "stage-name" });
  const state = stateMark();
  const node = el(
    "div",
    { class: "stage", "data-stage": key },
    el("div", { class: "stage-head" }, icon(key), name, state),
    el("p", { class: "stage-figure" }, rate, " ", unit),
    facts,
    svg("svg", { class: "trend", viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" }, line),
  );
  return { node, line, rate, unit, facts, name, state };
}

function factsOf(stage) {
  const said = words();
  const found = [];
  if (stage.backlog !== null && stage.backlog_unit in said.backlogs) {
    found.push([said.backlogs[stage.backlog_unit](countText(stage.backlog)), stage.backlog > 0 ? "waits" : null]);
  }
  if (stage.age !== null) found.push([said.ages[stage.key](durationText(stage.age)), null]);
  return found;
}

function drawStage(block, stage, state) {
  const said = words();
  put(block.name, said.stages[stage.key]);
  setState(block.state, state);
  mark(block.node, "data-state", state);
  put(block.rate, rateText(stage.rate));
  put(block.unit, said.perSecond(said.units[stage.unit] ?? stage.unit));
  keyed(block.facts, factsOf(stage), ([text]) => text.replace(/[\d.,]+/g, "#"), () => el("span", {}), (node, [text, kind]) => {
    put(node, text);
    mark(node, "class", kind);
  });
  drawTrend(block.line, stage.history);
}

function drawBrokers(list, brokers) {
  const said = words();
  keyed(list, brokers, (each) => each.id, () => el("li", { class: "broker" }, el("strong"), el("span", { class: "broker-state" }), el("span", { class: "broker-facts" })), (node, broker) => {
    const state = broker.up === null ? "unknown" : broker.up ? "ok" : "away";
    mark(node, "data-broker", broker.id);
    mark(node, "data-state", state);
    put(node.children[0], said.broker(broker.id));
    put(node.children[1], broker.up ? said.leads(countText(broker.leads)) : broker.up === null ? said.brokerUnknown : said.brokerDown);
    put(node.children[2], said.inSync(broker.in_sync, broker.replicas));
    mark(node.children[2], "data-short", broker.in_sync < broker.replicas);
  });
}

/** Whether somebody came a moment before the look; nobody has before the first. */
function isNew(instance, look) {
  return instance.up && Date.parse(look.at) - Date.parse(instance.since) < JUST_SECONDS * 1000;
}

/** A dot for each partition, as long as they can be counted at a glance. */
function drawPips(place, number) {
  const few = number <= MOST_PIPS;
  put(place, few ? "" : `×${number}`);
  if (few) keyed(place, Array.from({ length: number }, (_, index) => index), (index) => index, () => el("i"));
}

function drawConsumers(list, look) {
  const said = words();
  const names = instanceNames(look.instances);
  const shown = look.instances.slice(0, MOST_TILES);
  mark(list, "data-many", shown.length > 9);
  keyed(list, shown, (each) => each.member, () => el("li", { class: "consumer" }, el("strong"), el("span", { class: "consumer-has" }), el("span", { class: "pips", "aria-hidden": "true" })), (node, instance) => {
    const { label, colour } = names.get(instance.member);
    const age = durationText((Date.parse(look.at) - Date.parse(instance.since)) / 1000);
    mark(node, "data-member", instance.member);
    mark(node, "data-up", String(instance.up));
    mark(node, "data-just", isNew(instance, look));
    mark(node, "data-colour", colour);
    mark(node, "title", `${said.instance(shortName(instance.member))}${instance.up ? "" : `: ${said.instanceLeft(age)}`}`);
    put(node.children[0], `#${label}`);
    put(node.children[1], instance.up ? said.partitionsOf(countText(instance.partitions.length)) : said.instanceLeft(age));
    mark(node.children[1], "data-shown", !instance.up);
    drawPips(node.children[2], instance.partitions.length);
  });
}

function stageTable(look) {
  const said = words();
  const { stage, state, rate, age, backlog } = said.columns;
  const rows = look.top.stages.map((each) => [
    said.stages[each.key],
    said.states[look.stages[each.key]],
    each.rate === null ? "–" : `${rateText(each.rate)} ${said.units[each.unit] ?? each.unit}`,
    durationText(each.age),
    each.backlog === null ? "–" : (said.backlogs[each.backlog_unit]?.(countText(each.backlog)) ?? countText(each.backlog)),
  ]);
  return table(said.captions.loop, [stage, state, rate, age, backlog], rows);
}

function drawKey(place) {
  const made = () => el("li", {}, stateMark());
  keyed(place, STATES, (state) => state, made, (node, state) => setState(node.firstElementChild, state));
}

/** What is drawn into the loop's place. */
export function loopView() {
  const place = document.getElementById("loop");
  const blocks = Object.fromEntries(["source", "refresh", "cache", "produce", "broker", "consume", "sink"].map((key) => [key, stageBlock(key)]));
  const brokers = el("ul", { class: "brokers" });
  const noBrokers = el("p", { class: "nobody" });
  const consumers = el("ul", { class: "consumers" });
  const nobody = el("p", { class: "nobody" });
  const node = (name, ...children) => el("li", { class: `node node-${name}` }, children);
  const nodes = el(
    "ul",
    { class: "nodes" },
    node("database", blocks.source.node, blocks.sink.node),
    node("refresh", blocks.refresh.node),
    node("cache", blocks.cache.node),
    node("produce", blocks.produce.node),
    node("kafka", blocks.broker.node, brokers, noBrokers),
    node("consumers", blocks.consume.node, consumers, nobody),
  );
  const lines = loopLines(place, nodes);
  place.append(lines.node, nodes);
  return (store, now) => {
    const { look } = store;
    drawKey(document.getElementById("key"));
    mark(place, "data-old", store.isOld(now));
    mark(place, "data-empty", look === null);
    if (look === null) return;
    for (const stage of look.top.stages) drawStage(blocks[stage.key], stage, look.stages[stage.key] ?? "unknown");
    drawBrokers(brokers, look.brokers);
    put(noBrokers, look.brokers.length ? "" : words().noBrokers);
    drawConsumers(consumers, look);
    put(nobody, look.instances.length ? "" : look.top.members === null ? words().unknownInstances : words().noInstances);
    lines.draw(store, !store.isOld(now));
    drawTable(document.getElementById("loop-table"), () => stageTable(look));
  };
}

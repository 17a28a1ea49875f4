// Lag and throughput of the last half hour, drawn by uPlot; as tables, a row a minute.

import { drawTable, el, keyed, mark, put, table } from "./dom.js";
import { clockText, countText, rateText } from "./numbers.js";
import { language, words } from "./words.js";

const HEIGHT = 190;
const WINDOW = 1800;
const LEAST_TOP = 10;
const PALETTE = ["--line-1", "--line-2", "--line-3", "--line-4"];
const MINUTE = 60;

const GAP_SECONDS = 35;
const probe = document.body.appendChild(el("span", { hidden: true }));

/** A colour of the style sheet, as the canvas takes it: its own value may be a pair for light and dark. */
function css(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

/** The same points, with an empty one wherever nobody looked for a while: lines do not cross it. */
function withGaps(points) {
  return points.flatMap((point, index) => {
    const last = points[index - 1];
    const hole = last !== undefined && point.at - last.at > GAP_SECONDS;
    return hole ? [{ at: last.at + 1, lag: {}, produce: null, consume: null }, point] : [point];
  });
}

function optionsOf(chart, width) {
  const grid = { stroke: css("--chart-grid"), width: 1 };
  const axis = { stroke: css("--muted"), grid, ticks: grid, font: "12px system-ui, sans-serif" };
  const minutes = (_, splits) => splits.map((at) => clockText(new Date(at * 1000)).slice(0, 5));
  return {
    width,
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false },
    scales: { x: { time: true, range: (_, least, most) => [Math.min(least ?? 0, (most ?? 0) - WINDOW / 6), most ?? 1] }, y: { range: (_, __, most) => [0, Math.max(LEAST_TOP, (most ?? 0) * 1.1)] } },
    axes: [
      { ...axis, values: minutes, space: 60, size: 30 },
      { ...axis, size: 58, values: (_, splits) => splits.map((each) => countText(each)) },
    ],
    series: [{}, ...chart.series.map(([name], index) => lineOf(name, index))],
    hooks: { setCursor: [() => chart.drawKey()], draw: [(plot) => drawCursor(plot, chart.cursor)] },
  };
}

function lineOf(label, index) {
  const stroke = css(PALETTE[index % PALETTE.length]);
  return { label, stroke, width: 2, fill: stroke.replace("rgb(", "rgba(").replace(")", ", 0.1)"), points: { show: false } };
}

// In a recording, where it stands.
function drawCursor(plot, at) {
  if (at === null) return;
  const x = plot.valToPos(at, "x", true);
  plot.ctx.save();
  plot.ctx.strokeStyle = css("--accent");
  plot.ctx.lineWidth = 2;
  plot.ctx.beginPath();
  plot.ctx.moveTo(x, plot.bbox.top);
  plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
  plot.ctx.stroke();
  plot.ctx.restore();
}

/** One chart: `seriesOf` says which lines there are, as names and functions of a point. */
class Chart {
  constructor(name, caption, seriesOf) {
    this.place = document.getElementById(`${name}-chart`);
    this.tablePlace = document.getElementById(`${name}-table`);
    this.caption = caption;
    this.seriesOf = seriesOf;
    this.series = [];
    this.cursor = null;
    this.plot = null;
    this.made = "";
    this.keys = el("ul", { class: "chart-key" });
    this.canvas = el("div", { class: "chart-canvas", "aria-hidden": "true" });
    this.empty = el("p", { class: "nobody" });
    this.place.append(this.keys, this.canvas, this.empty);
    new ResizeObserver(() => this.resize()).observe(this.canvas);
  }

  draw(points, cursor) {
    this.series = this.seriesOf(points);
    this.cursor = cursor;
    put(this.empty, points.length ? "" : words().noPoints);
    if (points.length === 0 || this.canvas.clientWidth === 0) return;
    const whole = withGaps(points);
    const data = [whole.map((point) => point.at), ...this.series.map(([, figure]) => whole.map((point) => figure(point) ?? null))];
    const made = [this.series.map(([key]) => key), language(), css("--card"), this.series.map(([, , label]) => label)].join("|");
    if (made === this.made) this.plot.setData(data);
    else {
      this.plot?.destroy();
      this.made = made;
      this.plot = new uPlot(optionsOf(this, this.canvas.clientWidth), data, this.canvas);
    }
    this.drawKey();
    drawTable(this.tablePlace, () => this.table(points));
  }

  resize() {
    if (this.plot !== null && this.canvas.clientWidth > 0) this.plot.setSize({ width: this.canvas.clientWidth, height: HEIGHT });
  }

  /** The lines' names with their figures: where the pointer is, else the newest. */
  drawKey() {
    if (this.plot === null) return;
    const index = this.plot.cursor.idx ?? this.plot.data[0].length - 1;
    const items = this.series.map(([key, , label], number) => ({ key, label, number, figure: this.plot.data[number + 1]?.[index] }));
    keyed(this.keys, items, (item) => item.key, () => el("li", {}, el("span", { class: "swatch", "aria-hidden": "true" }), el("span"), " ", el("b")), (node, item) => {
      mark(node.children[0], "data-line", item.number % PALETTE.length);
      put(node.children[1], item.label);
      put(node.children[2], rateText(item.figure));
    });
  }

  table(points) {
    const minutes = new Map(points.map((point) => [Math.floor(point.at / MINUTE), point]));
    const rows = [...minutes.values()].reverse().map((point) => [clockText(new Date(point.at * 1000)), ...this.series.map(([, figure]) => rateText(figure(point)))]);
    return table(this.caption(), [words().columns.time, ...this.series.map(([, , label]) => label)], rows);
  }
}

function lagLines(points) {
  const topics = [...new Set(points.flatMap((point) => Object.keys(point.lag)))].sort();
  return topics.map((topic) => [topic, (point) => point.lag[topic], topic]);
}

function rateLines() {
  return ["produce", "consume"].map((key) => [key, (point) => point[key], words().series[key]]);
}

/** Both charts. */
export function chartsView() {
  const lag = new Chart("lag", () => words().captions.lag, lagLines);
  const rate = new Chart("rate", () => words().captions.rate, rateLines);
  return (store, now) => {
    for (const chart of [lag, rate]) {
      mark(chart.place, "data-old", store.isOld(now));
      chart.draw(store.points, store.cursor);
    }
  };
}

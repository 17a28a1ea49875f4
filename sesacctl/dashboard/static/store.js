// What the page knows: the newest look, how fresh it is, and bounded memories of events and figures.

export const KEPT_EVENTS = 200;
const WINDOW_SECONDS = 1800;
const MOST_POINTS = 2400;
const STALE_SECONDS = 4;

/** A figure of the charts: seconds since 1970, lag by topic, and what was produced and stored a second. */
export function pointOfLook(look) {
  const lag = {};
  for (const each of look.top.partitions ?? []) {
    if (each.lag !== null) lag[each.topic] = (lag[each.topic] ?? 0) + each.lag;
  }
  const rate = (key) => look.top.stages.find((stage) => stage.key === key)?.rate ?? null;
  return { at: Date.parse(look.at) / 1000, lag, produce: rate("produce"), consume: rate("consume") };
}

/** The figures of `/history`, as points. */
export function pointsOf(history) {
  const points = new Map();
  const at = (iso) => {
    const seconds = Date.parse(iso) / 1000;
    if (!points.has(seconds)) points.set(seconds, { at: seconds, lag: {}, produce: null, consume: null });
    return points.get(seconds);
  };
  for (const [topic, figures] of Object.entries(history?.lag ?? {})) {
    for (const [iso, number] of figures) at(iso).lag[topic] = number;
  }
  for (const name of ["produce", "consume"]) {
    for (const [iso, number] of history?.rates?.[name] ?? []) at(iso)[name] = number;
  }
  return [...points.values()].sort((one, other) => one.at - other.at);
}

/** Of `pieces` arrive one at a time; `now` is in seconds and only grows. */
export class Store {
  constructor() {
    this.look = null;
    this.before = null;
    this.events = [];
    this.points = [];
    this.connection = { kind: "waiting" };
    this.arrived = 0;
    this.recorded = false;
    this.cursor = null;
  }

  /** What a connection reports beside looks; after a loss, what is shown is fresh again with the next look only. */
  hear(message, now) {
    if (message.kind !== "lost") this.connection = message;
    else if (this.connection.kind !== "refused") this.connection = { ...message, until: now + message.seconds };
    if (message.kind !== "open") this.arrived = -Infinity;
  }

  /** A new look; one that is known is no sign of freshness. */
  take(look, now) {
    if (this.connection.kind !== "open") this.connection = { kind: "open" };
    if (this.look !== null && look.id === this.look.id) return;
    this.before = this.look;
    this.look = look;
    this.arrived = now;
    this.addEvents(look.events ?? []);
    this.addPoints([pointOfLook(look)]);
  }

  /** Events that are not there yet, in order; of refreshes in a row the last, as they would hide all others. */
  addEvents(found) {
    const known = new Set(this.events.map((event) => `${event.id} ${event.at}`));
    const fresh = found.filter((event) => !known.has(`${event.id} ${event.at}`));
    const all = [...this.events, ...fresh].sort((one, other) => one.id - other.id);
    const ends = (event, index) => event.kind !== "refreshed" || all[index + 1]?.kind !== "refreshed";
    this.events = all.filter(ends).slice(-KEPT_EVENTS);
  }

  /** Points after those that are there; what is older than the window goes. */
  addPoints(found) {
    const last = this.points.at(-1)?.at ?? 0;
    const points = [...this.points, ...found.filter((point) => point.at > last)];
    const from = (points.at(-1)?.at ?? 0) - WINDOW_SECONDS;
    this.points = points.filter((point) => point.at >= from).slice(-MOST_POINTS);
  }

  /** The server's memory, which is longer than ours after a break. */
  takeHistory(history) {
    const own = this.points;
    this.points = [];
    this.addPoints(pointsOf(history));
    this.addPoints(own);
  }

  /** `waiting`, `live`, `stale`, `lost`, `refused` or `recorded`. */
  freshness(now) {
    if (this.recorded) return "recorded";
    if (this.connection.kind === "lost" || this.connection.kind === "refused") return this.connection.kind;
    if (this.look === null) return "waiting";
    return now - this.arrived > STALE_SECONDS ? "stale" : "live";
  }

  /** Whether what is shown may not be so any more. */
  isOld(now) {
    return ["stale", "lost", "refused"].includes(this.freshness(now)) && this.look !== null;
  }

  /** A stage of the newest look, by its key. */
  stage(key) {
    return this.look?.top.stages.find((stage) => stage.key === key) ?? null;
  }
}

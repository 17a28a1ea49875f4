// The page: looks come into the store, and every view draws what it shows of them, once a frame at most.

import { agingView } from "./aging.js";
import { chartsView } from "./charts.js";
import { choices } from "./choices.js";
import { mark, put } from "./dom.js";
import { logView } from "./log.js";
import { loopView } from "./loop.js";
import { mapView } from "./map.js";
import { clockText } from "./numbers.js";
import { playRecording } from "./player.js";
import { ask, listen, recording } from "./source.js";
import { Store } from "./store.js";
import { traceView } from "./trace.js";
import { verdictView } from "./verdict.js";
import { waitingView } from "./waiting.js";
import { words } from "./words.js";

const TICK_MS = 1000;
const store = new Store();
const seconds = () => performance.now() / 1000;
const views = [headView(), verdictView(), loopView(), mapView(), logView(), chartsView(), waitingView(), agingView(), traceView()];
let drawing = false;
let drawPlayer = () => {};

/** Whose loop this is, and how fresh what is shown is. */
function headView() {
  const fresh = document.getElementById("fresh");
  return (_, now) => {
    const said = words().fresh;
    const kind = store.freshness(now);
    const at = store.look === null ? "" : clockText(store.look.at);
    const left = Math.max(0, Math.ceil((store.connection.until ?? now) - now));
    const text = kind === "lost" ? (store.look === null ? said.never(left) : said.lost(at, left)) : kind === "waiting" || kind === "refused" ? said[kind] : said[kind](at);
    mark(fresh, "data-kind", kind);
    put(document.getElementById("fresh-text"), text);
    mark(document.documentElement, "data-old", store.isOld(now));
    mark(document.getElementById("main"), "data-look", store.look?.id);
    const { database, group } = store.look?.top ?? {};
    put(document.getElementById("where"), store.look === null ? "" : words().where(database, group));
    document.title = titleOf(kind);
  };
}

/** What a tab says that is not looked at. */
function titleOf(kind) {
  if (store.look === null || kind === "lost" || kind === "refused") return "… sesacctl";
  const key = store.look.top.bottleneck;
  return key === null ? "sesacctl" : `${words().stages[key]}: ${words().states[store.look.stages[key]]} · sesacctl`;
}

/** In the next frame; a tab that is not looked at has none, and draws when it is looked at again. */
function draw() {
  if (document.hidden) {
    views[0](store, seconds());
    return;
  }
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawPlayer();
    for (const view of views) view(store, seconds());
  });
}

async function fetchHistory() {
  try {
    store.takeHistory(await ask("/history", words().failed));
    draw();
  } catch {
    // Charts begin with what comes from now on.
  }
}

function take(message) {
  if (message.kind === "look") store.take(message.look, seconds());
  else store.hear(message, seconds());
  if (message.kind === "open") fetchHistory();
  draw();
}

choices(draw);
for (const details of document.querySelectorAll("details.as-table")) details.addEventListener("toggle", draw);
document.addEventListener("visibilitychange", draw);
const recorded = recording();
if (recorded === null) {
  listen(take);
  setInterval(draw, TICK_MS);
} else drawPlayer = playRecording(recorded, store, draw);
draw();

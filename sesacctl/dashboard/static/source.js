// Where looks come from: the server's stream, shared with other tabs, or a recording in the page itself.

import { Connection } from "./connection.js";

const ASK_SECONDS = 60;

/** What was recorded into this page; null if it has a server. */
export function recording() {
  const node = document.getElementById("recording");
  return node === null ? null : JSON.parse(node.textContent);
}

/** Have `report` called with the messages of a connection, until the page is left. */
export function listen(report) {
  const start = () => (typeof SharedWorker === "undefined" ? listenAlone(report) : listenShared(report));
  let end = start();
  addEventListener("pagehide", () => end());
  addEventListener("pageshow", (event) => {
    if (event.persisted) end = start(); // back from the browser's memory
  });
}

function listenAlone(report) {
  const connection = new Connection(report);
  connection.start();
  return () => connection.stop();
}

function listenShared(report) {
  const worker = new SharedWorker("/static/shared_stream.js", { type: "module", name: "sesacctl" });
  let end = () => worker.port.postMessage("leave");
  worker.port.onmessage = ({ data }) => report(data);
  worker.port.start();
  worker.port.postMessage("join");
  worker.onerror = () => {
    end = listenAlone(report); // it cannot be started here
  };
  return () => end();
}

/** An answer that is no good: what the server says, and the command that it proposes. */
export class Refused extends Error {
  constructor(message, next = null) {
    super(message);
    this.next = next;
  }
}

/** The JSON at a path; raises `Refused`, also when it takes longer than a minute. `failed` are the page's words. */
export async function ask(path, failed) {
  let answer;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(ASK_SECONDS * 1000), cache: "no-store" });
  } catch (error) {
    throw new Refused(error.name === "TimeoutError" ? failed.slow : failed.unreachable);
  }
  const body = await answer.json().catch(() => null);
  if (answer.ok && body !== null) return body;
  throw new Refused(body?.error ?? failed.unreachable, body?.next ?? null);
}

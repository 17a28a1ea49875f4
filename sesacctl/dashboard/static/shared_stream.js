// A shared worker: one stream for all tabs of a browser, which allows six connections to a server of HTTP/1.1.

import { Connection } from "./connection.js";

const KEPT = 200;
const ports = new Set();
let lastLook = null;
let lastState = null;
let events = [];

const connection = new Connection((message) => {
  if (message.kind === "look") {
    lastLook = message.look;
    events = [...events, ...(message.look.events ?? [])].slice(-KEPT);
  } else lastState = message;
  for (const port of ports) port.postMessage(message);
});

// A tab that comes later gets what the first ones were told.
function join(port) {
  ports.add(port);
  if (ports.size === 1) {
    connection.start();
    return;
  }
  if (lastState !== null) port.postMessage(lastState);
  if (lastLook !== null) port.postMessage({ kind: "look", look: { ...lastLook, events } });
}

function leave(port) {
  ports.delete(port);
  if (ports.size > 0) return;
  connection.stop();
  connection.newest = null;
  lastLook = lastState = null;
  events = [];
}

globalThis.onconnect = (event) => {
  const [port] = event.ports;
  port.onmessage = ({ data }) => {
    if (data === "leave") leave(port);
    else if (!ports.has(port)) join(port);
  };
};

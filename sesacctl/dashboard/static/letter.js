// One dead letter as `sesacctl dlq show` has it: times, reason, and key, value and headers as text as far as they are.

import { el, untrusted } from "./dom.js";
import { countText, stampText } from "./numbers.js";
import { words } from "./words.js";

const MOST_BYTES = 1024;
const A_ROW = 16;

/** The bytes of a base64 text; null stays. */
function bytesOf(base64) {
  return base64 === null || base64 === undefined ? null : Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
}

function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Offsets, sixteen bytes in hexadecimal, and the letters that are among them. */
function hexRows(bytes) {
  const rows = [];
  for (let start = 0; start < bytes.length; start += A_ROW) {
    const row = [...bytes.subarray(start, start + A_ROW)];
    const hex = row.map((each) => each.toString(16).padStart(2, "0")).join(" ");
    const letters = row.map((each) => (each >= 0x20 && each < 0x7f ? String.fromCharCode(each) : "·")).join("");
    rows.push(`${start.toString(16).padStart(6, "0")}  ${hex.padEnd(A_ROW * 3 - 1)}  ${letters}`);
  }
  return rows.join("\n");
}

/** Bytes of others: text where they are text, else by their numbers. */
function bytesNode(base64) {
  const said = words().letter;
  const bytes = bytesOf(base64);
  if (bytes === null) return el("span", { class: "nothing", text: said.nothing });
  const text = textOf(bytes);
  if (text !== null) return el("div", { class: "raw", tabindex: "0", role: "group", "aria-label": said.value }, untrusted(text));
  const rest = bytes.length - MOST_BYTES;
  return el(
    "div",
    { class: "raw", tabindex: "0", role: "group", "aria-label": said.value },
    el("p", { class: "raw-note", text: said.bytes(countText(bytes.length)) }),
    el("pre", { dir: "ltr", text: hexRows(bytes.subarray(0, MOST_BYTES)) }),
    rest > 0 ? el("p", { class: "raw-note", text: said.more(countText(rest)) }) : null,
  );
}

function headersNode(headers) {
  if (!headers?.length) return null;
  return el("ul", { class: "headers" }, headers.map(([name, value]) => el("li", {}, bytesNode(name), el("span", { text: ": " }), bytesNode(value))));
}

/** All of one letter; what it does not have is left out. */
export function letterNode(letter) {
  const said = words().letter;
  const time = (at) => (at === null || at === undefined ? null : el("time", { datetime: at, text: stampText(at) }));
  const fields = {
    topic: untrusted(`${letter.topic}-${letter.partition}@${letter.offset}`),
    reason: el("strong", { text: letter.reason }),
    detail: untrusted(letter.detail ?? ""),
    record_time: time(letter.record_time),
    created_at: time(letter.created_at),
    discarded_at: time(letter.discarded_at),
    patched_at: time(letter.patched_at),
    patch: letter.patch === null || letter.patch === undefined ? null : untrusted(JSON.stringify(letter.patch)),
    headers: headersNode(letter.headers),
    key: bytesNode(letter.key_base64),
    value: bytesNode(letter.value_base64),
  };
  const shown = Object.entries(fields).filter(([, node]) => node !== null);
  return el("dl", { class: "letter" }, shown.map(([name, node]) => el("div", { "data-field": name }, el("dt", { text: said[name] }), el("dd", {}, node))));
}

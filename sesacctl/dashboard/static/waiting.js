// Records that are not stored: dead letters by reason and parked events; a click lists them, another shows one.

import { el, keyed, mark, put, table, untrusted } from "./dom.js";
import { letterNode } from "./letter.js";
import { countText, durationText, stampText } from "./numbers.js";
import { failure } from "./parts.js";
import { ask } from "./source.js";
import { words } from "./words.js";

const LISTED = 50;

/** Ask, and show in `place` that it takes a while, what came, or what went wrong; an older answer does not win. */
function asker(place) {
  let newest = 0;
  return async (path, show) => {
    newest += 1;
    const own = newest;
    mark(place, "aria-busy", "true");
    place.replaceChildren(el("p", { class: "nobody", text: words().waiting.loading }));
    let node;
    try {
      node = show(await ask(path, words().failed));
    } catch (error) {
      node = failure(error);
    }
    if (own !== newest) return;
    mark(place, "aria-busy", null);
    place.replaceChildren(node);
    node.querySelector?.("h3")?.focus();
  };
}

const positionOf = (each) => `${each.topic}-${each.partition}@${each.offset}`;

function closing(place, opener) {
  return el("button", {
    type: "button",
    class: "close",
    text: words().waiting.close,
    onclick: () => {
      place.replaceChildren();
      if (opener.isConnected) opener.focus();
    },
  });
}

function panel(title, place, opener, ...children) {
  return el("div", { class: "panel" }, el("div", { class: "panel-head" }, el("h3", { tabindex: "-1" }, title), closing(place, opener)), children);
}

/** What may be long has a window of its own, which keys can move. */
function scrolled(node, label) {
  return el("div", { class: "wide listed", tabindex: "0", role: "group", "aria-label": label }, node);
}

function letterList(page, title, place, opener, open) {
  const { id, refused, position, reason, detail } = words().columns;
  const rows = page.items.map((each) => [
    el("button", { type: "button", class: "link", text: String(each.id), "aria-label": words().waiting.show(each.id), onclick: (event) => open(each.id, event.currentTarget) }),
    stampText(each.created_at),
    untrusted(positionOf(each)),
    each.reason,
    untrusted(each.detail, 240),
  ]);
  const caption = words().captions.letters(countText(page.items.length), countText(page.total));
  return panel(title, place, opener, scrolled(table(caption, [id, refused, position, reason, detail], rows), caption));
}

function parkedList(page, place, opener) {
  const { position, id, since, tries, waitsFor } = words().columns;
  const rows = page.items.map((each) => [
    untrusted(positionOf(each)),
    untrusted(String(each.id ?? "–")),
    stampText(each.since),
    countText(each.attempts),
    untrusted((each.waits_for ?? []).join(", ") || "–"),
  ]);
  const caption = words().captions.parked(countText(page.items.length), countText(page.total));
  return panel(words().waiting.parked, place, opener, scrolled(table(caption, [position, id, since, tries, waitsFor], rows), caption));
}

function reasonRow() {
  return el("li", {}, el("button", { type: "button", class: "reason" }, el("span", { class: "reason-name" }), el("span", { class: "reason-bar", "aria-hidden": "true" }, el("span")), el("b"), el("span", { class: "reason-age" })));
}

function drawReason(node, each, most, name, label, asleep) {
  const button = node.firstElementChild;
  put(button.children[0], name);
  button.children[1].firstElementChild.style.width = `${Math.max(3, (100 * each.count) / most)}%`;
  put(button.children[2], countText(each.count));
  put(button.children[3], words().waiting.oldest(durationText(each.oldest)));
  mark(button, "title", label);
  button.disabled = asleep;
}

/** What is drawn into the section of what is not stored. */
export function waitingView() {
  const place = document.getElementById("waiting");
  const listing = document.getElementById("letters");
  const showing = document.getElementById("letter");
  const askList = asker(listing);
  const askOne = asker(showing);
  const group = (name) => el("div", { class: `kept kept-${name}` }, el("h3", {}, el("span"), el("b")), el("ul", { class: "reasons" }));
  const dead = group("dead");
  const parked = group("parked");
  const none = el("p", { class: "nobody" });
  place.append(el("div", { class: "kept-all" }, dead, parked), none);

  const openLetter = (id, opener) => askOne(`/dead-letters/${id}`, (letter) => panel(words().letter.title(letter.id), showing, opener, letterNode(letter)));
  const listDead = (each, opener) => {
    showing.replaceChildren();
    const query = new URLSearchParams({ topic: each.topic, reason: each.reason, limit: LISTED });
    askList(`/dead-letters?${query}`, (page) => letterList(page, `${each.topic} · ${each.reason}`, listing, opener, openLetter));
  };
  const listParked = (opener) => {
    showing.replaceChildren();
    askList(`/parked?limit=${LISTED}`, (page) => parkedList(page, listing, opener));
  };
  const draw = (node, title, found, nameOf, labelOf, list, asleep) => {
    put(node.children[0].children[0], title);
    put(node.children[0].children[1], countText(found.reduce((total, each) => total + each.count, 0)));
    const most = Math.max(1, ...found.map((each) => each.count));
    const make = () => {
      const row = reasonRow();
      row.firstElementChild.addEventListener("click", (event) => list(row.each, event.currentTarget));
      return row;
    };
    keyed(node.children[1], found, (each) => `${each.topic} ${each.reason}`, make, (row, each) => {
      row.each = each;
      drawReason(row, each, most, nameOf(each), labelOf(each), asleep);
    });
  };
  return (store, now) => {
    const said = words().waiting;
    const waiting = store.look?.waiting ?? null;
    mark(place, "data-old", store.isOld(now));
    for (const node of [dead, parked]) node.hidden = waiting === null;
    put(none, store.look === null || waiting !== null ? "" : said.unknown);
    if (waiting === null) return;
    draw(dead, said.dead, waiting.dead, (each) => `${each.topic} · ${each.reason}`, (each) => said.list(each.reason, each.topic), listDead, store.recorded);
    draw(parked, said.parked, waiting.parked, (each) => `${each.topic} · ${said.reasons[each.reason] ?? each.reason}`, () => said.listParked, (_, opener) => listParked(opener), store.recorded);
  };
}

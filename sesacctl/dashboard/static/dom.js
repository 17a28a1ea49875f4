// Making and changing elements. Texts are set as text, never as HTML; styles by classes and CSSOM, as the policy demands.

const SVG = "http://www.w3.org/2000/svg";

/** An element; `properties` are attributes, but for `class`, `text` and `on…` listeners. Null children are left out. */
export function el(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** The same in SVG. */
export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Set what differs only: a page that is drawn every second must not disturb a selection or a screen reader. */
export function put(node, text) {
  const wanted = text ?? "";
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** An attribute; null takes it away. */
export function mark(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value === true ? "" : value);
}

/** One child of `parent` for each of `items`, in order: made once by its key, then updated. */
export function keyed(parent, items, keyOf, make, update) {
  const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let node = there.get(key);
    if (node === undefined) {
      node = make(item);
      node.dataset.key = key;
    }
    there.delete(key);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update?.(node, item);
  }
  for (const left of there.values()) left.remove();
}

// What moves or hides text: controls but for line breaks and tabs, and Unicode's format characters.
const HIDDEN = /([\u0000-\u0008\u000b-\u001f\u007f-\u009f\p{Cf}\p{Cs}\p{Zl}\p{Zp}])/u;
// Joiners make emoji and some scripts, and move nothing.
const JOINERS = new Set(["\u200d", "\u200c"]);

/** Text of others, isolated from ours: controls and direction marks are shown by their numbers. */
export function untrusted(text, longest = 20_000) {
  const node = el("bdi", { class: "others" });
  const cut = text.length > longest;
  const pieces = (cut ? text.slice(0, longest) : text).split(HIDDEN); // every second one is hidden
  pieces.forEach((piece, index) => {
    if (piece === "") return;
    const number = piece.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    const shown = index % 2 === 0 || JOINERS.has(piece);
    node.append(shown ? piece : el("span", { class: "hidden-mark", text: `U+${number}` }));
  });
  if (cut) node.append("…");
  return node;
}

/** A table with a caption; `columns` are headings, `rows` arrays of text or nodes, the first cell of each its heading. */
export function table(caption, columns, rows) {
  const cell = (tag, value, scope) => el(tag, { scope }, value instanceof Node ? value : String(value ?? "–"));
  return el(
    "table",
    {},
    el("caption", { text: caption }),
    el("thead", {}, el("tr", {}, columns.map((name) => cell("th", name, "col")))),
    el(
      "tbody",
      {},
      rows.map(([first, ...others]) => el("tr", {}, cell("th", first, "row"), others.map((each) => cell("td", each)))),
    ),
  );
}

/** Only what is open is drawn: the table beside a picture. */
export function drawTable(place, draw) {
  if (place.closest("details").open) place.replaceChildren(draw());
}

// The pictures of the stages, drawn with lines in the colour of the text beside them.

import { svg } from "./dom.js";

const PATHS = {
  source: "M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3zm0 0v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3",
  refresh: "M20 11a8 8 0 0 0-14.3-4.2L4 9M4 4v5h5M4 13a8 8 0 0 0 14.3 4.2L20 15M20 20v-5h-5",
  cache: "M13 3 5 13.5h6L10 21l9-11h-6.5z",
  produce: "M3 5h2.5l2 10.5h10L20 8H6.4M9 20a1 1 0 1 0 0-.1M17 20a1 1 0 1 0 0-.1",
  broker: "M4 4h16v6H4zM4 14h16v6H4zM8 7h.1M8 17h.1M12 7h5M12 17h5",
  consume: "M3 13h5l1.5 3h5L16 13h5M3 13v6h18v-6L18 4.5H6zM12 6v5m-2.5-2.2L12 11l2.5-2.2",
  sink: "M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3zm0 0v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6M8.5 15l2.5 2.5 4.5-5",
};

/** Of a stage, by its key. */
export function icon(key) {
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: PATHS[key] }));
}

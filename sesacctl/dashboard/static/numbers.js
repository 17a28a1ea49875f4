// Numbers and times as people read them, in the page's language.

import { language } from "./words.js";

const COUNTS = { en: new Intl.NumberFormat("en"), ko: new Intl.NumberFormat("ko") };
const COMPACT = {
  en: new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }),
  ko: new Intl.NumberFormat("ko", { notation: "compact", maximumFractionDigits: 1 }),
};
const LARGE = 1_000_000;
const LENGTHS = [
  ["d", "일", 86_400],
  ["h", "시간", 3600],
  ["min", "분", 60],
];

/** `12,345`; a dash for what is not known; from a million on `1.2M`. */
export function countText(number) {
  if (number === null || number === undefined) return "–";
  return (Math.abs(number) >= LARGE ? COMPACT : COUNTS)[language()].format(Math.round(number));
}

/** A rate: whole from ten on. */
export function rateText(number) {
  if (number === null || number === undefined) return "–";
  return number >= 10 || Number.isInteger(number) ? countText(number) : number.toFixed(1);
}

/** `0.4 s`, `90 s`, `5 min`, `3 h`, `12 d`, as the commands print it. */
export function durationText(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const korean = language() === "ko";
  const whole = Math.max(0, seconds);
  for (const [unit, unitKo, length] of LENGTHS) {
    if (whole >= 2 * length) return korean ? `${countText(whole / length)}${unitKo}` : `${countText(whole / length)} ${unit}`;
  }
  const number = whole >= 2 || whole === 0 ? whole.toFixed(0) : whole.toFixed(1);
  return korean ? `${number}초` : `${number} s`;
}

/** `19:20:03` of a date or an ISO text, by the browser's clock. */
export function clockText(at) {
  const date = at instanceof Date ? at : new Date(at);
  if (Number.isNaN(date.getTime())) return "–";
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** `2026-11-29 19:20:03.123`. */
export function stampText(at) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "–";
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, "0"));
  return `${day.join("-")} ${clockText(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

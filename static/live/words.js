// Numbers and times in words. All times are UTC, as the recorded week's are.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const two = (n) => String(n).padStart(2, "0");

export const count = (n) => whole.format(n);
export const decimal = (n) => tenths.format(n);
/** With a sign of its own, as wide as a digit. */
export const magnitude = (n) => (n === null ? "–" : n.toFixed(1).replace("-", "−"));
export const depth = (n) => (n === null ? "" : `${n < 10 ? tenths.format(Math.max(0, n)) : whole.format(n)} km deep`);
export const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

/** Events a second: tenths while there are few. */
export const rate = (n) => (n < 100 ? tenths.format(n) : whole.format(n));

/** `2 Feb 14:05` of milliseconds since 1970. */
export function moment(millis) {
  const date = new Date(millis);
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
}

/** `14:05:09` by the reader's clock. */
export function clock(millis) {
  const date = new Date(millis);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
}

/** `p0 at 412, p1 at 9`: at most eight partitions. */
export function places(map) {
  const all = [...map].filter(([, next]) => next !== null);
  const shown = all.slice(0, 8).map(([number, next]) => `p${number} at ${count(next)}`);
  return shown.join(", ") + (all.length > 8 ? ` and ${all.length - 8} more` : "");
}

/** How fast recorded time passes: `3,600 times real time`, in two digits that hold still. */
export function pace(times) {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(times)) - 1);
  return `${count(Math.round(times / step) * step)} times real time`;
}

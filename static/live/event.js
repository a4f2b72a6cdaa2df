// A record as the page shows it. Records of other topics may hold anything, so each field is looked
// at before it is believed.

const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);
const text = (value) => (typeof value === "string" && value ? value : null);
// Characters of a value that is no earthquake.
const EXCERPT = 120;

function excerpt(record) {
  if (record.text !== undefined) return String(record.text).slice(0, EXCERPT);
  if (record.value_base64 !== undefined) return `${String(record.value_base64).slice(0, EXCERPT)} (base64)`;
  return (JSON.stringify(record.value) ?? "").slice(0, EXCERPT);
}

/** `record` with what of it is an earthquake. */
export function eventOf(record) {
  const value = record.value !== null && typeof record.value === "object" ? record.value : {};
  const [longitude, latitude] = [number(value.longitude), number(value.latitude)];
  const onEarth = longitude !== null && latitude !== null && Math.abs(longitude) <= 360 && Math.abs(latitude) <= 90;
  return {
    partition: record.partition,
    offset: record.offset,
    epoch: record.epoch,
    key: text(record.key) ?? text(record.key_base64),
    time: number(value.time) ?? number(record.timestamp) ?? 0,
    magnitude: number(value.mag),
    depth: number(value.depth_km),
    place: text(value.place) ?? text(value.title) ?? excerpt(record),
    kind: text(value.type),
    where: onEarth ? [longitude, latitude] : null,
  };
}

/** Where the colours of depth change, in kilometres. */
export const DEPTHS = [10, 35, 70, 150];

/** The colour class of a depth: 0 is the shallowest. */
export function depthClass(depth) {
  const found = DEPTHS.findIndex((limit) => (depth ?? 0) < limit);
  return found < 0 ? DEPTHS.length : found;
}

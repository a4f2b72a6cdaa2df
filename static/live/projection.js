// Where a place on earth stands on a map: the projections of world.js, forward only. Both keep
// areas, so that a crowd of dots looks as dense as it is. `make-world` draws the land with the same
// numbers and refuses to write a map on which these functions disagree with it.

const RADIANS = Math.PI / 180;

/** Degrees east of the middle, between -180 and 180. */
function turned(longitude, middle) {
  const away = (longitude - middle) % 360;
  return away > 180 ? away - 360 : away < -180 ? away + 360 : away;
}

/** Equal Earth (Šavrič, Patterson and Jenny, 2018): a polynomial of the parametric latitude. */
function equalEarth(longitude, latitude, [middle]) {
  const [a1, a2, a3, a4] = [1.340264, -0.081106, 0.000893, 0.003796];
  const half = Math.sqrt(3) / 2;
  const angle = Math.asin(half * Math.sin(latitude * RADIANS));
  const square = angle * angle;
  const sixth = square * square * square;
  const slope = a1 + 3 * a2 * square + sixth * (7 * a3 + 9 * a4 * square);
  const x = (turned(longitude, middle) * RADIANS * Math.cos(angle)) / (half * slope);
  return [x, angle * (a1 + a2 * square + sixth * (a3 + a4 * square))];
}

/** Lambert's azimuthal equal-area projection; nothing for the far side of the earth. */
function lambert(longitude, latitude, [middle, parallel]) {
  const [lambda, phi, phi0] = [turned(longitude, middle) * RADIANS, latitude * RADIANS, parallel * RADIANS];
  const near = Math.sin(phi0) * Math.sin(phi) + Math.cos(phi0) * Math.cos(phi) * Math.cos(lambda);
  if (near < 0) return null;
  const k = Math.sqrt(2 / (1 + near));
  const y = Math.cos(phi0) * Math.sin(phi) - Math.sin(phi0) * Math.cos(phi) * Math.cos(lambda);
  return [k * Math.cos(phi) * Math.sin(lambda), k * y];
}

const KINDS = { equalEarth, lambert };

/** The point of `view` (a map of world.js) at which a place stands, or null where it is not on it. */
export function place(view, longitude, latitude) {
  const flat = KINDS[view.kind](longitude, latitude, view.centre);
  if (!flat) return null;
  const x = view.offset[0] + view.scale * flat[0];
  const y = view.offset[1] - view.scale * flat[1];
  return x < 0 || y < 0 || x > view.width || y > view.height ? null : [x, y];
}

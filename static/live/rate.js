// How many events came a second: counts of whole seconds, for a number that is calm enough to be
// read and for the line of the last minute. `now` comes from outside, in milliseconds.

const KEPT = 60;
// Seconds that the number is the mean of.
const MEAN = 5;

export class Rate {
  #counts = new Array(KEPT).fill(0);
  #second = null;
  #begun = null;

  add(count, now) {
    this.#moveTo(now);
    this.#counts[KEPT - 1] += count;
  }

  /** Events a second over the last whole seconds. */
  perSecond(now) {
    this.#moveTo(now);
    const seconds = Math.max(1, Math.min(MEAN, this.#second - this.#begun));
    const whole = this.#counts.slice(KEPT - 1 - seconds, KEPT - 1);
    return whole.reduce((sum, count) => sum + count, 0) / seconds;
  }

  /** The counts of the last minute's whole seconds, oldest first. */
  minute(now) {
    this.#moveTo(now);
    return this.#counts.slice(0, KEPT - 1);
  }

  #moveTo(now) {
    const second = Math.floor(now / 1000);
    this.#second ??= second;
    this.#begun ??= second;
    for (let passed = Math.min(KEPT, second - this.#second); passed > 0; passed -= 1) {
      this.#counts.shift();
      this.#counts.push(0);
    }
    this.#second = Math.max(this.#second, second);
  }
}

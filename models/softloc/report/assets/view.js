// The stretch of time that is shown, and where a time stands in it.

const SHORTEST_S = 0.02;

class TimeView {
  constructor(duration) {
    this.duration = duration;
    this.start = 0;
    this.end = Math.min(duration, 12);
    this.listeners = [];
    this.left = 0; // of the plot in the view, CSS pixels
    this.width = 1;
  }

  get span() {
    return this.end - this.start;
  }

  /** CSS pixels from the left edge of the view. */
  xOf(time) {
    return this.left + ((time - this.start) / this.span) * this.width;
  }

  timeOf(x) {
    return this.start + ((x - this.left) / this.width) * this.span;
  }

  contains(time) {
    return time >= this.start && time <= this.end;
  }

  set(start, end) {
    const span = clamp(end - start, Math.min(SHORTEST_S, this.duration), this.duration);
    this.start = clamp(start, 0, this.duration - span);
    this.end = this.start + span;
    for (const listener of this.listeners) listener();
  }

  moveBy(amount) {
    this.set(this.start + amount, this.end + amount);
  }

  /** Change the span by a factor; `anchor` stays where it is. */
  zoom(factor, anchor) {
    const least = Math.min(SHORTEST_S, this.duration);
    const span = clamp(this.span * factor, least, this.duration);
    const share = (anchor - this.start) / this.span;
    this.set(anchor - share * span, anchor - share * span + span);
  }

  /** Bring a time into the middle third, where it is not in view already. */
  reveal(time) {
    const margin = this.span / 10;
    if (time < this.start + margin || time > this.end - margin) {
      this.set(time - this.span / 2, time + this.span / 2);
    }
  }
}

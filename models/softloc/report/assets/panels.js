// What is drawn over time: overview, waveform, mel-spectrogram, lanes. Only what is visible.

const RIGHT = 18; // CSS pixels to the right of the plot
const isNarrow = () => window.innerWidth <= 600;
const gutter = () => (isNarrow() ? 50 : 74);
const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

/** Size a canvas to its place on the page; returns a context in CSS pixels. */
function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Minima and maxima at several resolutions, each half as fine as the one before. */
class Peaks {
  constructor(extremes, binSeconds) {
    const n = extremes.length >> 1;
    const low = Float32Array.from({ length: n }, (_, i) => extremes[2 * i] / 127);
    const high = Float32Array.from({ length: n }, (_, i) => extremes[2 * i + 1] / 127);
    this.levels = [{ low, high, bin: binSeconds }];
    while (this.levels.at(-1).low.length > 2000) this.levels.push(this.coarser(this.levels.at(-1)));
  }

  coarser({ low, high, bin }) {
    const n = Math.ceil(low.length / 2);
    const coarse = { low: new Float32Array(n), high: new Float32Array(n), bin: 2 * bin };
    for (let i = 0; i < n; i++) {
      const [a, b] = [2 * i, Math.min(2 * i + 1, low.length - 1)];
      coarse.low[i] = Math.min(low[a], low[b]);
      coarse.high[i] = Math.max(high[a], high[b]);
    }
    return coarse;
  }

  /** Columns for a chart, from the coarsest level that still has a bin for every pixel. */
  columns(start, end, pixels) {
    const wanted = (end - start) / pixels;
    const level = this.levels.findLast((own) => own.bin <= wanted) ?? this.levels[0];
    const first = Math.max(0, Math.floor(start / level.bin) - 1);
    const last = Math.min(level.low.length, Math.ceil(end / level.bin) + 1);
    const times = [];
    for (let i = first; i < last; i++) times.push((i + 0.5) * level.bin);
    return [times, Array.from(level.high.subarray(first, last)), Array.from(level.low.subarray(first, last))];
  }
}

class WaveformPanel {
  constructor(place, view, peaks, player, palette) {
    Object.assign(this, { place, view, peaks, player, palette });
    const colour = (name) => () => palette[name];
    const axis = {
      side: 0,
      size: 26,
      gap: 3,
      font: FONT,
      stroke: colour("muted"),
      grid: { stroke: colour("line"), width: 1 },
      ticks: { stroke: colour("line"), width: 1, size: 5 },
      space: 84,
      incrs: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600],
      values: (chart, splits, index, space, step) =>
        splits.map((time) => formatTime(time, step >= 1 ? 0 : step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3)),
    };
    const line = { stroke: colour("wave"), width: 1, points: { show: false } };
    this.chart = new uPlot(
      {
        width: Math.max(place.clientWidth, 100),
        height: place.clientHeight,
        padding: [0, RIGHT, 0, gutter()],
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { time: false, range: () => [view.start, view.end] },
          y: { range: () => [-1.05, 1.05] },
        },
        axes: [axis, { show: false }],
        series: [{}, line, { ...line }],
        bands: [{ series: [1, 2], fill: colour("wave") }],
      },
      [[], [], []],
      place,
    );
  }

  resize() {
    this.chart.padding[3] = gutter;
    this.chart.setSize({ width: this.place.clientWidth, height: this.place.clientHeight });
  }

  draw() {
    const { start, end, width } = this.view;
    const columns = this.finestColumns() ?? this.peaks?.columns(start, end, width) ?? [[], [], []];
    // A chart without a point has no time axis.
    if (!columns[0].length) columns.splice(0, 3, [start, end], [null, null], [null, null]);
    this.chart.setData(columns);
  }

  /** The samples themselves, where the view is so short that bins would show as steps. */
  finestColumns() {
    const { start, end, width } = this.view;
    const { audio } = this.player;
    if (!audio || !this.peaks || (end - start) / width > this.peaks.levels[0].bin / 2) return null;
    const rate = audio.sample_rate_hz;
    const first = Math.max(0, Math.floor(start * rate) - 1);
    const count = Math.min(audio.n_samples, Math.ceil(end * rate) + 2) - first;
    if (this.held?.first !== first || this.held?.count !== count) {
      this.wanted = { first, count };
      this.player.samples(first, count).then(
        (samples) => {
          if (this.wanted?.first !== first || this.wanted?.count !== count) return;
          this.held = { first, count, samples };
          this.onready();
        },
        () => {}, // the bins stay; playing will say what is wrong
      );
      return null;
    }
    const scale = 1 / Math.max(MEDIA.embedded_peak, 1e-9);
    const times = Array.from({ length: count }, (_, i) => (first + i) / rate);
    const values = Array.from(this.held.samples, (value) => value * scale);
    return [times, values, values];
  }
}

const SPECTRUM_STOPS = {
  dark: ["#0e1118", "#251a55", "#6d2080", "#c93f66", "#f8924a", "#fdf1b8"],
  light: ["#ffffff", "#e3ebf7", "#adc4e8", "#6b87d0", "#40419f", "#1b1046"],
};
const TILE_CELLS = 512;
const KEPT_TILES = 80;

class SpectrogramPanel {
  constructor(canvas, view, levels, palette) {
    Object.assign(this, { canvas, view, palette });
    const { hop_samples: hop, n_bands: bands } = MEDIA.spectrogram;
    this.bands = bands;
    this.pyramid = [{ cells: levels, n: levels.length / bands, seconds: hop / MEDIA.sample_rate_hz }];
    while (this.pyramid.at(-1).n > 2000) this.pyramid.push(this.coarser(this.pyramid.at(-1)));
    this.tiles = new Map();
    this.recolour();
  }

  coarser({ cells, n, seconds }) {
    const [half, bands] = [Math.ceil(n / 2), this.bands];
    const pooled = new Uint8Array(half * bands);
    for (let i = 0; i < half; i++) {
      const [a, b, to] = [2 * i * bands, Math.min(2 * i + 1, n - 1) * bands, i * bands];
      for (let band = 0; band < bands; band++) pooled[to + band] = Math.max(cells[a + band], cells[b + band]);
    }
    return { cells: pooled, n: half, seconds: 2 * seconds };
  }

  recolour() {
    const stops = SPECTRUM_STOPS[this.palette.dark ? "dark" : "light"].map((hex) =>
      [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)),
    );
    const n = MEDIA.spectrogram.n_levels;
    this.colours = new Uint32Array(n);
    const bytes = new Uint8ClampedArray(this.colours.buffer);
    for (let level = 0; level < n; level++) {
      const at = (level / (n - 1)) * (stops.length - 1);
      const from = Math.min(Math.floor(at), stops.length - 2);
      for (let c = 0; c < 3; c++) {
        bytes[4 * level + c] = stops[from][c] + (at - from) * (stops[from + 1][c] - stops[from][c]);
      }
      bytes[4 * level + 3] = 255;
    }
    this.tiles.clear();
  }

  tile(depth, index) {
    const key = `${depth}:${index}`;
    let tile = this.tiles.get(key);
    if (tile) {
      this.tiles.delete(key); // the newest ones stand at the end
    } else {
      tile = this.paint(this.pyramid[depth], index);
      if (this.tiles.size >= KEPT_TILES) this.tiles.delete(this.tiles.keys().next().value);
    }
    this.tiles.set(key, tile);
    return tile;
  }

  paint({ cells, n }, index) {
    const first = index * TILE_CELLS;
    const width = Math.min(TILE_CELLS, n - first);
    const tile = new OffscreenCanvas(width, this.bands);
    const context = tile.getContext("2d");
    const image = context.createImageData(width, this.bands);
    const pixels = new Uint32Array(image.data.buffer);
    for (let x = 0; x < width; x++) {
      const column = (first + x) * this.bands;
      for (let band = 0; band < this.bands; band++) {
        pixels[(this.bands - 1 - band) * width + x] = this.colours[cells[column + band]];
      }
    }
    context.putImageData(image, 0, 0);
    return tile;
  }

  draw() {
    const { context, height } = prepare(this.canvas);
    const { start, end, left, width } = this.view;
    const wanted = (end - start) / width;
    let depth = this.pyramid.findLastIndex((own) => own.seconds <= wanted);
    if (depth < 0) depth = 0;
    const { n, seconds } = this.pyramid[depth];
    context.save();
    context.beginPath();
    context.rect(left, 0, width, height);
    context.clip();
    context.imageSmoothingEnabled = false;
    const firstCell = clamp(Math.floor(start / seconds), 0, n - 1);
    const lastCell = clamp(Math.ceil(end / seconds), firstCell + 1, n);
    for (let index = Math.floor(firstCell / TILE_CELLS); index * TILE_CELLS < lastCell; index++) {
      const tile = this.tile(depth, index);
      const x0 = this.view.xOf(index * TILE_CELLS * seconds);
      const x1 = this.view.xOf((index * TILE_CELLS + tile.width) * seconds);
      context.drawImage(tile, x0, 0, x1 - x0, height);
    }
    context.restore();
    this.drawScale(context, height);
  }

  drawScale(context, height) {
    const { min_hz: low, max_hz: high } = MEDIA.spectrogram;
    const mel = (hz) => 2595 * Math.log10(1 + hz / 700);
    context.font = FONT;
    context.fillStyle = this.palette.muted;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const hz of [200, 1000, 4000, 10000]) {
      if (hz >= high) continue;
      const y = height * (1 - (mel(hz) - mel(low)) / (mel(high) - mel(low)));
      context.fillText(hz < 1000 ? `${hz}` : `${hz / 1000}k`, this.view.left - 7, y);
    }
  }
}

class LanesPanel {
  constructor(canvas, view, palette, filter) {
    Object.assign(this, { canvas, view, palette, filter });
    this.tolerance = HAS_REFERENCE ? DATA.tolerance_us / 1e6 : 0;
    this.chosen = -1;
    const n = Math.max(DATA.classes.length, 1);
    this.laneHeight = n <= 10 ? (HAS_REFERENCE ? 42 : 34) : n <= 24 ? 24 : 14;
    canvas.style.height = `${n * this.laneHeight + 2}px`;
  }

  /** Where an item is drawn, CSS pixels of the canvas. */
  geometry(i) {
    const top = CLASS[i] * this.laneHeight + 1;
    const bottom = top + this.laneHeight;
    const middle = HAS_REFERENCE ? (top + bottom) / 2 : top;
    return {
      reference: this.view.xOf(REFERENCE[i]),
      estimate: this.view.xOf(ESTIMATE[i]),
      top: top + 3,
      middle,
      bottom: bottom - 3,
    };
  }

  /** Indices from, to of the items that can reach into the view. */
  visibleRange() {
    const { start, end } = this.view;
    return [lowerBound(TIME, start - this.tolerance), lowerBound(TIME, end + this.tolerance)];
  }

  draw() {
    const { context, width, height } = prepare(this.canvas);
    this.drawLanes(context, width, height);
    const [from, to] = this.visibleRange();
    context.save();
    context.beginPath();
    context.rect(this.view.left, 0, this.view.width, height);
    context.clip();
    const sparse = to - from < this.view.width / 6;
    if (this.chosen >= 0) this.drawChosen(context);
    if (sparse && HAS_REFERENCE) this.drawTolerances(context, from, to);
    this.drawTicks(context, from, to);
    if (sparse && HAS_REFERENCE) this.drawSigns(context, from, to);
    context.restore();
  }

  drawLanes(context, width, height) {
    const { left } = this.view;
    context.font = FONT;
    context.textBaseline = "middle";
    DATA.classes.forEach((own, lane) => {
      const y = lane * this.laneHeight + 1;
      context.fillStyle = lane % 2 ? this.palette.panel : this.palette.sunken;
      context.fillRect(0, y, width, this.laneHeight);
      context.fillStyle = this.filter.classes[lane] ? this.palette.text : this.palette.muted;
      context.textAlign = "left";
      const sides = HAS_REFERENCE && this.laneHeight >= 40 && !isNarrow();
      const room = left - (sides ? 30 : 12);
      context.font = `600 ${this.laneHeight >= 24 ? 12 : 10}px ${FONT.slice(5)}`;
      context.fillText(fitted(context, own.name, room), 8, y + this.laneHeight / 2);
      if (sides) {
        context.font = `9px ${FONT.slice(5)}`;
        context.fillStyle = this.palette.muted;
        context.textAlign = "right";
        context.fillText("ref", left - 6, y + this.laneHeight * 0.28);
        context.fillText("est", left - 6, y + this.laneHeight * 0.74);
      }
    });
    context.fillStyle = this.palette.line;
    context.fillRect(left - 1, 0, 1, height);
  }

  drawChosen(context) {
    const i = this.chosen;
    const { reference, estimate } = this.geometry(i);
    const xs = [reference, estimate].filter((x) => !Number.isNaN(x));
    const y = CLASS[i] * this.laneHeight + 1;
    context.fillStyle = this.palette.chosen;
    context.fillRect(Math.min(...xs) - 8, y, Math.max(...xs) - Math.min(...xs) + 16, this.laneHeight);
  }

  drawTolerances(context, from, to) {
    const reach = (this.tolerance / this.view.span) * this.view.width;
    if (reach < 4) return;
    context.fillStyle = this.palette.muted;
    context.globalAlpha = 0.12;
    for (let i = from; i < to; i++) {
      if (!this.filter.shows(i) || Number.isNaN(REFERENCE[i])) continue;
      const { reference, middle, bottom } = this.geometry(i);
      context.fillRect(reference - reach, middle, 2 * reach, bottom - middle);
    }
    context.globalAlpha = 1;
  }

  drawTicks(context, from, to) {
    // One path a verdict; what falls on a pixel that has its tick already is not drawn again.
    const paths = DATA.verdicts.map(() => new Path2D());
    const drawn = new Map();
    const isNew = (key, x) => {
      const pixel = Math.round(x);
      if (drawn.get(key) === pixel) return false;
      drawn.set(key, pixel);
      return true;
    };
    for (let i = from; i < to; i++) {
      if (!this.filter.shows(i)) continue;
      const { reference, estimate, top, middle, bottom } = this.geometry(i);
      const verdict = VERDICT[i];
      const key = 8 * CLASS[i] + 2 * verdict;
      const path = paths[verdict];
      if (!Number.isNaN(reference) && isNew(key, reference)) path.rect(reference - 1, top, 2, middle - top);
      if (!Number.isNaN(estimate) && isNew(key + 1, estimate)) path.rect(estimate - 1, middle, 2, bottom - middle);
      if (verdict === HIT && Math.abs(estimate - reference) >= 2) {
        path.rect(Math.min(reference, estimate), middle - 1, Math.abs(estimate - reference), 2);
      }
    }
    paths.forEach((path, verdict) => {
      context.fillStyle = this.palette.verdict(verdict);
      context.fill(path);
    });
  }

  /** Shapes beside the colours: a ring where an estimate is missing, a cross where one is too many. */
  drawSigns(context, from, to) {
    context.lineWidth = 2;
    for (let i = from; i < to; i++) {
      if (!isError(i) || !this.filter.shows(i)) continue;
      const { reference, estimate, top, middle, bottom } = this.geometry(i);
      const radius = Math.min(4, (middle - top) / 2);
      context.strokeStyle = this.palette.verdict(VERDICT[i]);
      context.beginPath();
      if (VERDICT[i] === MISS) {
        context.arc(reference, (middle + bottom) / 2, radius, 0, 2 * Math.PI);
      } else {
        const y = (top + middle) / 2;
        context.moveTo(estimate - radius, y - radius);
        context.lineTo(estimate + radius, y + radius);
        context.moveTo(estimate + radius, y - radius);
        context.lineTo(estimate - radius, y + radius);
      }
      context.stroke();
    }
  }

  /** The item nearest to a point of the canvas, within some pixels; -1 if there is none. */
  itemAt(x, y) {
    const lane = Math.floor((y - 1) / this.laneHeight);
    const [from, to] = this.visibleRange();
    let [best, distance] = [-1, 9];
    for (let i = from; i < to; i++) {
      if (CLASS[i] !== lane || !this.filter.shows(i)) continue;
      const { reference, estimate } = this.geometry(i);
      for (const at of [reference, estimate]) {
        if (Math.abs(at - x) < distance) [best, distance] = [i, Math.abs(at - x)];
      }
    }
    return best;
  }
}

/** Text shortened to a width. */
function fitted(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let shorter = text;
  while (shorter.length > 1 && context.measureText(`${shorter}…`).width > room) shorter = shorter.slice(0, -1);
  return `${shorter}…`;
}

class OverviewPanel {
  constructor(canvas, view, peaks, palette, filter) {
    Object.assign(this, { canvas, view, peaks, palette, filter });
  }

  timeOf(x) {
    return clamp(((x - this.view.left) / this.view.width) * DURATION, 0, DURATION);
  }

  xOf(time) {
    return this.view.left + (time / DURATION) * this.view.width;
  }

  /** Redraw what does not change with the view. */
  refresh() {
    const { canvas } = this;
    const { context, width, height } = prepare(canvas);
    const strip = 7;
    const middle = (height - strip) / 2;
    if (this.peaks) {
      const [times, high, low] = this.peaks.columns(0, DURATION, this.view.width);
      const step = times.length > 1 ? this.xOf(times[1]) - this.xOf(times[0]) : 1;
      context.fillStyle = this.palette.wave;
      times.forEach((time, i) => {
        const [top, bottom] = [middle - high[i] * middle, middle - low[i] * middle];
        context.fillRect(this.xOf(time) - step / 2, top, Math.max(step, 1), Math.max(bottom - top, 0.5));
      });
    }
    for (let i = 0; i < N_ITEMS; i++) {
      if (HAS_REFERENCE && !isError(i)) continue;
      if (!this.filter.shows(i)) continue;
      context.fillStyle = this.palette.verdict(VERDICT[i]);
      context.fillRect(this.xOf(TIME[i]) - 0.5, height - strip, 1, strip - 1);
    }
    this.picture = new OffscreenCanvas(Math.max(canvas.width, 1), Math.max(canvas.height, 1));
    if (canvas.width && canvas.height) this.picture.getContext("2d").drawImage(canvas, 0, 0);
    this.size = { width, height };
  }

  draw(position) {
    const { context, width, height } = prepare(this.canvas);
    context.drawImage(this.picture, 0, 0, width, height);
    const [x0, x1] = [this.xOf(this.view.start), this.xOf(this.view.end)];
    context.fillStyle = this.palette.panel;
    context.globalAlpha = 0.6;
    context.fillRect(0, 0, x0, height);
    context.fillRect(x1, 0, width - x1, height);
    context.globalAlpha = 1;
    context.strokeStyle = this.palette.accent;
    context.lineWidth = 1.5;
    context.strokeRect(x0, 1, Math.max(x1 - x0, 2), height - 2);
    context.fillStyle = this.palette.playhead;
    context.fillRect(this.xOf(position) - 0.75, 0, 1.5, height);
  }
}

// The page: panels, player and list put together, and what mouse, fingers and keys do.

class Page {
  async start() {
    this.palette = new Palette();
    this.view = new TimeView(DURATION);
    this.player = new Player(MEDIA?.audio ?? null, DURATION);
    this.filter = new Filter();
    this.describe();
    const wave = MEDIA ? await inflatedBytesOf("waveform-data") : null;
    const cells = MEDIA ? await inflatedBytesOf("spectrogram-data") : null;
    const peaks = wave && new Peaks(new Int8Array(wave.buffer), MEDIA.waveform.bin_samples / MEDIA.sample_rate_hz);
    element("waveform").classList.toggle("bare", !peaks);
    element("spectrogram").hidden = !cells;
    this.waveform = new WaveformPanel(element("waveform"), this.view, peaks, this.player, this.palette);
    this.waveform.onready = () => this.request();
    this.spectrogram = cells && new SpectrogramPanel(element("spectrogram"), this.view, cells, this.palette);
    this.lanes = new LanesPanel(element("lanes"), this.view, this.palette, this.filter);
    this.overview = new OverviewPanel(element("overview"), this.view, peaks, this.palette, this.filter);
    this.list = new EventList(this.filter, (i) => this.choose(i));
    this.addChips();
    this.view.listeners.push(() => this.request());
    this.filter.listeners.push(() => {
      this.overview.refresh();
      this.setClicks();
      this.request();
    });
    this.player.onchange = () => this.request();
    this.player.onfailure = (message) => this.fail(message);
    this.listen();
    new ResizeObserver(() => this.resize()).observe(element("view"));
    this.resize();
  }

  describe() {
    const kind = HAS_REFERENCE ? `evaluation within ±${DATA.tolerance_us / 1000} ms` : "transcription";
    const parts = [kind, counted(N_ITEMS, "event")];
    if (MEDIA) parts.push(`${formatTime(DURATION, 1)} min`);
    if (MEDIA?.audio) parts.push(`sound: ${MEDIA.audio.codec}, mono`);
    else if (MEDIA) parts.push("too long for its sound to be embedded");
    element("subtitle").textContent = parts.join(" · ");
  }

  addChips() {
    const count = (values, n) => {
      const counts = new Array(n).fill(0);
      for (const value of values) counts[value]++;
      return counts;
    };
    const names = DATA.classes.map((own) => own.name);
    new Chips(element("class-filters"), "classes", names, count(CLASS, names.length), this.filter);
    new Chips(element("verdict-filters"), "verdicts", DATA.verdicts, count(VERDICT, DATA.verdicts.length), this.filter);
  }

  fail(message) {
    element("failure").textContent = message;
    element("failure").hidden = false;
  }

  // Drawing: at most once a frame, and only what has changed.

  request() {
    this.stale = true;
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = null;
    const position = this.player.position;
    if (this.player.playing) this.followTo(position);
    if (this.stale) {
      this.stale = false;
      this.waveform.draw();
      this.spectrogram?.draw();
      this.lanes.draw();
      element("play-icon").className = this.player.playing ? "icon-pause" : "icon-play";
    }
    this.overview.draw(position);
    const x = this.view.xOf(position);
    const visible = this.view.contains(position);
    element("playhead").style.transform = `translateX(${x}px)`;
    element("playhead").style.visibility = visible ? "visible" : "hidden";
    this.showClock(position);
    if (this.player.playing) this.frame ??= requestAnimationFrame(() => this.draw());
  }

  showClock(position) {
    const text = `${formatTime(position)} / ${formatTime(DURATION, 1)}`;
    if (element("clock").textContent !== text) element("clock").textContent = text;
  }

  /** Turn the page when the playhead reaches its end. */
  followTo(position) {
    const { start, end, span } = this.view;
    if (!element("follow").checked || this.dragging || span >= DURATION) return;
    if (position > end - 0.04 * span && position < end + span) this.view.set(position - 0.06 * span, position + 0.94 * span);
    else if (position < start || position > end) this.view.reveal(position);
  }

  resize() {
    const width = element("view").clientWidth;
    this.view.left = gutter();
    this.view.width = Math.max(width - this.view.left - RIGHT, 20);
    this.waveform.resize();
    this.overview.refresh();
    this.list.render();
    this.request();
  }

  recolour() {
    this.palette.refresh();
    this.spectrogram?.recolour();
    this.overview.refresh();
    this.request();
  }

  toggleTheme() {
    document.documentElement.dataset.theme = this.palette.dark ? "light" : "dark";
    this.recolour();
  }

  // What the user does.

  /** Jump to an item and let it be heard. */
  choose(i) {
    if (i < 0) return;
    this.lanes.chosen = i;
    this.list.choose(i);
    this.view.reveal(TIME[i]);
    if (this.player.playing && this.player.restAt === null) this.player.seek(Math.max(0, TIME[i] - 0.3));
    else this.player.audition(TIME[i]);
    this.request();
  }

  /** The next (1) or previous (-1) error; without a reference, event. */
  step(direction) {
    const from = this.lanes.chosen >= 0 ? TIME[this.lanes.chosen] : this.player.position;
    const wanted = (i) => this.filter.shows(i) && (!HAS_REFERENCE || isError(i));
    if (this.lanes.chosen >= 0) {
      for (let i = this.lanes.chosen + direction; i >= 0 && i < N_ITEMS; i += direction) {
        if (wanted(i)) return this.choose(i);
      }
      return undefined;
    }
    const start = lowerBound(TIME, from);
    for (let i = direction > 0 ? start : start - 1; i >= 0 && i < N_ITEMS; i += direction) {
      if (wanted(i)) return this.choose(i);
    }
    return undefined;
  }

  seek(time) {
    this.lanes.chosen = -1;
    this.list.choose(-1);
    this.player.seek(time);
    this.request();
  }

  move(amount) {
    this.seek(clamp(this.player.position + amount, 0, DURATION));
    this.view.reveal(this.player.position);
  }

  zoom(factor) {
    const { position } = this.player;
    this.view.zoom(factor, this.view.contains(position) ? position : (this.view.start + this.view.end) / 2);
  }

  setClicks() {
    const mode = element("clicks").value;
    const sides = { off: [], estimate: [ESTIMATE], reference: [REFERENCE], both: [REFERENCE, ESTIMATE] }[mode];
    const clicks = [];
    for (const side of sides) {
      const pan = sides.length < 2 ? 0 : side === REFERENCE ? -0.8 : 0.8;
      for (let i = 0; i < N_ITEMS; i++) {
        if (this.filter.shows(i) && !Number.isNaN(side[i])) clicks.push({ time: side[i], class: CLASS[i], pan });
      }
    }
    this.player.setClicks(clicks.sort((a, b) => a.time - b.time));
  }

  listen() {
    const on = (id, event, action) => element(id).addEventListener(event, action);
    on("play", "click", () => this.player.toggle());
    on("previous", "click", () => this.step(-1));
    on("next", "click", () => this.step(1));
    on("zoom-in", "click", () => this.zoom(0.5));
    on("zoom-out", "click", () => this.zoom(2));
    on("zoom-all", "click", () => this.view.set(0, DURATION));
    on("theme", "click", () => this.toggleTheme());
    on("help-button", "click", () => element("help").showModal());
    on("clicks", "change", () => this.setClicks());
    on("speed", "change", () => this.player.setRate(Number(element("speed").value)));
    on("balance", "input", () => {
      this.player.balance = Number(element("balance").value);
      this.player.applyBalance();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
    document.addEventListener("keydown", (event) => this.key(event));
    this.listenToView();
    this.listenToOverview();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || element("help").open) return;
    if (event.target.matches?.("select, input[type=range]") && event.key !== " ") return;
    const tenth = event.shiftKey ? 0.01 : this.view.span / 10;
    const actions = {
      " ": () => this.player.toggle(),
      ArrowLeft: () => this.move(-tenth),
      ArrowRight: () => this.move(tenth),
      ArrowDown: () => this.choose(this.list.beside(1)),
      ArrowUp: () => this.choose(this.list.beside(-1)),
      n: () => this.step(1),
      p: () => this.step(-1),
      "+": () => this.zoom(0.5),
      "=": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      0: () => this.view.set(0, DURATION),
      Home: () => this.move(-DURATION),
      End: () => this.move(DURATION),
      c: () => this.toggleClicks(),
      f: () => element("follow").click(),
      d: () => this.toggleTheme(),
      "?": () => element("help").showModal(),
    };
    const action = actions[event.key];
    if (!action) return;
    // A focused button would be pressed by the space bar, too.
    if (event.key === " " && event.target.matches?.("button")) event.target.blur();
    event.preventDefault();
    action();
  }

  toggleClicks() {
    const select = element("clicks");
    select.value = select.value === "off" ? "estimate" : "off";
    this.setClicks();
  }

  listenToView() {
    const place = element("view");
    const pointers = new Map();
    const xIn = (event) => event.clientX - place.getBoundingClientRect().left;
    let travelled = 0;
    place.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      place.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, xIn(event));
      travelled = pointers.size > 1 ? Infinity : 0;
    });
    place.addEventListener("pointermove", (event) => {
      this.showHover(event, xIn(event));
      if (!pointers.has(event.pointerId)) return;
      const before = [...pointers.values()];
      const x = xIn(event);
      const moved = x - pointers.get(event.pointerId);
      pointers.set(event.pointerId, x);
      travelled += Math.abs(moved);
      if (pointers.size === 2) return void this.pinch(before, [...pointers.values()]);
      if (travelled < 4) return;
      this.dragging = true;
      place.classList.add("dragging");
      this.view.moveBy((-moved / this.view.width) * this.view.span);
    });
    const release = (event, isClick) => {
      if (!pointers.delete(event.pointerId)) return;
      this.dragging = pointers.size > 0;
      place.classList.remove("dragging");
      if (isClick && travelled < 4) this.clickAt(event, xIn(event));
    };
    place.addEventListener("pointerup", (event) => release(event, true));
    place.addEventListener("pointercancel", (event) => release(event, false));
    place.addEventListener("pointerleave", () => (element("hover").hidden = true));
    place.addEventListener("wheel", (event) => this.wheel(event, xIn(event)), { passive: false });
  }

  clickAt(event, x) {
    const canvas = element("lanes");
    const y = event.clientY - canvas.getBoundingClientRect().top;
    const item = y >= 0 ? this.lanes.itemAt(x, y) : -1;
    if (item >= 0) this.choose(item);
    else if (x >= this.view.left) this.seek(this.view.timeOf(x));
  }

  pinch([a, b], [c, d]) {
    const [before, after] = [Math.abs(a - b), Math.abs(c - d)];
    if (before < 10 || after < 10) return;
    this.view.zoom(before / after, this.view.timeOf((c + d) / 2));
    this.view.moveBy((((a + b) / 2 - (c + d) / 2) / this.view.width) * this.view.span);
  }

  wheel(event, x) {
    const sideways = event.shiftKey ? event.deltaX + event.deltaY : event.deltaX;
    if (event.ctrlKey || event.metaKey) {
      this.view.zoom(1.0025 ** event.deltaY, this.view.timeOf(x));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.view.moveBy((sideways / this.view.width) * this.view.span);
    } else {
      return; // the page scrolls
    }
    event.preventDefault();
  }

  showHover(event, x) {
    const hover = element("hover");
    hover.hidden = event.pointerType === "touch" || x < this.view.left || x > this.view.left + this.view.width;
    if (hover.hidden) return;
    hover.style.transform = `translateX(${x}px)`;
    hover.classList.toggle("flip", x > this.view.left + this.view.width - 90);
    element("hover-time").textContent = formatTime(this.view.timeOf(x));
  }

  listenToOverview() {
    const canvas = element("overview");
    let held = false;
    const go = (event) => {
      const time = this.overview.timeOf(event.clientX - canvas.getBoundingClientRect().left);
      this.view.set(time - this.view.span / 2, time + this.view.span / 2);
      return time;
    };
    canvas.addEventListener("pointerdown", (event) => {
      held = true;
      canvas.setPointerCapture(event.pointerId);
      this.seek(go(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (held) go(event);
    });
    canvas.addEventListener("pointerup", () => (held = false));
    canvas.addEventListener("pointercancel", () => (held = false));
  }
}

const page = new Page();

// For tests and for the curious: what is shown and where.
window.softloc = {
  data: DATA,
  ready: page.start().catch((error) => {
    page.fail(`This page cannot be shown (${error.message || error}).`);
    throw error;
  }),
  get view() {
    return { start: page.view.start, end: page.view.end };
  },
  setView: (start, end) => page.view.set(start, end),
  xOf: (time) => page.view.xOf(time),
  get position() {
    return page.player.position;
  },
  get playing() {
    return page.player.playing;
  },
  get chosen() {
    return page.lanes.chosen;
  },
  get clicks() {
    return page.player.clicks.map(({ time, class: own, pan }) => ({ time, class: own, pan }));
  },
  seek: (time) => page.seek(time),
  samples: async (start, count) => Array.from(await page.player.samples(start, count)),
  visibleEvents() {
    const [from, to] = page.lanes.visibleRange();
    const events = [];
    for (let i = from; i < to; i++) {
      if (page.filter.shows(i)) events.push({ item: i, verdict: DATA.verdicts[VERDICT[i]], ...page.lanes.geometry(i) });
    }
    return events;
  },
};

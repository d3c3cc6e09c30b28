// Which events are shown, and the list of them. Rows exist only where the list is scrolled to.

const ROW_HEIGHT = 30;
const SPARE_ROWS = 6;

class Filter {
  constructor() {
    this.classes = DATA.classes.map(() => true);
    this.verdicts = DATA.verdicts.map(() => true);
    this.listeners = [];
  }

  shows(i) {
    return this.classes[CLASS[i]] && this.verdicts[VERDICT[i]];
  }

  toggle(kind, index) {
    this[kind][index] = !this[kind][index];
    this.changed();
  }

  /** Show one alone; all, where it is alone already. */
  single(kind, index) {
    const alone = this[kind].every((on, i) => on === (i === index));
    this[kind] = this[kind].map((_, i) => alone || i === index);
    this.changed();
  }

  changed() {
    for (const listener of this.listeners) listener();
  }
}

/** A row of switches; a double click leaves one alone. */
class Chips {
  constructor(place, kind, names, counts, filter) {
    this.buttons = names.map((name, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "chip";
      button.title = "Show or hide; double click shows it alone";
      button.dataset[kind === "verdicts" ? "verdict" : "class"] = name;
      if (kind === "verdicts") button.append(document.createElement("i"));
      const label = document.createElement("b");
      label.textContent = kind === "verdicts" ? PLURAL[name] : name;
      const count = document.createElement("span");
      count.textContent = counts[index].toLocaleString("en");
      button.append(label, count);
      button.addEventListener("click", (event) => {
        if (event.detail === 2) return;
        filter.toggle(kind, index);
      });
      button.addEventListener("dblclick", () => {
        filter[kind][index] = true;
        filter.single(kind, index);
      });
      // A verdict that cannot occur here needs no switch.
      if (kind === "classes" || counts[index] || (HAS_REFERENCE && index !== EVENT)) place.append(button);
      return button;
    });
    const refresh = () =>
      this.buttons.forEach((button, index) => button.setAttribute("aria-pressed", filter[kind][index]));
    filter.listeners.push(refresh);
    refresh();
  }
}

const PLURAL = { hit: "hits", miss: "misses", "false alarm": "false alarms", event: "events" };

const SORT_KEYS = {
  time: (i) => TIME[i],
  class: (i) => CLASS[i],
  error: (i) =>
    HAS_REFERENCE ? Math.abs(errorMs(i) ?? NaN) : DATA.items.confidence[i] ?? NaN,
  verdict: (i) => (HAS_REFERENCE ? VERDICT[i] : DATA.items.velocity[i] ?? NaN),
};

class EventList {
  constructor(filter, onchoose) {
    Object.assign(this, { filter, onchoose });
    this.scroller = element("scroller");
    this.spacer = element("spacer");
    this.sort = { key: "time", descending: false };
    this.chosen = -1;
    this.rows = [];
    this.scroller.addEventListener("scroll", () => this.render(), { passive: true });
    for (const button of document.querySelectorAll("[data-sort]")) {
      button.addEventListener("click", () => this.sortBy(button.dataset.sort));
    }
    this.spacer.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.onchoose(Number(row.dataset.item));
    });
    filter.listeners.push(() => this.refresh());
    this.refresh();
  }

  sortBy(key) {
    const descending = this.sort.key === key ? !this.sort.descending : key === "error" && HAS_REFERENCE;
    this.sort = { key, descending };
    for (const button of document.querySelectorAll("[data-sort]")) {
      if (button.dataset.sort === key) button.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else button.removeAttribute("aria-sort");
    }
    this.refresh();
    this.scroller.scrollTop = 0;
  }

  refresh() {
    this.order = [];
    for (let i = 0; i < N_ITEMS; i++) if (this.filter.shows(i)) this.order.push(i);
    const { key, descending } = this.sort;
    if (key !== "time" || descending) {
      const value = SORT_KEYS[key];
      const sign = descending ? -1 : 1;
      const missing = (own) => Number.isNaN(own);
      this.order.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        // What has no value stands at the end, whichever way it is sorted.
        if (missing(x) || missing(y)) return missing(x) - missing(y) || a - b;
        return sign * (x - y) || a - b;
      });
    }
    this.spacer.style.height = `${this.order.length * ROW_HEIGHT}px`;
    this.scroller.setAttribute("aria-rowcount", this.order.length);
    const hidden = N_ITEMS - this.order.length;
    const rest = hidden ? `, ${hidden.toLocaleString("en")} hidden by the filters` : "";
    element("count").textContent = N_ITEMS ? counted(this.order.length, "event") + rest : "no events";
    this.render();
  }

  render() {
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
    const n = Math.ceil(this.scroller.clientHeight / ROW_HEIGHT) + 2 * SPARE_ROWS;
    const last = Math.min(this.order.length, first + n);
    while (this.rows.length < last - first) this.rows.push(this.makeRow());
    this.rows.forEach((row, k) => {
      const place = first + k;
      row.hidden = place >= last;
      if (!row.hidden) this.fill(row, place);
    });
  }

  makeRow() {
    const row = document.createElement("div");
    row.className = "row";
    row.setAttribute("role", "row");
    for (const name of ["time", "class", "number", "verdict"]) {
      const cell = document.createElement("span");
      cell.className = `cell ${name}`;
      cell.setAttribute("role", "gridcell");
      row.append(cell);
    }
    const swatch = document.createElement("i");
    const text = document.createElement("span");
    row.lastChild.append(swatch, text);
    this.spacer.append(row);
    return row;
  }

  fill(row, place) {
    const i = this.order[place];
    row.dataset.item = i;
    row.style.transform = `translateY(${place * ROW_HEIGHT}px)`;
    row.classList.toggle("chosen", i === this.chosen);
    row.setAttribute("aria-rowindex", place + 1);
    const [time, label, number, verdict] = row.children;
    const { items, verdicts } = DATA;
    time.textContent = formatTime(TIME[i]);
    label.textContent = DATA.classes[CLASS[i]].name;
    const error = errorMs(i);
    const confidence = items.confidence[i];
    if (HAS_REFERENCE) number.textContent = error === null ? "–" : signed(error);
    else number.textContent = confidence === null ? "–" : confidence.toFixed(2);
    const name = verdicts[VERDICT[i]];
    verdict.className = `cell verdict verdict-${name.replace(" ", "-")}`;
    verdict.lastChild.textContent = HAS_REFERENCE ? name : items.velocity[i] ?? "–";
  }

  choose(i) {
    this.chosen = i;
    const place = this.order.indexOf(i);
    const { scroller } = this;
    if (place >= 0) {
      const top = place * ROW_HEIGHT;
      if (top < scroller.scrollTop || top + ROW_HEIGHT > scroller.scrollTop + scroller.clientHeight) {
        scroller.scrollTop = top - scroller.clientHeight / 2;
      }
    }
    this.render();
  }

  /** The item after (1) or before (-1) the chosen one in the list; -1 if there is none. */
  beside(step) {
    const place = this.order.indexOf(this.chosen);
    if (place < 0) return this.order[step > 0 ? 0 : this.order.length - 1] ?? -1;
    return this.order[place + step] ?? -1;
  }
}

// What the page holds: its data, and helpers to read the large ones.

const DATA = JSON.parse(document.getElementById("softloc-data").textContent);
const MEDIA = DATA.media;
const DURATION = DATA.duration_s;
const HAS_REFERENCE = DATA.tolerance_us !== null;
const [HIT, MISS, FALSE_ALARM, EVENT] = ["hit", "miss", "false alarm", "event"].map((name) =>
  DATA.verdicts.indexOf(name),
);
const N_ITEMS = DATA.items.class.length;
// Times in seconds, NaN on the side that has no such event.
const seconds = (column) => Float64Array.from(column, (us) => (us === null ? NaN : us / 1e6));
const REFERENCE = seconds(DATA.items.reference_us);
const ESTIMATE = seconds(DATA.items.estimate_us);
const TIME = REFERENCE.map((time, i) => (Number.isNaN(time) ? ESTIMATE[i] : time));
const CLASS = Uint16Array.from(DATA.items.class);
const VERDICT = Uint8Array.from(DATA.items.verdict);

const element = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const isError = (i) => VERDICT[i] === MISS || VERDICT[i] === FALSE_ALARM;

/** Error of a hit in ms, estimate minus reference; null for others. */
function errorMs(i) {
  const [reference, estimate] = [DATA.items.reference_us[i], DATA.items.estimate_us[i]];
  return reference === null || estimate === null ? null : (estimate - reference) / 1000;
}

/** Index of the first value that is at least `bound`, in a sorted array. */
function lowerBound(values, bound) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

function bytesOf(id) {
  const text = atob(element(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function inflatedBytesOf(id) {
  const stream = new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** `1:02.345`, with as many decimals as asked for. */
function formatTime(time, decimals = 3) {
  const scale = 10 ** decimals;
  const units = Math.round(Math.abs(time) * scale);
  const minutes = Math.floor(units / (60 * scale));
  const rest = ((units - minutes * 60 * scale) / scale).toFixed(decimals);
  const padded = rest.padStart(decimals ? decimals + 3 : 2, "0");
  return `${time < 0 && units ? "−" : ""}${minutes}:${padded}`;
}

const counted = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

function signed(value, decimals = 1) {
  const text = Math.abs(value).toFixed(decimals);
  return Number(text) === 0 ? text : `${value < 0 ? "−" : "+"}${text}`;
}

/** The colours of the theme in force, by the name of their CSS variable. */
class Palette {
  constructor() {
    this.probe = document.createElement("span");
    this.probe.hidden = true;
    document.body.append(this.probe);
    this.refresh();
  }

  refresh() {
    const names = ["text", "muted", "line", "panel", "sunken", "wave", "accent", "hit", "miss",
      "false-alarm", "event", "chosen", "playhead"];
    for (const name of names) {
      this.probe.style.color = `var(--${name})`;
      this[name] = getComputedStyle(this.probe).color;
    }
    const [r, g, b] = this.panel.match(/[\d.]+/g).map(Number);
    this.dark = r + g + b < 384;
  }

  verdict(index) {
    return this[DATA.verdicts[index].replace(" ", "-")];
  }
}

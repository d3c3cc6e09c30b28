// Sound: parts of the recording one after the other, clicks between them, all on one clock.

const AHEAD_S = 2.5; // parts and clicks are scheduled so far ahead
const PUMP_MS = 120;
const KEPT_PARTS = 6;
const START_DELAY_S = 0.08;

/** Decodes parts when they are needed and forgets those that are not. */
class PartStore {
  constructor(audio) {
    this.audio = audio;
    this.buffers = new Map(); // number of the part → promise of its buffer
    this.ready = new Map(); // number of the part → buffer
  }

  load(index) {
    if (!this.buffers.has(index)) {
      // An offline context decodes before anybody has touched the page; the rate of the parts is
      // its own, so that nothing is resampled.
      this.decoder ??= new OfflineAudioContext({ length: 1, sampleRate: this.audio.sample_rate_hz });
      const bytes = bytesOf(`audio-${index}`);
      const promise = this.decoder.decodeAudioData(bytes.buffer).then((buffer) => {
        this.ready.set(index, buffer);
        return buffer;
      });
      this.buffers.set(index, promise);
      for (const old of this.buffers.keys()) {
        if (this.buffers.size <= KEPT_PARTS) break;
        this.buffers.delete(old);
        this.ready.delete(old);
      }
    }
    return this.buffers.get(index);
  }

  /** Seconds of a part's buffer that lie before the part's own start. */
  leadOf(index) {
    return Math.min(this.audio.lead_samples, index * this.audio.part_samples) / this.audio.sample_rate_hz;
  }
}

class Player {
  constructor(audio, duration) {
    this.audio = audio;
    this.duration = duration;
    this.parts = audio ? new PartStore(audio) : null;
    this.rate = 1;
    this.balance = 0.5;
    this.playing = false;
    this.resting = 0; // position while nothing plays
    this.generation = 0;
    this.clicks = []; // {time, class, pan}, sorted by time
    this.nodes = new Set();
    this.restAt = null; // where to stand after an audition; null while playing on
    this.starting = false; // asked to play, but the first part is still being decoded
    this.onchange = () => {};
    this.onfailure = () => {};
  }

  context() {
    if (!this.audioContext) {
      const options = { latencyHint: "interactive" };
      if (this.audio) options.sampleRate = this.audio.sample_rate_hz;
      const context = new AudioContext(options);
      this.audioContext = context;
      this.musicGain = new GainNode(context);
      this.clickGain = new GainNode(context);
      this.musicGain.connect(context.destination);
      this.clickGain.connect(context.destination);
      this.clickBuffers = DATA.classes.map((own) => renderClick(context, own.click_hz));
      this.applyBalance();
    }
    return this.audioContext;
  }

  applyBalance() {
    if (!this.audioContext) return;
    this.musicGain.gain.value = 0.8 * Math.min(1, 2 - 2 * this.balance);
    this.clickGain.gain.value = 0.6 * Math.min(1, 2 * this.balance);
  }

  /** What is heard now, in seconds of the recording. */
  get position() {
    if (!this.playing) return this.resting;
    const now = this.audioContext.currentTime - (this.audioContext.outputLatency || 0);
    const time = this.anchorTime + (now - this.anchorClock) * this.rate;
    return clamp(time, this.anchorTime, this.duration);
  }

  seek(time) {
    // A stretch that was only auditioned does not go on elsewhere.
    const goesOn = (this.playing || this.starting) && this.restAt === null && time < this.duration;
    this.stop();
    this.resting = clamp(time, 0, this.duration);
    if (goesOn) this.play();
    this.onchange();
  }

  toggle() {
    if (this.playing || this.starting) this.pause();
    else this.play();
  }

  pause() {
    const time = this.position;
    this.stop();
    this.resting = time;
    this.onchange();
  }

  /** Play a short stretch around a time, then stand on it. */
  audition(time) {
    this.stop();
    this.resting = clamp(time - 0.3, 0, this.duration);
    this.play(Math.min(time + 0.7, this.duration), time);
  }

  async play(until = this.duration, restAt = null) {
    if (this.resting >= this.duration - 1e-3) this.resting = 0;
    const generation = ++this.generation;
    const context = this.context();
    this.starting = true;
    [this.until, this.restAt] = [until, restAt];
    try {
      await context.resume();
      if (this.parts) await this.parts.load(this.partAt(this.resting));
    } catch (error) {
      this.onfailure(`This browser cannot play the embedded sound (${error.message || error}).`);
      return;
    }
    if (generation !== this.generation) return;
    // On whole samples, so that parts join without being interpolated.
    const snap = (value) => Math.round(value * context.sampleRate) / context.sampleRate;
    this.anchorTime = snap(this.resting);
    this.anchorClock = snap(context.currentTime + START_DELAY_S);
    this.nextPart = this.partAt(this.anchorTime);
    this.nextClick = lowerBound(this.clickTimes(), this.anchorTime);
    this.starting = false;
    this.playing = true;
    this.pump();
    this.timer = setInterval(() => this.pump(), PUMP_MS);
    this.onchange();
  }

  stop() {
    this.generation++;
    clearInterval(this.timer);
    this.playing = false;
    this.starting = false;
    for (const node of this.nodes) {
      node.stop();
      node.disconnect();
    }
    this.nodes.clear();
  }

  setRate(rate) {
    const time = this.position;
    this.rate = rate;
    if (this.playing) this.seek(time);
  }

  setClicks(clicks) {
    this.clicks = clicks;
    this.times = null;
    if (this.playing) this.seek(this.position);
  }

  clickTimes() {
    this.times ??= this.clicks.map((click) => click.time);
    return this.times;
  }

  partAt(time) {
    if (!this.audio) return 0;
    const sample = Math.floor(time * this.audio.sample_rate_hz + 1e-6);
    return clamp(Math.floor(sample / this.audio.part_samples), 0, this.audio.n_parts - 1);
  }

  clockOf(time) {
    return this.anchorClock + (time - this.anchorTime) / this.rate;
  }

  /** Schedule what begins soon; called again and again while playing. */
  pump() {
    if (!this.playing) return;
    const generation = this.generation;
    if (this.position >= this.until) {
      const rest = this.restAt ?? (this.until >= this.duration ? this.duration : this.until);
      this.stop();
      this.resting = rest;
      this.onchange();
      return;
    }
    const horizon = this.audioContext.currentTime + AHEAD_S;
    while (this.audio && this.nextPart < this.audio.n_parts && this.partClock(this.nextPart) < horizon) {
      const buffer = this.parts.ready.get(this.nextPart);
      if (!buffer) {
        this.parts.load(this.nextPart).then(
          () => generation === this.generation && this.pump(),
          (error) => this.onfailure(`A part of the sound cannot be decoded (${error.message || error}).`),
        );
        break;
      }
      this.schedulePart(this.nextPart++, buffer);
    }
    while (this.nextClick < this.clicks.length) {
      const click = this.clicks[this.nextClick];
      if (click.time >= this.until || this.clockOf(click.time) >= horizon) break;
      this.scheduleClick(click);
      this.nextClick++;
    }
  }

  partClock(index) {
    const { part_samples: n, sample_rate_hz: rate } = this.audio;
    return this.clockOf(Math.max((index * n) / rate, this.anchorTime));
  }

  schedulePart(index, buffer) {
    const { part_samples: n, sample_rate_hz: rate, n_samples: total } = this.audio;
    let from = Math.max((index * n) / rate, this.anchorTime);
    const to = Math.min(((index + 1) * n) / rate, total / rate, this.until);
    const late = this.audioContext.currentTime - this.clockOf(from);
    if (late > 0) from += late * this.rate;
    if (to <= from) return;
    const offset = from - (index * n) / rate + this.parts.leadOf(index);
    this.startNode(buffer, this.musicGain, this.clockOf(from), offset, to - from, this.rate);
  }

  scheduleClick(click) {
    const when = this.clockOf(click.time);
    if (when < this.audioContext.currentTime) return;
    let target = this.clickGain;
    if (click.pan) {
      target = new StereoPannerNode(this.audioContext, { pan: click.pan });
      target.connect(this.clickGain);
    }
    this.startNode(this.clickBuffers[click.class], target, when, 0, DATA.click.length_s, 1);
  }

  startNode(buffer, target, when, offset, duration, rate) {
    const node = new AudioBufferSourceNode(this.audioContext, { buffer, playbackRate: rate });
    node.connect(target);
    node.start(when, offset, duration);
    node.onended = () => {
      node.disconnect();
      this.nodes.delete(node);
    };
    this.nodes.add(node);
  }

  /** Samples of the recording, decoded; for drawing and for tests. */
  async samples(start, count) {
    const result = new Float32Array(count);
    const { part_samples: n, sample_rate_hz: rate, n_parts: parts } = this.audio;
    for (let index = Math.floor(start / n); index < parts && index * n < start + count; index++) {
      const buffer = await this.parts.load(index);
      const lead = Math.round(this.parts.leadOf(index) * rate);
      const first = Math.max(start, index * n);
      const last = Math.min(start + count, (index + 1) * n, this.audio.n_samples);
      const channel = buffer.getChannelData(0);
      result.set(channel.subarray(first - index * n + lead, last - index * n + lead), first - start);
    }
    return result;
  }
}

/** A decaying cosine that starts at its peak: the same click as in a sonification. */
function renderClick(context, pitch) {
  const rate = context.sampleRate;
  const n = Math.max(1, Math.round(DATA.click.length_s * rate));
  const buffer = new AudioBuffer({ length: n, numberOfChannels: 1, sampleRate: rate });
  const samples = buffer.getChannelData(0);
  const hz = Math.min(pitch, rate / 3);
  for (let i = 0; i < n; i++) {
    samples[i] = Math.cos((2 * Math.PI * hz * i) / rate) * Math.exp(-i / rate / DATA.click.decay_s);
  }
  return buffer;
}

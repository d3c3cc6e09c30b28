"""Recording: what microphone, medium and converter add to a mix.

Conventions
-----------
- The order is noise, bandwidth, level, codec; none of them moves an onset. A codec at a low rate
  may smear a hit some milliseconds ahead, as codecs do; the label stays at the hit.
- A level above 0 dB is clipped at full scale, as a converter does.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import soundfile as sf

from softloc.rendering.filters import Audio, highpass, lowpass
from softloc.rendering.kits import SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Medium:
    """A recording medium as drawn.

    Attributes
    ----------
    seed : int
        Of the noise.
    noise_db : float
        Level (RMS) of the noise re the peak of the mix.
    noise_colour_hz : float
        Corner of the noise's low-pass: hiss or rumble.
    hum_hz : float
        Mains frequency; 0 for none.
    lowest_hz, highest_hz : float or None
        Limits of the bandwidth.
    peak_db : float
        Peak of the recording, dBFS; above 0 it clips.
    codec : str or None
        ``OGG`` or ``MP3``: the recording has been through it.
    codec_loss : float
        0 (best) to 0.7.
    """

    seed: int
    noise_db: float
    noise_colour_hz: float
    hum_hz: float
    lowest_hz: float | None
    highest_hz: float | None
    peak_db: float
    codec: str | None
    codec_loss: float


def draw_medium(rng: np.random.Generator) -> Medium:
    """Draw a medium: mostly a clean one, at times hiss, hum, a narrow band, faint or clipped."""
    narrow = rng.random(2)
    level = rng.random()
    if level < 0.68:
        peak_db = rng.uniform(-12.0, -0.2)
    elif level < 0.88:
        peak_db = rng.uniform(-42.0, -12.0)
    else:
        peak_db = rng.uniform(0.0, 9.0)
    noisy = rng.random() < 0.25
    return Medium(
        seed=int(rng.integers(2**32)),
        noise_db=float(rng.uniform(-62.0, -36.0) if noisy else rng.uniform(-96.0, -62.0)),
        noise_colour_hz=float(200.0 * 100 ** rng.random()),
        hum_hz=float(rng.choice([0.0, 0.0, 0.0, 50.0, 60.0])),
        lowest_hz=float(rng.uniform(30.0, 220.0)) if narrow[0] < 0.25 else None,
        highest_hz=float(rng.uniform(4_500.0, 16_000.0)) if narrow[1] < 0.3 else None,
        peak_db=float(peak_db),
        codec=(None, "OGG", "MP3")[rng.choice(3, p=[0.84, 0.08, 0.08])],
        codec_loss=float(rng.uniform(0.1, 0.7)),
    )


def background(medium: Medium, n_samples: int) -> Audio:
    """Noise and hum of a medium re a peak of 1, shape (n_samples,)."""
    rng = np.random.default_rng(medium.seed)
    white = rng.standard_normal(n_samples, dtype=np.float32)
    noise = lowpass(white, min(medium.noise_colour_hz, 20_000.0), 1)
    noise *= np.float32(10 ** (medium.noise_db / 20)) / (np.std(noise) + np.float32(1e-9))
    if medium.hum_hz:
        time_s = np.arange(n_samples, dtype=np.float32) / SAMPLE_RATE_HZ
        for harmonic, share in ((1, 1.0), (2, 0.5), (3, 0.6), (5, 0.3)):
            cycles = np.float32(medium.hum_hz * harmonic) * time_s + np.float32(rng.random())
            strength = np.float32(10 ** (medium.noise_db / 20) * share)
            noise += strength * np.sin(np.float32(2 * np.pi) * cycles)
    return noise


def limit_bandwidth(audio: Audio, medium: Medium) -> Audio:
    """Cut what the medium does not carry; minimum phase, shape (n_samples,) in and out."""
    if medium.lowest_hz is not None:
        audio = highpass(audio, medium.lowest_hz, 2)
    if medium.highest_hz is not None:
        audio = lowpass(audio, medium.highest_hz, 4)
    return audio


def pass_codec(audio: Audio, medium: Medium) -> Audio:
    """Encode and decode with the medium's codec, if it has one; shape (n_samples,) in and out."""
    if medium.codec is None:
        return audio
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}[medium.codec]
    packed = io.BytesIO()
    with sf.SoundFile(
        packed, "w", SAMPLE_RATE_HZ, 1, subtype, format=medium.codec,
        compression_level=medium.codec_loss,
    ) as file:  # fmt: skip
        # In blocks: the Vorbis encoder takes a long signal at once for more than its stack holds.
        for start in range(0, len(audio), SAMPLE_RATE_HZ):
            file.write(audio[start : start + SAMPLE_RATE_HZ])
    packed.seek(0)
    decoded = np.asarray(sf.read(packed, dtype="float32")[0], dtype=np.float32)
    result = np.zeros(len(audio), dtype=np.float32)
    result[: len(decoded)] = decoded[: len(audio)]
    return np.clip(result, -1.0, 1.0, out=result)


def set_level(audio: Audio, peak_db: float) -> Audio:
    """Bring the peak to a level in dBFS and clip at full scale."""
    peak = float(np.max(np.abs(audio), initial=0.0))
    if peak == 0.0:
        return audio
    scaled = audio * np.float32(10 ** (peak_db / 20) / peak)
    return np.clip(scaled, -1.0, 1.0, out=scaled)


def record(audio: Audio, noise: Audio, medium: Medium) -> Audio:
    """Add the medium's noise, limit its band, set its level, pass its codec."""
    limited = limit_bandwidth(audio + noise, medium)
    return pass_codec(set_level(limited, medium.peak_db), medium)

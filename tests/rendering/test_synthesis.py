from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from benchmarks.drums import render, synthesise
from softloc.errors import AnnotationError, SettingsError
from softloc.rendering.drumset import DrumSetSettings, draw_drumset
from softloc.rendering.grooves import load_grooves
from softloc.rendering.kits import decode, find_onset, load_pack, merge_packs
from softloc.rendering.mixing import SampleBank
from softloc.rendering.partials import ring
from softloc.rendering.performance import PerformanceSettings
from softloc.rendering.scene import SceneSettings, render_scene
from softloc.rendering.synthesis import ACOUSTIC, ELECTRONIC, PEAK
from softloc.rendering.synthesis import synthesise as strike

RECIPES = [(name, False) for name in ACOUSTIC] + [(name, True) for name in ELECTRONIC]
SHORT = SceneSettings(
    performance=PerformanceSettings(duration_range_s=(3.0, 5.0), section_range_s=(1.0, 3.0))
)


def generator(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def centroid_hz(audio: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(audio[:8192], 8192)) ** 2
    return float(np.sum(power * np.fft.rfftfreq(8192, 1 / 44_100)) / power.sum())


def decay_ms(audio: np.ndarray) -> float:
    """Time after which 99 % of the energy have passed."""
    energy = np.cumsum(audio.astype(np.float64) ** 2)
    return float(np.searchsorted(energy, 0.99 * energy[-1]) / 44.1)


@pytest.fixture(scope="session")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    synthesise.write_pack(folder, 3, 7)
    return folder


@pytest.mark.parametrize(("articulation", "electronic"), RECIPES)
def test_every_hit_starts_at_its_onset_and_is_clean(articulation, electronic):
    for seed in range(4):
        rng = generator(seed)
        audio = strike(articulation, rng, (1 + seed % 3) / 3, electronic=electronic)
        assert audio.dtype == np.float32
        assert np.all(np.isfinite(audio))
        assert find_onset(audio) == 0
        assert np.abs(audio).max() == pytest.approx(PEAK, abs=1e-4)
        assert np.argmax(np.abs(audio) > 0.25 * PEAK) < 0.020 * 44_100
        assert abs(audio.mean()) < 0.002
        assert 0.005 < len(audio) / 44_100 <= 3.0
        assert abs(audio[-1]) < 1e-3


@pytest.mark.parametrize(("articulation", "electronic"), RECIPES)
def test_equal_seeds_are_one_hit_and_others_are_not(articulation, electronic):
    def one(rng, instrument):
        return strike(articulation, rng, 0.7, instrument=instrument, electronic=electronic)

    np.testing.assert_array_equal(one(generator(1), 5), one(generator(1), 5))
    assert not np.array_equal(one(generator(1), 5), one(generator(1), 6))
    if not electronic:
        assert not np.array_equal(one(generator(1), 5), one(generator(2), 5))


@pytest.mark.parametrize("articulation", ["kick", "snare", "closed", "open", "tom_mid", "crash"])
def test_takes_of_an_instrument_are_nearer_than_other_instruments(articulation):
    def spectrum(take, instrument):
        audio = strike(articulation, generator(take), instrument=instrument, electronic=False)
        power = np.abs(np.fft.rfft(audio[:8192], 8192)[1:]) ** 2
        bands = np.add.reduceat(power, np.unique(np.geomspace(1, 4000, 24).astype(int)))
        return np.log(bands / bands.sum() + 1e-6)

    takes = [np.abs(spectrum(1, n) - spectrum(2, n)).mean() for n in range(6)]
    others = [np.abs(spectrum(1, n) - spectrum(1, n + 1)).mean() for n in range(6)]
    assert np.mean(takes) < 0.6 * np.mean(others)


@pytest.mark.parametrize("electronic", [False, True])
def test_a_hat_rings_as_long_as_its_articulation_says(electronic):
    names = ("closed", "half_open", "open")
    decays = {
        name: np.median(
            [
                decay_ms(strike(name, generator(n), instrument=n, electronic=electronic))
                for n in range(14)
            ]
        )
        for name in names
    }
    assert decays["closed"] < 0.7 * decays["half_open"] < 0.6 * decays["open"]


def test_the_toms_of_one_set_descend():
    pitches = [
        np.median([centroid_hz(strike(name, generator(n), instrument=n)) for n in range(20)])
        for name in ("tom_hi", "tom_mid", "tom_lo")
    ]
    assert pitches == sorted(pitches, reverse=True)


@pytest.mark.parametrize("articulation", ["kick", "snare", "closed", "tom_lo", "crash", "ride"])
def test_softer_strokes_are_duller(articulation):
    ratios = [
        centroid_hz(strike(articulation, generator(n), 0.3, instrument=n, electronic=False))
        / centroid_hz(strike(articulation, generator(n), 1.0, instrument=n, electronic=False))
        for n in range(9)
    ]
    assert np.median(ratios) < 0.95


def test_modes_are_what_their_formula_says():
    rng = generator(3)
    count = 40
    frequencies_hz, decays_s = rng.uniform(50, 19_000, count), rng.uniform(0.002, 0.3, count)
    amplitudes, phases = rng.normal(size=count), rng.uniform(0, 6, count)
    audio = ring(frequencies_hz, decays_s, amplitudes, phases)
    time_s = np.arange(len(audio))[:, None] / 44_100
    slow = amplitudes * np.exp(-time_s / decays_s)
    slow = np.sum(slow * np.sin(2 * np.pi * frequencies_hz * time_s + phases), axis=1)
    np.testing.assert_allclose(audio, slow, atol=1e-3)


def test_bad_requests_are_explained():
    with pytest.raises(SettingsError, match="no recipe for articulation 'gong': choose one of ki"):
        strike("gong", generator(0))
    with pytest.raises(SettingsError, match="no recipe for articulation 'brush'"):
        strike("brush", generator(0), electronic=True)
    with pytest.raises(SettingsError, match="velocity must be above 0"):
        strike("kick", generator(0), 0.0)


def test_a_pack_reads_as_any_other(pack):
    drums = load_pack(pack).select("train", ("A",)).drums
    assert drums == load_pack(pack).drums
    assert {drum.kit for drum in drums} == {"synth_0000", "synth_0001", "synth_0002"}
    assert {drum.kit for drum in drums if drum.is_electronic} == {"synth_0002"}
    assert {drum.articulation for drum in drums} >= set(ACOUSTIC) - {
        *("clap", "cowbell", "shaker", "tambourine", "splash", "china")
    }
    for drum in drums:
        assert len(drum.samples) == (6 if drum.articulation in synthesise.MAIN else 3)
        layers = {sample.velocity_lo: sample.source_peak_db for sample in drum.samples}
        assert list(layers.values()) == sorted(layers.values())
        for sample in drum.samples:
            assert find_onset(decode(sample)) == synthesise.ONSET
            assert sample.licence == "CC0-1.0"


def test_a_kit_depends_on_the_seed_and_its_number_alone(pack, tmp_path):
    synthesise.write_pack(tmp_path / "same", 2, 7, jobs=2)
    synthesise.write_pack(tmp_path / "other", 1, 8)

    def contents(folder):
        return {path.name: path.read_bytes() for path in (folder / "synth_0000").iterdir()}

    assert contents(tmp_path / "same") == contents(pack)
    assert contents(tmp_path / "other") != contents(pack)
    assert synthesise.main(["--kits", "0", "-o", str(tmp_path / "d")]) == 1


def test_synthetic_kits_render_a_scene(pack, grooves):
    index = [groove for groove in load_grooves(grooves) if groove.split == "train"]
    scene = render_scene(generator(4), load_pack(pack), index, SHORT, SampleBank())
    assert len(scene.onsets) > 3
    assert {sample.author for sample in scene.samples} == {"softloc"}


def test_packs_are_merged_unless_they_share_a_kit(pack, kits):
    one, two = load_pack(kits), load_pack(pack)
    assert merge_packs([one, two]).drums == one.drums + two.drums
    with pytest.raises(SettingsError, match="two kit packs have a kit named synth_0000"):
        merge_packs([two, one, two])


def test_all_synthetic_kits_count_as_six_families(pack, kits):
    merged = merge_packs([load_pack(kits), load_pack(pack)]).select("train", ("A", "B"))
    settings = DrumSetSettings(electronic_share=0.0, blend_share=0.0)
    families = [
        draw_drumset(generator(n), merged, settings).voices["kick"].drum.family for n in range(200)
    ]
    # Two real families and two synthetic acoustic ones count alike, the machine an eighth.
    share = np.mean([family.startswith("synth") for family in families])
    assert share == pytest.approx((2 + 1 / 8) / (4 + 1 / 8), abs=0.1)


def test_a_corpus_takes_synthetic_kits(tmp_path, kits, grooves, monkeypatch, capsys):
    monkeypatch.setattr(render, "SceneSettings", lambda: SHORT)
    packs = ["--kits", str(kits), "--grooves", str(grooves)]

    def command(folder, *options):
        return render.main(["--minutes", "0.2", "-o", str(folder), *packs, *options])

    assert command(tmp_path / "a", "--synthetic-kits", "1") == 0
    manifest = json.loads((tmp_path / "a/manifest.json").read_text())
    assert {"softloc", "nobody"} == {kit["author"] for kit in manifest["kits"]}
    (made,) = (tmp_path / "a/kits").iterdir()
    with (made / "manifest.csv").open(encoding="utf-8", newline="") as file:
        assert {row["kit"] for row in csv.DictReader(file)} == {"synth_0000"}
    # The same again is complete; other kits are another corpus.
    before = (made / "manifest.csv").stat().st_mtime_ns
    assert command(tmp_path / "a", "--synthetic-kits", "1") == 0
    assert (made / "manifest.csv").stat().st_mtime_ns == before
    assert command(tmp_path / "a") == 1
    assert "other settings or kits" in capsys.readouterr().err
    # A pack that lies elsewhere is given by name, and makes the very same corpus.
    assert command(tmp_path / "b", "--kits", str(made)) == 0
    assert (tmp_path / "b/labels.csv").read_bytes() == (tmp_path / "a/labels.csv").read_bytes()
    assert command(tmp_path / "c", "--synthetic-kits", "1", "--split", "test") == 1
    assert "split train only" in capsys.readouterr().err


def test_an_unfinished_pack_is_no_pack(tmp_path):
    (tmp_path / "synth_0000").mkdir()
    with pytest.raises(AnnotationError, match=r"cannot read .*manifest\.csv"):
        load_pack(tmp_path)

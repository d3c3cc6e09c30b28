"""The table of formats: what it says is what they do."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.errors import SettingsError
from softloc.events import Onset, sort_onsets
from softloc.formats import (
    FIELDS,
    FORMATS,
    SUFFIXES,
    WRITABLE,
    Provenance,
    format_named,
    format_of_path,
    formats_table,
    lost_fields,
    read_onsets,
    write_onsets,
)

RATE_HZ = 44_100.0
KNOWN = Provenance(sample_rate_hz=RATE_HZ, duration_s=4_000.0)
#: The loss that is stated for users, seconds.
STATED_S = {
    "midi": 0.27e-3, "csv": 0.5e-6, "tsv": 0.5e-6, "onsets": 0.5e-6, "audacity": 0.5e-6,
    "json": 0.0, "jams": 0.0, "svl": 0.5 / RATE_HZ,
}  # fmt: skip

ONSETS = st.lists(
    st.builds(
        Onset,
        st.floats(0, 3600),
        st.sampled_from(["KD", "SD", "HH", "OH", "TT", "CY", "RD", "BE", "CL", "ON"]),
        midi_note=st.none(),
        velocity=st.none() | st.integers(1, 127),
        confidence=st.none() | st.integers(0, 10**6).map(lambda n: n / 1e6),
        time_std_s=st.none() | st.integers(0, 10**6).map(lambda n: n / 1e6),
        annotator=st.none() | st.sampled_from(["ann", "bob"]),
        softness_ms=st.none() | st.integers(0, 500).map(float),
    ),
    min_size=1,
    max_size=12,
)


def test_the_stated_losses_are_those_of_the_registry() -> None:
    assert set(STATED_S) == set(WRITABLE)
    for name, stated_s in STATED_S.items():
        step_s = FORMATS[name].time_step_s
        half_s = 0.5 / RATE_HZ if step_s is None else step_s / 2
        assert half_s <= stated_s <= half_s * 1.05


@pytest.mark.parametrize("name", WRITABLE)
@given(onsets=ONSETS)
def test_each_format_keeps_what_it_says_and_says_what_it_loses(
    name: str, onsets: list[Onset], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp(name) / f"a{FORMATS[name].suffix}"
    # The form of text is not told by its suffix alone.
    form = name if name in ("onsets", "audacity") else None
    write_onsets(path, onsets, format=name, provenance=KNOWN)
    read = read_onsets(path, format=form)
    assert len(read) == len(onsets)
    slack_s = 1e-9
    for before, after in zip(
        sorted(onset.time_s for onset in onsets),
        sorted(onset.time_s for onset in read),
        strict=True,
    ):
        assert abs(before - after) <= STATED_S[name] + slack_s
    # Equal but for the times, and for what the registry says is not kept.
    holds = FORMATS[name].holds
    kept = [field for field in FIELDS if field in holds and field not in ("midi_note", "velocity")]
    key = lambda onset: tuple(str(getattr(onset, field)) for field in kept)  # noqa: E731
    assert sorted(map(key, read)) == sorted(map(key, onsets))
    if "velocity" in holds:
        # MIDI has no unknown velocity: 100 stands for it.
        default = 100 if name == "midi" else None
        assert sorted(str(onset.velocity) for onset in read) == sorted(
            str(onset.velocity or default) for onset in onsets
        )
    lost = lost_fields(onsets, name)
    assert set(lost).isdisjoint(holds)
    for field in set(FIELDS) - holds - {"label", "midi_note"}:
        n_had = sum(getattr(onset, field) is not None for onset in onsets)
        assert lost.get(field, 0) == n_had
        assert all(getattr(onset, field) is None for onset in read)


@pytest.mark.parametrize("name", WRITABLE)
@given(onsets=ONSETS)
def test_the_second_round_changes_nothing(
    name: str, onsets: list[Onset], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp(name)
    form = name if name in ("onsets", "audacity") else None
    rounds = []
    for number in range(3):
        path = folder / f"{number}{FORMATS[name].suffix}"
        write_onsets(path, rounds[-1] if rounds else onsets, format=name, provenance=KNOWN)
        rounds.append(read_onsets(path, format=form))
    assert rounds[1] == rounds[2]
    assert path.read_bytes() == (folder / f"1{FORMATS[name].suffix}").read_bytes()


def test_lost_fields() -> None:
    onsets = [
        Onset(0.5, "KD", midi_note=36, velocity=90, confidence=0.5, annotator="ann"),
        Onset(0.6, "TT", midi_note=50, confidence=0.5, time_std_s=0.01, softness_ms=30.0),
        Onset(0.7, "ON"),
    ]
    assert lost_fields(onsets, "csv") == lost_fields(onsets, "json") == {}
    assert lost_fields(onsets, "mid") == {
        "confidence": 2, "time_std_s": 1, "annotator": 1, "softness_ms": 1,
    }  # fmt: skip
    # The note of KD is implied by the class, that of the high tom is not.
    assert lost_fields(onsets, "svl") == {
        "midi_note": 1, "velocity": 1, "confidence": 2, "time_std_s": 1, "annotator": 1,
        "softness_ms": 1,
    }  # fmt: skip
    # JAMS has a note for each class, which is lost only where a class has several.
    assert lost_fields(onsets, "jams") == {"velocity": 1, "time_std_s": 1, "softness_ms": 1}
    toms = [Onset(0.1 * note, "TT", midi_note=note) for note in (41, 45, 45, 50)]
    assert lost_fields(toms, "jams") == {"midi_note": 2}
    assert lost_fields(onsets, "onsets")["label"] == 2
    assert lost_fields([], "onsets") == {}


def test_fields_are_those_of_an_event() -> None:
    assert ["time_s", *FIELDS] == [field.name for field in fields(Onset)]


def test_names_and_suffixes() -> None:
    assert len(SUFFIXES) == len(set(SUFFIXES))
    assert format_named("mid").name == "midi"
    with pytest.raises(SettingsError, match="unknown format 'jsom': did you mean 'json'"):
        format_named("jsom")
    for name in WRITABLE:
        for suffix in FORMATS[name].suffixes:
            assert format_of_path(Path(f"a{suffix.upper()}")) == name
    assert format_of_path(Path("a.xml")) is None


def test_what_is_only_read_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"idmt is only read, not written: choose midi, csv"):
        write_onsets(tmp_path / "a.xml", [], format="idmt")
    with pytest.raises(SettingsError, match=r"suffix '.xml' chooses no format"):
        write_onsets(tmp_path / "a.xml", [])


def test_a_path_may_be_text(tmp_path: Path) -> None:
    write_onsets(f"{tmp_path}/a.tsv", [Onset(0.5, "KD")])  # type: ignore[arg-type]
    assert read_onsets(f"{tmp_path}/a.tsv") == [Onset(0.5, "KD")]  # type: ignore[arg-type]


def test_table_has_a_row_for_each_format() -> None:
    rows = formats_table().splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == list(FORMATS)
    assert len({row.count("|") for row in rows}) == 1
    midi = rows[2]
    assert "0.26 ms" in midi
    assert ".mid .midi" in midi


def test_sorted_whatever_the_order(tmp_path: Path) -> None:
    onsets = [Onset(1.0, "SD"), Onset(0.5, "KD"), Onset(1.0, "KD")]
    for name in ("json", "jams", "svl"):
        write_onsets(tmp_path / f"a.{name}", onsets, provenance=KNOWN)
        read = [replace(onset, midi_note=None) for onset in read_onsets(tmp_path / f"a.{name}")]
        assert read == sort_onsets(onsets)

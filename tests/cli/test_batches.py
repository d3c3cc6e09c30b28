"""Batches are settled before work: which recordings, which results, what is refused."""

from __future__ import annotations

import io
import itertools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.errors import SettingsError
from softloc.formats import FORMATS
from softloc_cli import batches
from softloc_cli.batches import Batch, Existing, Shard, parse_shard
from softloc_cli.inputs import STANDARD_STREAM, Item, find_items, find_listed, is_alone
from softloc_cli.outputs import (
    WRITABLE,
    Naming,
    choose_naming,
    parse_formats,
    parse_pattern,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def found(*names: str, recursive: bool = False) -> list[tuple[str, str]]:
    items = find_items(names, recursive=recursive)
    return [(item.source.as_posix(), item.folder.as_posix()) for item in items]


def listed(content: bytes) -> list[tuple[str, str]]:
    items = find_listed(io.BytesIO(content), recursive=False)
    return [(os.fspath(item.source), item.folder.as_posix()) for item in items]


def targets(naming: Naming, source: str, folder: str = ".") -> list[str]:
    job = naming.job(Item(Path(source), Path(folder)))
    return [target.path.as_posix() for target in job.targets]


def named(
    output: str | None = None,
    formats: str | None = None,
    pattern: str | None = None,
    classes: tuple[str, ...] = (),
    *,
    alone: bool = False,
) -> Naming:
    checked = None if pattern is None else parse_pattern(pattern)
    return choose_naming(output, parse_formats(formats), checked, classes, alone=alone)


# Inputs


def test_folders_in_order_without_what_is_hidden_or_no_recording(here: Path) -> None:
    make("in/b.wav", "in/a.FLAC", "in/c.txt", "in/.d.wav", "in/s/e.wav", "in/.h/f.wav")
    assert found("in") == [("in/a.FLAC", "."), ("in/b.wav", ".")]
    assert found("in", recursive=True)[2:] == [("in/s/e.wav", "s")]


def test_a_folder_that_leads_to_itself_ends(here: Path) -> None:
    make("in/a.wav")
    Path("in/again").symlink_to(here / "in", target_is_directory=True)
    assert found("in", recursive=True) == [("in/a.wav", ".")]


def test_links_that_lead_nowhere_leave_the_others(here: Path) -> None:
    make("in/a.wav")
    Path("in/loop.wav").symlink_to("loop.wav")
    Path("in/lost.wav").symlink_to("gone.wav")
    Path("in/link.wav").symlink_to("a.wav")
    assert found("in") == [("in/a.wav", "."), ("in/link.wav", ".")]


def test_patterns_keep_folders_below_their_fixed_part(here: Path) -> None:
    make("in/x/1.wav", "in/x/y/2.wav", "in/3.wav", "in/.4.wav")
    assert found("in/*.wav") == [("in/3.wav", ".")]
    assert sorted(found("in/**/*.wav")) == [
        ("in/3.wav", "."), ("in/x/1.wav", "x"), ("in/x/y/2.wav", "x/y"),
    ]  # fmt: skip
    assert found("in/?/[0-9].wav") == [("in/x/1.wav", "x")]
    assert sorted(found(f"{here}/in/**/2*"))[0][1] == "x/y"


def test_a_literal_name_goes_before_a_pattern(here: Path) -> None:
    make("take [1].wav", "take 1.wav")
    assert found("take [1].wav") == [("take [1].wav", ".")]
    assert is_alone(["take [1].wav"])
    assert not is_alone(["take [12].wav"])
    assert found("take [12].wav") == [("take 1.wav", ".")]


def test_a_pattern_without_match_is_missing(here: Path) -> None:
    with pytest.raises(SettingsError, match=r"no such file or folder: none\*\.wav"):
        Batch(find_items(["none*.wav"], recursive=False), named())


@pytest.mark.parametrize(
    "content",
    [
        "a/1.wav\nb c/2.wav\n\n",
        "\ufeffa/1.wav\r\nb c/2.wav",
        "a/1.wav\0b c/2.wav\0",
    ],
)
def test_lists(here: Path, content: str) -> None:
    assert listed(content.encode()) == [("a/1.wav", "a"), ("b c/2.wav", "b c")]


def test_lists_of_any_length_are_cut_right(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"folder {n % 7}/ä take {n}.wav" for n in range(300)]
    for size in (1, 2, 3, 5, 64, 4096):
        monkeypatch.setattr("softloc_cli.inputs._READ_BYTES", size)
        assert [name for name, _ in listed("\n".join(names).encode())] == names


def test_odd_names_in_lists(here: Path) -> None:
    make("x/a\nb.wav")
    assert listed(b"x/a\nb.wav\0") == [("x/a\nb.wav", "x")]
    assert listed(b"x\xff.wav\n") == [(os.fsdecode(b"x\xff.wav"), ".")]
    assert listed(b"-\n") == [(f"{here}/-", ".")], "a file, not standard input"
    assert listed(b"a*.wav\n") == [("a*.wav", ".")], "no pattern"
    absolute = f"{here}/s/a.wav".encode()
    assert listed(absolute + b"\n/else/where/b.wav\n../c.wav\n") == [
        (f"{here}/s/a.wav", "s"),
        ("/else/where/b.wav", "."),
        ("../c.wav", "."),
    ]


# Names of results


def test_every_format_has_a_name_beside_and_in_a_folder() -> None:
    for name in WRITABLE:
        suffix = FORMATS[name].suffix
        mark = "" if name == "midi" else ".softloc"
        assert targets(named(None, name), "in/song.v2.wav") == [f"in/song.v2{mark}{suffix}"]
        assert targets(named("out", name), "in/s/a.wav", "s") == [f"out/s/a{suffix}"]


def test_patterns_of_names() -> None:
    assert targets(named("o", "mid,csv", "{stem}_x.{ext}"), "a.wav", "s") == [
        "o/s/a_x.mid", "o/s/a_x.csv",
    ]  # fmt: skip
    by_class = named("o", None, "{class}/{stem}.{ext}", ("KD", "door/slam"))
    assert targets(by_class, "in/a.wav") == ["o/KD/a.mid", "o/door_slam/a.mid"]
    assert [t.label for t in by_class.job(Item(Path("a.wav"))).targets] == ["KD", "door/slam"]
    assert targets(named(None, None, "{stem}-drums.{ext}"), "in/a.wav") == ["in/a-drums.mid"]


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("{stme}.mid", "did you mean 'stem'"),
        ("{stem", "cannot be read"),
        ("{0}.mid", "unknown field"),
        ("{stem!r}.mid", "unknown field"),
        ("x.mid", "needs {stem}"),
        ("../{stem}.mid", "below the folder"),
        ("/{stem}.mid", "below the folder"),
        ("{stem}/", "below the folder"),
    ],
)
def test_bad_patterns_of_names(pattern: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match="--name") as caught:
        parse_pattern(pattern)
    assert sentence in str(caught.value)


def test_contradictions(here: Path) -> None:
    make("file")
    for arguments, alone, sentence in (
        (("x.mid",), False, "a / at its end"),
        (("-",), False, "not several"),
        (("file",), False, "need a folder"),
        (("x.mid", None, "{stem}.{ext}"), True, "both name the result"),
        ((None, "mid,csv", "{stem}.mid"), False, "needs {ext}"),
        ((None, None, "{stem}{class}.{ext}", ("a/b", "a:b")), True, "would be one file"),
    ):
        with pytest.raises(SettingsError) as caught:
            named(*arguments, alone=alone)
        assert sentence in str(caught.value)


# What is refused


def settle(*names: str | Path, output: str | None = None, **more: object) -> Batch:
    items = find_items(map(str, names), recursive=True)
    return Batch(items, named(output), **more)  # type: ignore[arg-type]


def test_every_missing_name_counts(here: Path) -> None:
    make("a.wav")
    with pytest.raises(SettingsError, match=r"no such file or folder: m0, m1, .*m19 and 10 more$"):
        settle("a.wav", *(f"m{n}" for n in range(30)))


def endless(names: Iterator[str]) -> Iterator[Item]:
    """Items that nobody may ask for without end."""
    for number, name in enumerate(names):
        assert number < 10_000, "the list is read on and on"
        yield Item(Path(name))


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (itertools.repeat("y"), r"no such file or folder: y \(of the first 1,000 names\)$"),
        (map(str, itertools.count()), r": 0, 1, .*19 and 980 more \(of the first 1,000 names\)$"),
        (itertools.repeat("a.wav"), r"a\.wav: is given twice$"),
        (itertools.cycle(("a.wav", "b.wav")), r"[ab]\.wav: is given twice$"),
    ],
)
def test_a_list_without_end_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, names: Iterator[str], sentence: str
) -> None:
    make("a.wav", "b.wav")
    monkeypatch.setattr(batches, "_FIRST_LOOK", 1_000)
    with pytest.raises(SettingsError, match=sentence):
        Batch(endless(names), named())


def test_a_list_that_is_looked_at_on_the_way_is_kept_whole(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_FIRST_LOOK", 2)
    monkeypatch.setattr(batches, "_hash", lambda text: 0)  # all names are suspects
    names = [f"{number}.wav" for number in range(9)]
    make(*names)
    with settle(*names) as batch:
        assert [job.source.name for job in batch.jobs()] == names


class EndlessFile(io.RawIOBase):
    """The same bytes again and again, for 64 MB."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.n_read = 0

    def read(self, size: int = -1) -> bytes:
        self.n_read += size
        assert self.n_read < 64 << 20, "the list is read on and on"
        return (self.content * size)[:size]


@pytest.mark.parametrize("content", [b"\0", b"\n", b"y", b" \n"])
def test_a_list_without_a_name_is_refused(content: bytes) -> None:
    with pytest.raises(SettingsError, match=r"the list goes on for .* one path a line"):
        list(find_listed(EndlessFile(content), recursive=False))  # type: ignore[arg-type]


def test_collisions_name_both_recordings(here: Path) -> None:
    make("s/a.wav", "s/a.flac", "t/a.wav")
    with pytest.raises(SettingsError, match=r"s/a\.flac and s/a\.wav would both .* to s/a\.mid"):
        settle("s")
    with pytest.raises(SettingsError, match=r"s/a\.wav and t/a\.wav would both .* out/a\.mid"):
        settle("s/a.wav", "t/a.wav", output="out")
    with pytest.raises(SettingsError, match=r"s/a\.wav: is given twice"):
        settle("s/a.wav", "s/../s/a.wav")
    Path("link").symlink_to("s", target_is_directory=True)
    with pytest.raises(SettingsError, match="is given twice"):
        settle("s/a.wav", "link/a.wav")


def test_no_recording_and_no_log_is_written_over(here: Path) -> None:
    make("a.wav", "b.wav")
    naming = Naming(("csv",), pattern="b.wav")
    with pytest.raises(SettingsError, match=r"b\.wav: is a recording"):
        Batch([Item(Path("a.wav")), Item(Path("b.wav"))], naming)
    with pytest.raises(SettingsError, match=r"a\.wav: is a recording"):
        settle("a.wav", reserved=[here / "a.wav"])
    with pytest.raises(SettingsError, match=r"the log and a\.wav would both be written"):
        settle("a.wav", reserved=[Path("a.mid")])


def test_existing_results_are_refused_unless_told(here: Path) -> None:
    make("a.wav", "b.wav", "a.mid", "b.mid")
    with pytest.raises(SettingsError, match=r"a\.mid, b\.mid; give --overwrite or --skip-existing"):
        settle("a.wav", "b.wav")
    for existing in (Existing.SKIP, Existing.REPLACE):
        with settle("a.wav", "b.wav", existing=existing) as batch:
            assert batch.n_jobs == 2
            jobs = list(batch.jobs())
        assert [job.source.name for job in jobs] == ["a.wav", "b.wav"]
        assert jobs[0].missing().targets == ()


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(SettingsError, match="names no recording"):
        Batch([], named())


FILES = [f"{f}/{s}{x}" for f in ("p", "q") for s in ("a", "b") for x in (".wav", ".flac", ".mid")]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in FILES:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    return root


@given(
    names=st.lists(st.sampled_from(FILES), min_size=1, max_size=6),
    output=st.sampled_from([None, "out", "p"]),
    formats=st.sampled_from(["mid", "csv", "mid,csv"]),
    pattern=st.sampled_from([None, "{stem}.{ext}", "{stem}.mid", "x/{stem}.wav"]),
    hash_bits=st.sampled_from([1, 3, 64]),
)
def test_refused_exactly_where_two_paths_agree(
    tree: Path,
    *,
    names: list[str],
    output: str | None,
    formats: str,
    pattern: str | None,
    hash_bits: int,
) -> None:
    """Against a literal check of all pairs; hashes that agree by accident change nothing."""
    folder = None if output is None else f"{tree}/{output}"
    naming = Naming(
        parse_formats(formats), folder=Path(folder) if folder else None, pattern=pattern
    )
    items = [Item(tree / name) for name in names]
    written = [target.path for item in items for target in naming.job(item).targets]
    sources = [item.source for item in items]
    counts = Counter(path.resolve() for path in (*written, *set(sources)))
    expected = max(counts.values()) > 1 or len(set(sources)) < len(sources)
    strong = batches._hash
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_hash", lambda text: strong(text) >> (64 - hash_bits))
        try:
            Batch(items, naming, Existing.REPLACE).__exit__(None, None, None)
        except SettingsError:
            assert expected
        else:
            assert not expected


def test_the_plan_goes_to_disk_and_comes_back(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_IN_MEMORY_BYTES", 100)
    names = [f"t{number}\n.wav" for number in range(500)]
    make(*names, "s/ü.wav", os.fsdecode(b"\xff.wav"))
    with settle("t*.wav", "s", *Path().glob("?.wav"), output="out") as batch:
        assert batch.n_jobs == 502
        for _ in range(2):
            sources = [job.source.name for job in batch.jobs()]
            assert sorted(sources) == sorted([*names, "ü.wav", os.fsdecode(b"\xff.wav")])


def test_standard_input_is_there_once() -> None:
    with pytest.raises(SettingsError, match="-: is given twice"):
        Batch([Item(STANDARD_STREAM)] * 2, named("out"))


# Shards


def test_shards_share_everything_and_nothing_twice() -> None:
    items = [Item(Path(f"/data/s{n % 5}/take {n}.wav"), Path(f"s{n % 5}")) for n in range(1_000)]
    parts = [[item for item in items if Shard(i, 4).holds(item)] for i in range(1, 5)]
    assert sum(map(len, parts)) == 1_000
    assert min(map(len, parts)) > 150
    for one, other in itertools.combinations(parts, 2):
        assert not {item.source for item in one} & {item.source for item in other}
    # The same wherever the corpus lies, and whatever else is there.
    moved = Item(Path("/mnt/s1/take 1.wav"), Path("s1"))
    assert [i for i in range(1, 5) if Shard(i, 4).holds(moved)] == [
        i for i, part in enumerate(parts, start=1) if items[1] in part
    ]


def test_a_shard_is_stable() -> None:
    """Results of an older version must not be made twice by a newer one."""
    held = [i for i in range(1, 101) if Shard(i, 100).holds(Item(Path("x/take.wav"), Path("s")))]
    assert held == [29]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4"])
def test_bad_shards(text: str) -> None:
    with pytest.raises(SettingsError, match="--shard"):
        parse_shard(text)

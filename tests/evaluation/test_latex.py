"""Tables for LaTeX: the shape, the escapes, what is undefined. See also the golden file."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.evaluation import BootstrapSettings, EvaluationSettings, bootstrap, evaluate, to_latex
from softloc.evaluation.latex import escape
from softloc.events import Onset

EVENTS = {"a": [Onset(1.0, "KD")], "b": [Onset(2.0, "KD")]}


def cells(text: str) -> list[list[str]]:
    """Cells of the header and of all rows."""
    rows = [line.removesuffix(r" \\") for line in text.splitlines() if line.endswith(r" \\")]
    return [re.split(r"(?<!\\)&", row) for row in rows]


@pytest.mark.parametrize("names", [["one"], ["one", "two", "three"]])
def test_all_rows_have_as_many_cells_as_there_are_columns(names: list[str]) -> None:
    evaluations = {name: evaluate(EVENTS, EVENTS) for name in names}
    text = to_latex(evaluations, bootstrap(list(evaluations.values())))
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)
    assert columns is not None
    rows = cells(text)
    assert {len(row) for row in rows} == {len(columns[1])}
    assert len(rows) == 1 + (5 + 4) * len(names)
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


def test_what_is_undefined_is_a_dash() -> None:
    evaluation = evaluate({"a": EVENTS["a"]}, {"a": []})
    kick, snare = cells(to_latex({"x": evaluation}, bootstrap([evaluation])))[1:3]
    assert [cell.strip() for cell in kick] == [
        "KD", "0.000", "0.000", "0.000", "--", *["0.000"] * 5, "--", "--",
    ]  # fmt: skip
    assert [cell.strip() for cell in snare] == ["SD", *["--"] * 11]


def test_level_is_in_the_header() -> None:
    evaluation = evaluate(EVENTS, EVENTS)
    text = to_latex({"x": evaluation}, bootstrap([evaluation], BootstrapSettings(level=0.9)))
    assert r"$F_{50}$ & 90\,\% & $F_{30}$" in text


def test_tolerances_are_in_the_header() -> None:
    evaluation = evaluate(EVENTS, EVENTS, EvaluationSettings(windows_s=(0.0125, 0.1)))
    text = to_latex({"x": evaluation}, bootstrap([evaluation]))
    assert r"$F_{12.5}$ & 95\,\% & $F_{100}$" in text


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("drum_kit & 50 %", r"drum\_kit \& 50 \%"),
        (r"C:\new", r"C:\textbackslash{}new"),
        ("[a]*", "{[}a]{*}"),
        ("$x^2$ #{1} ~", r"\$x\textasciicircum{}2\$ \#\{1\} \textasciitilde{}"),
        ("two\nlines", "two lines"),
        ("Hi-Hat é", "Hi-Hat é"),
    ],
)
def test_escapes(text: str, printed: str) -> None:
    assert escape(text) == printed


@given(st.text(st.characters(codec="ascii"), max_size=20))
def test_nothing_special_is_left_bare(text: str) -> None:
    commands = r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}"
    bare = re.sub(rf"{commands}|\\[&%$#_{{}}]|\{{[\[*]\}}", "", escape(text))
    assert not re.search(r"[\\&%$#_{}~^\[*<>|\n]", bare)


@given(st.text(max_size=20))
def test_notes_stay_comments(note: str) -> None:
    evaluation = evaluate(EVENTS, EVENTS)
    head, _, _ = to_latex({"x": evaluation}, bootstrap([evaluation]), [note]).partition(
        "\\begin{tabular}"
    )
    assert re.fullmatch(r"% [^\n\r]*\n", head)

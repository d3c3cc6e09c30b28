"""Tables as Markdown, and their places in a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table of Markdown; without rows, say that nothing was measured yet."""
    rows = list(rows)
    if not rows:
        return "Not measured yet."
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replace_table(text: str, name: str, make: Callable[[], str]) -> str:
    """Put the table `make` returns between its marks, if the text has them."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if begin not in text:
        return text
    head, rest = text.split(begin, maxsplit=1)
    _, tail = rest.split(end, maxsplit=1)
    return f"{head}{begin}\n{make()}\n{end}{tail}"

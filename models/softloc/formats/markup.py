"""XML, read safely: what Sonic Visualiser's and IDMT's files share.

Conventions
-----------
- A document type may be named (``<!DOCTYPE sonic-visualiser>``), but not one entity be declared:
  that is how a small file can ask for gigabytes, or for other files. Nothing outside is fetched.
- The encoding is the one that the file declares (UTF-8 or UTF-16 without a declaration).
- Every element knows its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

from softloc.errors import AnnotationError
from softloc.formats.lines import fail, read_content


@dataclass(slots=True)
class Element:
    """An XML element.

    Attributes
    ----------
    name : str
        Its name.
    attributes : dict
        Its attributes.
    line : int
        Line that it starts in, from 1.
    children : list of Element
        Elements directly inside.
    text : str
        Text directly inside.
    """

    name: str
    attributes: dict[str, str]
    line: int
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def descendants(self, name: str) -> Iterator[Element]:
        """Elements of a name anywhere inside, in the order of the file."""
        waiting = self.children[::-1]
        while waiting:
            element = waiting.pop()
            if element.name == name:
                yield element
            waiting.extend(element.children[::-1])

    def child(self, name: str) -> Element | None:
        """First element of a name directly inside."""
        return next((each for each in self.children if each.name == name), None)


def read_xml(path: Path) -> Element:
    """Read an XML file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Element
        Its root.

    Raises
    ------
    AnnotationError
        If it is missing, no XML, or declares an entity; the message names file and line.
    """
    content = read_content(path)
    if content.startswith(b"BZh"):
        raise AnnotationError(
            f"{path} is compressed, as sessions of Sonic Visualiser are: export the layer of its "
            "labels (File > Export Annotation Layer)"
        )
    return _Reader(path).read(content)


class _Reader:
    """Builds the tree while expat walks through the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._top = Element("", {}, 0)
        self._open = [self._top]
        self._texts: list[list[str]] = [[]]  # joined once: a layer has a million pieces
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        parser.EntityDeclHandler = self._refuse_entity
        parser.SkippedEntityHandler = self._refuse_entity
        self._parser = parser

    def read(self, content: bytes) -> Element:
        try:
            self._parser.Parse(content, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            fail(self._path, error.lineno, f"this is not readable XML: {reason}")
        except (LookupError, ValueError) as error:  # an encoding that Python or expat has not
            fail(self._path, 1, f"this is not readable XML: {error}")
        return self._top.children[0]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        element = Element(name, attributes, self._parser.CurrentLineNumber)
        self._open[-1].children.append(element)
        self._open.append(element)
        self._texts.append([])

    def _end(self, _: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def _data(self, text: str) -> None:
        self._texts[-1].append(text)

    def _refuse_entity(self, name: str, *_: Any) -> NoReturn:
        fail(
            self._path,
            self._parser.CurrentLineNumber,
            f"the entity {name!r} is declared or used; label files have none, so this is refused",
        )

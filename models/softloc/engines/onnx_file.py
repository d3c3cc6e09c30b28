"""ONNX models as bytes: the few messages of the format that the network needs.

The package ``onnx`` writes them, too, but importing it takes several times as long as making the
graphs, and every start would pay for it (`benchmarks/README.md`). Its checker reads what is written
here in the tests. Field numbers are those of ``onnx.proto3``, which never change; wire types and
varints those of Protocol Buffers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Enough for all operators that are used, and old enough for every ONNX Runtime that we allow.
IR_VERSION, OPERATOR_SET = 8, 17

_ELEMENT_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}
_FLOAT = 1
_INT_ATTRIBUTE, _STRING_ATTRIBUTE, _INTS_ATTRIBUTE = 2, 3, 7

Attribute = int | str | Sequence[int]
#: A dimension is a number, or the name of one that varies.
Shape = Sequence[int | str]


class GraphWriter:
    """Collects the nodes and constants of one graph.

    Parameters
    ----------
    name : str
        Of the graph.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._n_values = 0

    def add_input(self, name: str, shape: Shape) -> str:
        """Declare an input of float32; return its name."""
        self._inputs.append(_field(11, _value_info(name, shape)))
        return name

    def add_output(self, name: str, shape: Shape) -> None:
        """Declare a value an output of the graph, of float32."""
        self._outputs.append(_field(12, _value_info(name, shape)))

    def add_constant(self, array: NDArray[Any]) -> str:
        """Keep an array of float32 or int64 in the graph; return its name."""
        name = self._new_name()
        dimensions = b"".join(_field(1, size) for size in array.shape)
        kind = _field(2, _ELEMENT_TYPES[array.dtype])
        raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        self._constants.append(_field(5, dimensions + kind + _text(8, name) + _field(9, raw)))
        return name

    def add(
        self,
        operator: str,
        inputs: Iterable[str],
        outputs: Sequence[str] = (),
        **attributes: Attribute,
    ) -> str:
        """Add a node; return the name of its first output, a new one if none is given."""
        names = list(outputs) or [self._new_name()]
        parts = [_text(1, name) for name in inputs] + [_text(2, name) for name in names]
        parts.append(_text(4, operator))
        parts += [_field(5, _attribute(name, value)) for name, value in attributes.items()]
        self._nodes.append(_field(1, b"".join(parts)))
        return names[0]

    def to_bytes(self) -> bytes:
        """Write a model of this graph."""
        parts = (*self._nodes, _text(2, self._name), *self._constants, *self._inputs)
        graph = b"".join((*parts, *self._outputs))
        operators = _text(1, "") + _field(2, OPERATOR_SET)
        return _field(1, IR_VERSION) + _field(7, graph) + _field(8, operators)

    def _new_name(self) -> str:
        self._n_values += 1
        return f"v{self._n_values}"


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _field(3, value) + _field(20, _INT_ATTRIBUTE)
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _field(20, _STRING_ATTRIBUTE)
    values = b"".join(_field(8, item) for item in value)
    return _text(1, name) + values + _field(20, _INTS_ATTRIBUTE)


def _value_info(name: str, shape: Shape) -> bytes:
    sizes = (_text(2, size) if isinstance(size, str) else _field(1, size) for size in shape)
    dimensions = b"".join(_field(1, size) for size in sizes)
    tensor = _field(1, _FLOAT) + _field(2, dimensions)
    return _text(1, name) + _field(2, _field(1, tensor))


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, value: int | bytes) -> bytes:
    """One field: a number as a varint, bytes with their length before them."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; negative numbers in two's complement of 64 bits."""
    value &= (1 << 64) - 1
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)

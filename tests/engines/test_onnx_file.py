"""ONNX models written as bytes: the official checker and parser read what was meant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softloc.engines.onnx_file import IR_VERSION, OPERATOR_SET, GraphWriter, _varint
from softloc.engines.onnx_graphs import Weights, convolution_graph, memory_graph
from softloc.network import OnsetNetwork
from softloc.presets import SIZES


def slow_varint(value: int) -> bytes:
    """Bit by bit, as the encoding is described."""
    bits = format(value % (1 << 64), "b")
    groups = []
    while bits:
        bits, group = bits[:-7], bits[-7:]
        groups.append(int(group, 2))
    while len(groups) > 1 and groups[-1] == 0:
        groups.pop()
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers_are_varints(value: int) -> None:
    assert _varint(value) == slow_varint(value)


def test_what_is_written_is_read_again() -> None:
    onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
    graph = GraphWriter("a graph")
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = graph.add_input("x", ("frames", 3))
    kernel, shape = graph.add_constant(weights), graph.add_constant(np.array([-1, 2]))
    y = graph.add("Gemm", (x, kernel), transB=1)
    graph.add("Reshape", (y, shape), ("y",))
    graph.add_output("y", ("frames", 2))
    model = onnx.load_from_string(graph.to_bytes())
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPERATOR_SET)
    assert model.graph.name == "a graph"
    gemm, reshape = model.graph.node
    assert (gemm.op_type, list(gemm.input), list(gemm.output)) == ("Gemm", ["x", kernel], [y])
    assert [(a.name, a.i) for a in gemm.attribute] == [("transB", 1)]
    assert list(reshape.output) == ["y"]
    arrays = [onnx.numpy_helper.to_array(constant) for constant in model.graph.initializer]
    np.testing.assert_array_equal(arrays[0], weights)
    np.testing.assert_array_equal(arrays[1], [-1, 2])
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    assert (dimensions[0].dim_param, dimensions[1].dim_value) == ("frames", 3)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_graphs_of_all_sizes_pass_the_checker(size: str, bidirectional: bool) -> None:
    onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
    shape = SIZES[size].network(3, bidirectional=bidirectional)
    tensors = {k: v.numpy() for k, v in OnsetNetwork(shape).state_dict().items()}
    for make in (convolution_graph, memory_graph):
        model = onnx.load_from_string(make(shape, Weights(tensors)))
        onnx.checker.check_model(model, full_check=True)

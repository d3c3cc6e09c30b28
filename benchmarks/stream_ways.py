"""Ways to compute a stream that were weighed: ``python -m benchmarks.stream_ways``.

Writes ``benchmarks/results/stream_ways.json``: processor time of one thread, the least of several
rounds in which all take turns, so that ratios hold on a busy machine, too.

- *Transforms* of a tile of frames: what softloc does (SciPy's code without SciPy), NumPy, and two
  ways that would put them into the network's graph: ONNX Runtime's operator, and a product with the
  matrix of the transform, up to the highest bin that a band touches.
- *Convolutions*, several frames at once: hearing the frames of context again, as softloc does, or a
  graph that takes and gives the last two frames that each convolution has heard.
- *Calls* of the LSTM and dense layers for four frames, with arrays, and with buffers that are bound
  to the graph once (or each time).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.speed import machine, time_all
from softloc.engines.onnx_engine import OnnxEngine, OnnxNetwork
from softloc.engines.onnx_file import GraphWriter
from softloc.engines.onnx_graphs import (
    ANSWERED,
    STATE,
    Weights,
    add_convolution,
    fold_convolution,
)
from softloc.features.transforms import numpy_transform, real_transform
from softloc.model_files import ModelFile, read_model
from softloc.network import (
    NetworkSettings,
    bands_after,
    convolution_places,
    encoded_width,
    input_shape,
)

RESULTS = Path(__file__).resolve().parent / "results" / "stream_ways.json"
MODELS = ("drums", "drums-small")
STEPS_FRAMES = (4, 16, 200)
ROUNDS, REPEATS = 5, 4
N_FRAMES = 1_600
TILE_FRAMES = 48
CALLS = 200

Floats = NDArray[np.float32]


def main() -> None:
    """Measure and write the record."""
    files = {model: read_model(model) for model in MODELS}
    record = {
        "command": "python -m benchmarks.stream_ways",
        "date": datetime.now(UTC).date().isoformat(),
        "method": __doc__,
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 1),
        "transforms_us_per_frame": _per(TILE_FRAMES, transforms(files[MODELS[0]])),
        "convolutions_us_per_frame": {
            model: {f"{step}": _per(N_FRAMES, convolutions(file, step)) for step in STEPS_FRAMES}
            for model, file in files.items()
        },
        "calls_us": {model: _per(CALLS, calls(file)) for model, file in files.items()},
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


def _per(count: int, ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Microseconds of each way, for one of so many that it does."""
    repeated = {name: _repeat(way, REPEATS) for name, way in ways.items()}
    times = time_all(repeated, ROUNDS)
    return {name: round(1e6 * seconds / (REPEATS * count), 2) for name, seconds in times.items()}


def _repeat(way: Callable[[], object], times: int) -> Callable[[], object]:
    return lambda: [way() for _ in range(times)]


def transforms(file: ModelFile) -> dict[str, Callable[[], object]]:
    """Real transforms of a tile of frames."""
    size = file.settings.features.fft_samples
    n_bins = int(np.flatnonzero(file.tensors["log_mel.filterbank"].any(axis=1))[-1]) + 1
    frames = np.random.default_rng(0).normal(size=(TILE_FRAMES, size)).astype(np.float32)
    out = np.empty((TILE_FRAMES, size // 2 + 1), np.complex64)
    transform = real_transform()
    operator, matrix = GraphWriter("operator"), GraphWriter("matrix")
    x = operator.add_input("x", (TILE_FRAMES, size, 1))
    operator.add("DFT", (x,), ("y",), axis=1, onesided=1)
    operator.add_output("y", (TILE_FRAMES, size // 2 + 1, 2))
    angles = -2j * np.pi / size * np.outer(np.arange(size), np.arange(n_bins))
    waves = np.exp(angles).astype(np.complex64).view(np.float32)
    x = matrix.add_input("x", (TILE_FRAMES, size))
    matrix.add("MatMul", (x, matrix.add_constant(waves)), ("y",))
    matrix.add_output("y", (TILE_FRAMES, 2 * n_bins))
    by_operator, by_matrix = open_graph(operator.to_bytes()), open_graph(matrix.to_bytes())
    return {
        "softloc": lambda: transform(frames, out),
        "NumPy": lambda: numpy_transform(frames, out),
        "ONNX Runtime's DFT": lambda: by_operator.run(None, {"x": frames[:, :, None]}),
        "product with a matrix": lambda: by_matrix.run(None, {"x": frames}),
    }


def convolutions(file: ModelFile, step_frames: int) -> dict[str, Callable[[], object]]:
    """Convolutions of `N_FRAMES`, a few at once."""
    shape, weights = file.settings.network, Weights(file.part("network"))
    member, keeping = first_member(file), open_graph(keeping_graph(shape, weights))
    context = 2 * shape.look_back_frames
    rng = np.random.default_rng(0)
    features = rng.normal(size=(context + N_FRAMES, 2, shape.n_bands)).astype(np.float32)
    starts = range(0, N_FRAMES, step_frames)

    def again() -> Floats:
        parts = [member.convolve(features[at : at + step_frames + context]) for at in starts]
        return np.concatenate(parts)

    def kept() -> Floats:
        past = empty_past(shape)
        _, *after = keeping.run(None, {"features": features[: context + 1], **past})
        parts = []
        begin = context + 1
        for at in range(begin, len(features), step_frames):
            now = {"features": features[at : at + step_frames]}
            part, *after = keeping.run(None, now | dict(zip(past, after, strict=True)))
            parts.append(part)
        return np.concatenate(parts)

    np.testing.assert_allclose(kept(), again()[1:], atol=1e-4)
    return {"context again": again, "state kept": kept}


def keeping_graph(shape: NetworkSettings, weights: Weights) -> bytes:
    """Write the convolutions so that each takes what it has heard last, and gives it on."""
    graph = GraphWriter("keeping convolutions")
    x = graph.add_input("features", ("frames", 2, shape.n_bands))
    x = graph.add("Sub", (x, graph.add_constant(weights("feature_mean", 2, shape.n_bands))))
    x = graph.add("Div", (x, graph.add_constant(weights("feature_deviation", 2, shape.n_bands))))
    x = graph.add("Transpose", (x,), perm=(1, 0, 2))
    x = graph.add("Unsqueeze", (x, graph.add_constant(np.array([0]))))
    last_two = (-2, np.iinfo(np.int64).max, 2)  # start, end, axis
    places = [graph.add_constant(np.array([at])) for at in last_two]
    outputs: list[tuple[str, tuple[int, ...]]] = []
    channels, bands = input_shape(shape)
    places_of_stages = zip(convolution_places(shape), shape.stages, strict=True)
    for number, (place, stage) in enumerate(places_of_stages):
        past = graph.add_input(f"past {number}", (1, channels, f"past frames {number}", bands))
        x = graph.add("Concat", (past, x), axis=2)
        outputs.append((f"after {number}", (1, channels, 2, bands)))
        graph.add("Slice", (x, *places), (outputs[-1][0],))
        constants = fold_convolution(shape, weights, place, channels, stage)
        x = add_convolution(graph, x, constants, bands, stage)
        channels, bands = stage.channels, bands_after(bands, stage)
    x = graph.add("Transpose", (x,), perm=(2, 0, 1, 3))
    flat = graph.add_constant(np.array([-1, 1, channels * bands]))
    graph.add("Reshape", (x, flat), ("encoded",))
    graph.add_output("encoded", ("frames left", 1, channels * bands))
    for name, size in outputs:
        graph.add_output(name, size)
    return graph.to_bytes()


def empty_past(shape: NetworkSettings) -> dict[str, Floats]:
    """Make what the convolutions have heard before the first frame: nothing."""
    past = {}
    channels, bands = input_shape(shape)
    for number, stage in enumerate(shape.stages):
        past[f"past {number}"] = np.zeros((1, channels, 0, bands), np.float32)
        channels, bands = stage.channels, bands_after(bands, stage)
    return past


def calls(file: ModelFile) -> dict[str, Callable[[], object]]:
    """Run the graph of LSTM and dense layers, four frames again and again."""
    shape = file.settings.network
    session = first_member(file).memory
    values = np.zeros((4, 1, encoded_width(shape)), np.float32)
    rest = np.zeros((1, 1, shape.lstm_units), np.float32)
    inputs = {"encoded": values, ANSWERED: values, **dict.fromkeys(STATE, rest)}
    outputs = {name: rest.copy() for name in ("hidden_after", "cell_after")}
    outputs["logits"] = np.zeros((4, shape.n_classes), np.float32)
    binding = session.io_binding()

    def bind() -> None:
        for put, arrays in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
            for name, array in arrays.items():
                put(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def bound_each_time() -> None:
        bind()
        session.run_with_iobinding(binding)

    bind()
    return {
        "arrays": _repeat(lambda: session.run(None, inputs), CALLS),
        "buffers, bound once": _repeat(lambda: session.run_with_iobinding(binding), CALLS),
        "buffers, bound each time": _repeat(bound_each_time, CALLS),
    }


def first_member(file: ModelFile) -> OnnxNetwork:
    """Open a model and take the first of its networks."""
    return OnnxEngine(file, n_threads=1).members[0]


def open_graph(graph: bytes) -> Any:
    """Open a graph as softloc does, for one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""The binary kernels against the simulation, bit for bit, over shapes of every kind; on the host and on emulated boards."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kilobench.compile.emit import emit
from kilobench.compile.graph import DType, Graph, Tensor, pack
from kilobench.compile.host import HostModel
from kilobench.compile.operator import bind
from kilobench.compile.ops import _bits
from kilobench.compile.ops._bits import chunks
from kilobench.compile.ops._convolution import Convolution
from kilobench.compile.simulate import simulate
from kilobench.device.build import build
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder, random_inputs
from tests.fuzz.batch import Case

_CHANNELS = (1, 2, 3, 7, 8, 9, 16, 31, 32, 33, 40, 64, 65, 96, 130)


def bit_conv(b: Builder, source: Tensor, dtype: DType) -> Tensor:
    """A random binary convolution to one of many numbers of channels."""
    return b.conv(source, dtype, int(b.random.choice(_CHANNELS)))


def many(seed: int, count: int) -> Graph:
    """Binary convolutions of every type and pools, all of the same bits."""
    b = Builder(seed)
    r = b.random
    dtype: DType = "int8" if seed % 2 else "float32"
    source = b.tensor((int(r.integers(1, 8)), int(r.integers(1, 12)), int(r.choice(_CHANNELS))), dtype)
    bits = b.binarize(source)
    for _ in range(count):
        bit_conv(b, bits, "bit")
        bit_conv(b, bits, "float32")
        b.pool(bits, "max_pool")
    return b.graph(source, bit_conv(b, bits, "int8"))


def inputs(graph: Graph, count: int) -> np.ndarray[Any, Any]:
    """From nothing but -1 to nothing but +1."""
    shape = (count, *graph.tensors[graph.input].shape)
    values = np.random.default_rng(0).normal(0, 60, shape) + np.linspace(-300, 300, count)[:, None, None, None]
    return np.clip(values, -128, 127).astype(np.int8 if graph.tensors[graph.input].dtype == "int8" else np.float32)


def checksums(graph: Graph, x: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    """Of what the simulation says every operator makes."""
    maps = simulate(graph, x[None])
    made = [(graph.tensors[op.output], maps[op.output][0]) for op in graph.ops]
    packed = [pack(values.astype(bool)) if tensor.dtype == "bit" else values for tensor, values in made]
    return [(index, zlib.crc32(np.ascontiguousarray(values).tobytes())) for index, values in enumerate(packed)]


@pytest.mark.parametrize("seed", range(12))
def test_host_equals_the_simulation(seed: int, tmp_path: Path) -> None:
    graph = many(seed, 6)
    emit(graph, tmp_path, "bits")
    host = HostModel(tmp_path)
    for x in inputs(graph, 5):
        assert host.checksums(x) == checksums(graph, x)


@pytest.mark.parametrize(("shape", "seed"), [((40, 9, 33), 32), ((1, 90, 40), 72)], ids=["rows", "columns"])
def test_strips_equal_the_simulation(shape: tuple[int, int, int], seed: int, tmp_path: Path) -> None:
    b = Builder(seed)
    source = b.tensor(shape, "int8")
    x = bit_conv(b, b.pool(bit_conv(b, b.binarize(source), "bit"), "max_pool"), "int8")
    graph = b.graph(source, x)
    assert any(len(step.ops) > 2 for step in emit(graph, tmp_path, "strips").steps)
    x = inputs(graph, 9)
    assert np.array_equal(HostModel(tmp_path).run(x), simulate(graph, x)[graph.output].reshape(len(x), -1))


@pytest.fixture
def whenever_it_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs are counted each for itself in layers as small as those of tests, too."""
    monkeypatch.setattr(_bits, "_CLEARLY", 0)
    monkeypatch.setattr(_bits, "_WORTH", 0)


@pytest.mark.usefixtures("whenever_it_saves")
@pytest.mark.parametrize("name", ["host", "nucleo_l476rg", "raspberry_pi_pico", "raspberry_pi_pico_2_riscv"])
def test_few_channels_equal_the_simulation(name: str, tmp_path: Path) -> None:
    """Windows of a short chunk, of a whole one, and of several, clipped in every way, with words that agree in all taps."""
    b = Builder(3)
    source = b.tensor((5, 7, 70), "int8")
    bits = b.binarize(source)
    for kernel, padding, out in (((3, 3), (1, 1), 8), ((1, 3), (0, 1), 1), ((2, 3), (1, 1), 11), ((5, 5), (2, 2), 3)):
        b.conv(bits, "bit", out, kernel, (1, 1), padding)
        b.conv(bits, "int8", out, kernel, (2, 1), padding)
        b.conv(bits, "float32", out, kernel, (1, 2), padding)
    graph = b.graph(source, b.conv(bits, "bit", 9, (4, 5), (1, 1), (0, 0)))
    for op in graph.ops[1:]:
        op.params.pop("centre", None)  # weights that have one are counted in another way
    convs = [conv for op in graph.ops[1:] if isinstance(conv := bind(graph, op), Convolution)]
    assert {conv.kernel for conv in convs} == {"kb_conv2d_b1_few", "kb_conv2d_b1_few_s8", "kb_conv2d_b1_few_f32"}
    assert {10, 18, 28, 82} <= {sum(chunks(conv)) for conv in convs}
    for op in graph.ops[1:]:
        weight = op.params["weight"]
        alike = pack(np.ones((1, 70), np.uint8))[0] * (np.arange(len(weight)) % 2)[:, None, None, None]
        weight[1:] = np.where(b.random.integers(4, size=weight.shape), alike, weight)[1:].astype(np.uint32)
    _equal_on(name, graph, inputs(graph, 3), tmp_path)


@pytest.mark.usefixtures("whenever_it_saves")
def test_strips_of_few_channels_equal_the_simulation(tmp_path: Path) -> None:
    """No pixel reads what its strip has not."""
    b = Builder(1)
    source = b.tensor((1, 150, 33), "bit")
    x = b.conv(source, "int8", 8, (1, 5), (1, 1), (0, 1))
    graph = b.graph(source, b.pool(x, "max_pool", (1, 9), (1, 9)))
    assert emit(graph, tmp_path, "strips").steps[0].strips
    assert bind(graph, graph.ops[0]).kernel == "kb_conv2d_b1_few_s8"
    case = Case("strips", graph, random_inputs(graph, 9, 0))
    packed = np.frombuffer(case.input_bytes, np.uint8).reshape(9, -1)
    assert np.array_equal(HostModel(tmp_path).run(packed), np.array(case.expected))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["nucleo_l476rg", "raspberry_pi_pico", "raspberry_pi_pico_2_riscv"])
def test_boards_equal_the_simulation(name: str, seed: int, tmp_path: Path) -> None:
    graph = many(seed, 6)
    _equal_on(name, graph, inputs(graph, 3), tmp_path)


@pytest.mark.parametrize("channels", [7, 40])
@pytest.mark.parametrize("name", ["host", "nucleo_l476rg"])
def test_signs_of_zeros_infinities_and_neighbours_of_thresholds(name: str, channels: int, tmp_path: Path) -> None:
    """What is no number reaches no threshold but -inf, which is no comparison."""
    b = Builder(0)
    source = b.tensor((9, 5, channels), "float32")
    graph = b.graph(source, b.binarize(source))
    least, largest = np.finfo(np.float32).smallest_subnormal, np.finfo(np.float32).max
    special = np.array([0, -0.0, least, -least, 1.5, -1.5, largest, -largest, np.inf, -np.inf], np.float32)
    threshold = graph.ops[0].params["threshold"]
    threshold[:] = b.random.choice(special, channels)
    close = np.concatenate([np.nextafter(special, np.float32(1e-20)), special, [np.nan, -np.nan]]).astype(np.float32)
    x = b.random.choice(close, source.shape)
    x[..., threshold == -np.inf] = -np.inf
    _equal_on(name, graph, x[None], tmp_path)


def _equal_on(name: str, graph: Graph, inputs: np.ndarray[Any, Any], folder: Path) -> None:
    """Checks every operator on the host or an emulated board."""
    (folder / "model").mkdir()
    emit(graph, folder / "model", "bits")
    if name == "host":
        host = HostModel(folder / "model")
        for x in inputs:
            assert host.checksums(x) == checksums(graph, x)
        return
    board = load_registry().get("boards", name)
    with EmulatedBoard(build(folder / "model", board, folder / "build").elf, board) as emulated:
        session = Session(emulated, board.name)
        for x in inputs:
            session.load(x.tobytes())
            assert [(op, crc) for op, _, crc in session.layers()] == checksums(graph, x)


def test_few_channels_are_counted_so_where_that_saves_much() -> None:
    def kernel(size: int, channels: int, out: int) -> str:
        b = Builder(0)
        b.conv(b.tensor((size, size, channels), "bit"), "bit", out, (3, 3), (1, 1), (1, 1))
        graph = b.graph(b.tensors[b.ops[-1].inputs[0]], b.tensors[b.ops[-1].output])
        return bind(graph, graph.ops[0]).kernel

    few = {(size, channels, out) for size in (4, 16) for channels in (16, 64) for out in (8, 16, 64)
           if kernel(size, channels, out).endswith("_few")}  # fmt: skip
    assert few == {(16, 16, 8), (16, 64, 8), (16, 64, 16)}

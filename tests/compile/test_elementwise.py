# SPDX-License-Identifier: Apache-2.0
"""Operators that make a value of each value, combine two maps or move values: against torch, exact numbers and their C."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from kilobench.compile.emit import emit
from kilobench.compile.graph import DType, Graph, Op, Tensor
from kilobench.compile.graphcheck import check_graph, check_op
from kilobench.compile.host import HostModel
from kilobench.compile.lower import multiplier
from kilobench.compile.memory import plan
from kilobench.compile.ops._movement import merged, steps
from kilobench.compile.schedule import steps as schedule
from kilobench.compile.simulate import quantise_input, simulate
from tests.compile.graphs import Builder

Map = np.ndarray[Any, Any]
Shape = tuple[int, int, int]
SHAPE = 3, 4, 5
EXTREMES = np.float32([0, -0.0, 1e-45, -1e-40, 1, -1, 2.999, -3, 88, -88, 1e30, -1e30, np.inf, -np.inf, np.nan])


def floats(name: str, shape: Shape) -> Tensor:
    return Tensor(name, shape, "float32")


def single(op: Op, source: Tensor, output: Tensor) -> Graph:
    graph = Graph({source.name: source, output.name: output}, (op,), source.name, (output.name,))
    check_graph(graph)
    return graph


def both(graph: Graph, x: Map, folder: Path) -> Map:
    """The output of [n, h, w, c], to the bit the same from NumPy and from C; NaN of any kind are alike."""
    with np.errstate(invalid="ignore", over="ignore"):
        wanted = simulate(graph, x)[graph.output]
    emit(graph, folder, "one")
    made = HostModel(folder).run(x).reshape(wanted.shape)
    assert made.dtype == wanted.dtype
    assert np.array_equal(made, wanted, equal_nan=wanted.dtype == np.float32)
    if wanted.dtype == np.float32:
        numbers = ~np.isnan(wanted)
        assert np.array_equal(np.signbit(made[numbers]), np.signbit(wanted[numbers]))
    return made


def random_floats(count: int, shape: Shape, seed: int = 0) -> Map:
    x = np.random.default_rng(seed).normal(0, 4, (count, *shape)).astype(np.float32)
    x.flat[: len(EXTREMES)] = EXTREMES
    return x


def one_number(**values: float) -> dict[str, Map]:
    return {key: np.array([value], np.float32) for key, value in values.items()}


FUNCTIONS: dict[str, tuple[dict[str, Map], Callable[[torch.Tensor], torch.Tensor]]] = {
    "sigmoid": ({}, torch.sigmoid),
    "tanh": ({}, torch.tanh),
    "hard_swish": ({}, functional.hardswish),
    "hard_sigmoid": (one_number(slope=1 / 6, offset=0.5), functional.hardsigmoid),
    "leaky_relu": (one_number(slope=0.125), lambda x: functional.leaky_relu(x, 0.125)),
    "clip": (one_number(low=0, high=6), functional.relu6),
    "prelu": (
        {"slope": np.float32([-0.5, 0, 0.25, 1, 2])},
        lambda x: functional.prelu(x.permute(0, 3, 1, 2), torch.tensor([-0.5, 0, 0.25, 1, 2])).permute(0, 2, 3, 1),
    ),
}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_functions_of_floats_are_those_of_torch(kind: str, tmp_path: Path) -> None:
    params, wanted = FUNCTIONS[kind]
    x = random_floats(20, SHAPE)
    made = both(single(Op(kind, "op", ("x",), "y", {}, params), floats("x", SHAPE), floats("y", SHAPE)), x, tmp_path)
    usual = np.isfinite(x) & (np.abs(x) < 1e20)
    expected = wanted(torch.from_numpy(x)).numpy()
    assert np.allclose(made[usual], expected[usual], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("kind", "bound"), [("tanh", 2.7e-7), ("sigmoid", 3.5e-7)])
def test_functions_by_the_exponential_are_within_their_bounds(kind: str, bound: float) -> None:
    """Relative ones: nothing cancels near 0."""
    x = np.concatenate([np.geomspace(1e-37, 86, 400_001), np.linspace(0.99, 1.01, 100_001)]).astype(np.float32)
    x = np.concatenate([x, -x])
    op = Op(kind, "op", ("x",), "y")
    shape = (1, 1, len(x))
    made = check_op(op, [floats("x", shape)], floats("y", shape)).compute([x]).astype(np.float64)
    exact = np.tanh(x.astype(np.float64)) if kind == "tanh" else 1 / (1 + np.exp(-x.astype(np.float64)))
    assert np.abs(made / exact - 1).max() < bound


@pytest.mark.parametrize("zero", [-128, -3, 127])
def test_quantising_is_that_of_inputs(zero: int, tmp_path: Path) -> None:
    """Ties go to even; what is no number is the lowest."""
    output = Tensor("y", SHAPE, "int8", 0.1, zero)
    ties = (np.arange(-300, 300).reshape(10, *SHAPE) / 2).astype(np.float32) * np.float32(0.1)
    x = np.concatenate([ties, random_floats(10, SHAPE), random_floats(10, SHAPE, 1) * np.float32(1e-3)])
    made = both(single(Op("quantise", "op", ("x",), "y"), floats("x", SHAPE), output), x, tmp_path)
    unread = Graph({"y": output}, (), "y", ("y",))
    numbers = ~np.isnan(x)
    wanted = quantise_input(unread, np.where(numbers, x, 0).transpose(0, 3, 1, 2))
    assert np.array_equal(made[numbers], wanted[numbers])
    assert (made[np.isnan(x)] == -128).all() and np.isnan(x).any()


def test_what_is_quantised_and_dequantised_is_on_the_grid(tmp_path: Path) -> None:
    source = Tensor("x", (1, 16, 16), "int8", 0.37, -9)
    every = np.arange(-128, 128).astype(np.int8).reshape(1, 1, 16, 16)
    made = both(single(Op("dequantise", "op", ("x",), "y"), source, floats("y", source.shape)), every, tmp_path)
    assert np.array_equal(made, (every.astype(np.float32) + 9) * np.float32(0.37))


@pytest.mark.parametrize(
    ("kind", "read", "made"),
    [
        ("tanh", "int8", "int8"),
        ("requantise", "int8", "int8"),
        ("quantise", "uint8", "int8"),
        ("dequantise", "int8", "uint8"),
    ],
)
def test_tables_have_an_entry_for_every_integer(kind: str, read: DType, made: DType, tmp_path: Path) -> None:
    table = np.random.default_rng(0).integers(np.iinfo(made).min, np.iinfo(made).max + 1, 256).astype(made)
    source, output = Tensor("x", (2, 8, 16), read, 0.1, 0), Tensor("y", (2, 8, 16), made, 0.2, 1)
    least = int(np.iinfo(read).min)
    every = np.arange(least, least + 256).astype(read).reshape(1, 2, 8, 16)
    got = both(single(Op(kind, "op", ("x",), "y", {}, {"table": table}), source, output), every, tmp_path)
    assert np.array_equal(got.ravel(), table)


def test_the_first_of_the_largest_is_where_it_is(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 3, (30, *SHAPE)).astype(np.float32)
    for axis in range(3):
        shape = list(SHAPE)
        shape[axis] = 1
        attrs = {} if axis == 2 else {"axis": axis}
        output = Tensor("y", (shape[0], shape[1], shape[2]), "int32")
        (folder := tmp_path / str(axis)).mkdir()
        made = both(single(Op("argmax", "op", ("x",), "y", attrs), floats("x", SHAPE), output), x, folder)
        assert np.array_equal(made, x.argmax(axis=1 + axis, keepdims=True))


def test_what_is_no_number_is_not_the_largest(tmp_path: Path) -> None:
    nan, inf = np.nan, np.inf
    x = np.float32([[nan, -inf, -1], [nan, nan, nan], [3, nan, inf], [-inf, -inf, -inf], [nan, -3.4e38, -inf]])
    graph = single(Op("argmax", "op", ("x",), "y"), floats("x", (1, 1, 3)), Tensor("y", (1, 1, 1), "int32"))
    assert both(graph, x.reshape(5, 1, 1, 3), tmp_path).ravel().tolist() == [2, 0, 2, 0, 1]


# Movement


MOVES: dict[str, tuple[str, dict[str, Any], Shape, Callable[[Map], Map]]] = {
    **{
        f"transpose {axes}": (
            "transpose",
            {} if axes == (2, 1, 0) else {"axes": axes},
            (SHAPE[axes[0]], SHAPE[axes[1]], SHAPE[axes[2]]),
            lambda x, axes=axes: x.transpose(0, *(1 + a for a in axes)),  # type: ignore[misc]
        )
        for axes in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    },
    "reshape": ("reshape", {"shape": (5, 1, 12)}, (5, 1, 12), lambda x: x.reshape(-1, 5, 1, 12)),
    "pad": (
        "pad",
        {"before": (1, 0, 2), "after": (0, 3, 1)},
        (4, 7, 8),
        lambda x: np.pad(x, ((0, 0), (1, 0), (0, 3), (2, 1)), constant_values=-7),
    ),
    "pad of no channels": (
        "pad",
        {"before": (0, 2, 0), "after": (1, 1, 0)},
        (4, 7, 5),
        lambda x: np.pad(x, ((0, 0), (0, 1), (2, 1), (0, 0)), constant_values=-7),
    ),
    "slice": ("slice", {"begin": (1, 0, 2), "size": (2, 4, 3)}, (2, 4, 3), lambda x: x[:, 1:, :, 2:]),
    "slice of rows": ("slice", {"begin": (1, 0, 0), "size": (2, 4, 5)}, (2, 4, 5), lambda x: x[:, 1:]),
    "slice in steps": (
        "slice",
        {"begin": (0, 1, 1), "size": (2, 1, 2), "step": (2, 3, 3)},
        (2, 1, 2),
        lambda x: x[:, ::2, 1::3, 1::3],
    ),
    **{
        f"resize to {size}, {mode}": (
            "resize_nearest",
            {"size": size} | ({"half_pixel": True} if mode == "nearest-exact" else {}),
            (*size, 5),
            lambda x, size=size, mode=mode: (
                functional.interpolate(  # type: ignore[misc]
                    torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2), size, mode=mode
                )
                .permute(0, 2, 3, 1)
                .numpy()
            ),
        )
        for size in [(6, 8), (7, 3), (1, 9)]
        for mode in ("nearest", "nearest-exact")
    },
}


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("name", MOVES)
def test_movement(name: str, dtype: DType, tmp_path: Path) -> None:
    kind, attrs, shape, wanted = MOVES[name]
    grid = (0.1, 3) if dtype == "int8" else (0.0, 0)
    x = np.random.default_rng(0).integers(-128, 128, (4, *SHAPE)).astype(dtype)
    params = {"value": np.array([-7], dtype)} if kind == "pad" else {}
    op = Op(kind, "op", ("x",), "y", attrs, params)
    made = both(single(op, Tensor("x", SHAPE, dtype, *grid), Tensor("y", shape, dtype, *grid)), x, tmp_path)
    assert np.array_equal(made, wanted(x))


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_maps_are_joined(axis: int, dtype: DType, tmp_path: Path) -> None:
    b = Builder(axis)
    source = b.tensor(SHAPE, dtype)
    part = b.part(source, np.eye(3, dtype=int)[axis])
    shape = list(SHAPE)
    shape[axis] = 2 * SHAPE[axis] + 1
    last = b.op("concat", [source, part, source], b.like(source, b.tensor(tuple(shape), dtype)), {"axis": axis}, {})
    graph = b.graph(source, last)
    check_graph(graph)
    x = np.random.default_rng(0).integers(-128, 128, (4, *SHAPE)).astype(dtype)
    maps = simulate(graph, x)
    assert np.array_equal(both(graph, x, tmp_path), np.concatenate([x, maps[part.name], x], axis=1 + axis))


def test_axes_are_joined_where_all_maps_go_on() -> None:
    assert merged((3, 4, 5), steps((3, 4, 5))) == ((1, 1, 60), (0, 0, 1))
    assert merged((3, 4, 5), steps((3, 4, 5)), (0, 0, 1)) == ((1, 12, 5), (0, 5, 1), (0, 0, 1))
    assert merged((3, 4, 5), steps((3, 4, 5)), (4, 1, 0)) == ((1, 12, 5), (0, 5, 1), (0, 1, 0))
    assert merged((3, 1, 5), steps((3, 1, 5)), (0, 0, 0)) == ((1, 1, 15), (0, 0, 1), (0, 0, 0))
    assert merged((1, 1, 1), (9, 9, 9)) == ((1, 1, 1), (0, 0, 0))


# Two maps


PAIRS = [
    ((3, 4, 5), (3, 4, 5)),
    ((3, 4, 5), (1, 1, 5)),
    ((3, 4, 5), (3, 4, 1)),
    ((1, 1, 1), (2, 3, 4)),
    ((3, 1, 5), (1, 4, 5)),
]


def pair(kind: str, a: Tensor, b: Tensor, output: Tensor, attrs: dict[str, Any], params: dict[str, Map]) -> Graph:
    """An operator on two maps, which lie in the input one after the other; of int8 with the grid of each."""
    sizes = [int(np.prod(t.shape)) for t in (a, b)]
    source = Tensor("x", (1, 1, sum(sizes)), a.dtype, a.scale, a.zero_point)
    tensors, ops, begin = {"x": source, a.name: a, b.name: b, output.name: output}, [], 0
    for t, size in zip((a, b), sizes, strict=True):
        flat, shaped = f"{t.name}_flat", f"{t.name}_shaped"
        tensors[flat] = Tensor(flat, (1, 1, size), a.dtype, a.scale, a.zero_point)
        ops.append(Op("slice", flat, ("x",), flat, {"begin": (0, 0, begin), "size": (1, 1, size)}))
        last = t.name if t.dtype == "float32" else shaped
        ops.append(Op("reshape", last, (flat,), last, {"shape": t.shape}))
        if t.dtype == "int8":
            tensors[shaped] = Tensor(shaped, t.shape, "int8", a.scale, a.zero_point)
            same = {"table": np.arange(-128, 128).astype(np.int8)}
            ops.append(Op("requantise", t.name, (shaped,), t.name, {}, same))
        begin += size
    ops.append(Op(kind, "op", (a.name, b.name), output.name, attrs, params))
    graph = Graph(tensors, tuple(ops), "x", (output.name,))
    check_graph(graph)
    return graph


MEANING: dict[str, Callable[[Map, Map], Map]] = {"add": np.add, "sub": np.subtract, "mul": np.multiply}


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shapes", PAIRS)
@pytest.mark.parametrize("kind", MEANING)
def test_two_float_maps(kind: str, shapes: tuple[Shape, Shape], relu: bool, tmp_path: Path) -> None:
    a, b = (floats(name, shape) for name, shape in zip("ab", shapes, strict=True))
    x, y = (np.random.default_rng(i).normal(size=(3, *t.shape)).astype(np.float32) for i, t in enumerate((a, b)))
    wanted = MEANING[kind](x, y)
    graph = pair(kind, a, b, floats("y", wanted.shape[1:]), {"relu": relu}, {})
    inputs = np.concatenate([v.reshape(3, 1, 1, -1) for v in (x, y)], axis=3)
    made = both(graph, inputs, tmp_path)
    assert np.array_equal(made, np.maximum(wanted, 0) if relu else wanted)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shapes", PAIRS)
@pytest.mark.parametrize("kind", MEANING)
def test_two_int8_maps_are_within_half_a_step(
    kind: str, shapes: tuple[Shape, Shape], relu: bool, tmp_path: Path
) -> None:
    a, b = Tensor("a", shapes[0], "int8", 0.03, -11), Tensor("b", shapes[1], "int8", 0.05, 20)
    x, y = (np.random.default_rng(i).integers(-128, 128, (3, *t.shape)).astype(np.int8) for i, t in enumerate((a, b)))
    real = MEANING[kind](*((v.astype(np.float64) - t.zero_point) * t.scale for v, t in ((x, a), (y, b))))
    output = Tensor("y", real.shape[1:], "int8", 0.15, -60)
    if kind == "mul":
        m, t = multiplier(np.array([a.scale * b.scale / output.scale]))
    else:
        largest, t = multiplier(np.array([max(a.scale, b.scale) / output.scale]))
        m = np.rint(np.array([a.scale, b.scale]) / max(a.scale, b.scale) * largest).astype(np.int32)
    graph = pair(kind, a, b, output, {"relu": relu}, {"multiplier": m, "shift": t})
    made = both(graph, np.concatenate([v.reshape(3, 1, 1, -1) for v in (x, y)], axis=3), tmp_path)
    exact = np.clip(real / output.scale + output.zero_point, output.zero_point if relu else -128, 127)
    assert np.abs(made - exact).max() <= 0.5 + 1e-6


def test_int8_slopes_are_within_half_a_step(tmp_path: Path) -> None:
    slopes = np.array([-2, -0.25, 0, 0.1, 1])
    source, output = Tensor("x", SHAPE, "int8", 0.05, 7), Tensor("y", SHAPE, "int8", 0.07, -20)
    ratio = source.scale / output.scale
    (m, t), (n, u) = multiplier(np.array([ratio])), multiplier(np.abs(slopes) * ratio + 1e-12)
    params = {"multiplier": m, "shift": t, "multiplier_negative": (n * np.sign(slopes)).astype(np.int32)}
    params["shift_negative"] = u
    x = np.random.default_rng(0).integers(-128, 128, (20, *SHAPE)).astype(np.int8)
    made = both(single(Op("prelu", "op", ("x",), "y", {}, params), source, output), x, tmp_path)
    real = (x.astype(np.float64) - source.zero_point) * source.scale
    exact = np.clip(np.where(real >= 0, real, slopes * real) / output.scale + output.zero_point, -128, 127)
    assert np.abs(made - exact).max() <= 0.5 + 1e-6


# Memory


def test_a_function_between_convolutions_needs_no_map_of_its_own() -> None:
    """Neither in strips nor where it runs as a whole, in place."""

    def arena(functions: int, kernel: tuple[int, int], padding: tuple[int, int]) -> int:
        b = Builder(0)
        source = x = b.tensor((16, 16, 4), "float32")
        x = b.conv(x, "float32", 16, (3, 3), (1, 1), (1, 1))
        for _ in range(functions):
            x = b.op("hard_swish", [x], b.tensor(x.shape, "float32"), {}, {})
        return plan(b.graph(source, b.conv(x, "float32", 8, kernel, (1, 1), padding))).arena_bytes

    for kernel, padding in (((1, 1), (0, 0)), ((16, 16), (0, 0))):
        assert arena(2, kernel, padding) <= arena(0, kernel, padding) + 3 * 16 * 16 * 4


def test_a_function_of_one_map_runs_in_place() -> None:
    b = Builder(0)
    source = b.tensor((4, 4, 4), "float32")
    total = b.add(source, source)
    made = b.op("sigmoid", [total], b.tensor((4, 4, 4), "float32"), {}, {})
    layout = plan(b.graph(source, made))
    assert layout.offsets[made.name] == layout.offsets[total.name]


def test_a_reshape_is_in_place_unless_its_source_is_needed() -> None:
    for kept in (False, True):
        b = Builder(0)
        source = b.tensor((4, 4, 4), "float32")
        x = b.add(source, source)
        flat = b.op("reshape", [x], b.tensor((1, 1, 64), "float32"), {"shape": (1, 1, 64)}, {})
        back = b.op("reshape", [flat], b.tensor((4, 4, 4), "float32"), {"shape": (4, 4, 4)}, {})
        layout = plan(b.graph(source, b.add(back, x if kept else back)))
        assert (layout.offsets[flat.name] == layout.offsets[x.name]) is not kept
        assert layout.offsets[back.name] == layout.offsets[flat.name]
    b = Builder(0)
    source = b.tensor((4, 4, 4), "float32")
    flat = b.op("reshape", [source], b.tensor((1, 1, 64), "float32"), {"shape": (1, 1, 64)}, {})
    layout = plan(b.graph(source, flat))
    assert layout.offsets[flat.name] == layout.offsets[source.name]  # an inference may overwrite the input


def test_functions_run_in_strips_with_what_is_around_them() -> None:
    b = Builder(0)
    source = b.tensor((32, 32, 4), "int8")
    x = b.conv(source, "int8", 64, (1, 1), (1, 1), (0, 0))
    x = b.op("tanh", [x], b.tensor(x.shape, "int8"), {}, {"table": np.arange(-128, 128).astype(np.int8)})
    last = b.conv(x, "int8", 4, (1, 1), (1, 1), (0, 0))
    assert [len(step.ops) for step in schedule(b.graph(source, last))] == [3]


# What files may say


def refused(kind: str, attrs: dict[str, Any], params: dict[str, Map], sources: list[Tensor], output: Tensor) -> str:
    with pytest.raises(ValueError) as raised:
        check_op(Op(kind, "op", tuple(t.name for t in sources), output.name, attrs, params), sources, output)
    return str(raised.value)


BIG = 2**26
X = floats("x", SHAPE)
Q = Tensor("q", SHAPE, "int8", 0.1, 3)
INT32 = np.array([2**30] * 3, np.int32)
REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Map], list[Tensor], Tensor, str]] = {
    "broadcast of 3 and 4": ("mul", {"relu": False}, {}, [X, floats("z", (4, 4, 5))], X, "reads maps of the shapes"),
    "sum of two types": ("add", {"relu": False}, {}, [X, Q], X, "turns int8 into float32"),
    "not the larger shape": ("sub", {"relu": False}, {}, [X, X], floats("y", (3, 4, 1)), "has the output shape"),
    "a sum that rounds twice": (
        "sub", {"relu": False}, {"multiplier": INT32[:2], "shift": np.int32([99])}, [Q, Q], Q, "two roundings",
    ),
    "a shift between": (
        "mul", {"relu": False}, {"multiplier": INT32[:1], "shift": np.int32([63])}, [Q, Q], Q, "has a shift outside",
    ),
    "a sum that rounds once": (
        "tflite_add", {"relu": False}, {"multiplier": INT32, "shift": np.int32([40] * 3)}, [Q, Q], Q, "has the shifts",
    ),
    "a factor above 1": (
        "tflite_add", {"relu": False}, {"multiplier": INT32, "shift": np.int32([95, 95, 94])}, [Q, Q], Q, "below 1",
    ),
    "joined maps of other sizes": ("concat", {"axis": 2}, {}, [X, floats("z", (4, 4, 5))], X, "joins along the axis 2"),
    "joined maps of other grids": (
        "concat", {"axis": 0}, {}, [Q, Tensor("r", SHAPE, "int8", 0.1, 4)], Tensor("y", (6, 4, 5), "int8", 0.1, 3),
        "joins maps of 2 scales",
    ),
    "too many joined": ("concat", {"axis": 0}, {}, [X] * 65, floats("y", (195, 4, 5)), "has 65 inputs"),
    "an axis that is not there": ("concat", {"axis": 3}, {}, [X], X, "has axis=3"),
    "a pad of billions": (
        "pad", {"before": (BIG, BIG, BIG), "after": (BIG, BIG, BIG)}, {"value": np.float32([0])}, [X], X,
        "has the output shape",
    ),
    "a pad below 0": ("pad", {"before": (-1, 0, 0), "after": (0, 0, 0)}, {"value": np.float32([0])}, [X], X, "has before"),
    "a part beyond the end": (
        "slice", {"begin": (0, 0, 3), "size": (3, 4, 3)}, {}, [X], floats("y", (3, 4, 3)), "has begin=(0, 0, 3)",
    ),
    "steps beyond the end": (
        "slice", {"begin": (0, 0, 0), "size": (2, 2, 2), "step": (1, BIG, 1)}, {}, [X], floats("y", (2, 2, 2)), "step=",
    ),
    "nothing": ("slice", {"begin": (0, 0, 0), "size": (0, 4, 5)}, {}, [X], X, "has size="),
    "a reshape of more": ("reshape", {"shape": (3, 4, 6)}, {}, [X], floats("y", (3, 4, 6)), "has shape="),
    "a reshape that overflows": ("reshape", {"shape": (BIG, BIG, BIG)}, {}, [X], X, "has shape="),
    "an axis twice": ("transpose", {"axes": (0, 0, 2)}, {}, [X], floats("y", (3, 3, 5)), "has axes="),
    "a resize that overflows": (
        "resize_nearest", {"size": (BIG, 1)}, {}, [floats("x", (64, 1, 1))], floats("y", (BIG, 1, 1)), "has size=",
    ),
    "a table of 255": ("tanh", {}, {"table": np.zeros(255, np.int8)}, [Q], Q, "has table int8 (255,), not int8 (256,)"),
    "a table of words": ("tanh", {}, {"table": np.zeros(256, np.int32)}, [Q], Q, "has table int32"),
    "a table of floats": ("tanh", {}, {"table": np.zeros(256, np.int8)}, [X], X, "has the parameters"),
    "a clip that scales": (
        "clip", {}, {"low": np.int8([0]), "high": np.int8([1])}, [Q], Tensor("y", SHAPE, "int8", 0.2, 3), "can only be",
    ),
    "a limit of infinity": ("clip", {}, one_number(low=0, high=np.inf), [X], X, "has a high that is not finite"),
    "a negative shift": (
        "prelu",
        {},
        {"multiplier": INT32[:1], "shift": np.int32([30]), "multiplier_negative": np.ones(5, np.int32),
         "shift_negative": np.int32([30, 30, -1, 30, 30])},
        [Q], Q, "has a shift_negative outside of 1 to 62",
    ),
    "the lowest factor": (
        "prelu",
        {},
        {"multiplier": INT32[:1], "shift": np.int32([30]), "multiplier_negative": np.int32([-2**31] * 5),
         "shift_negative": np.int32([30] * 5)},
        [Q], Q, "has a multiplier_negative below -2147483647",
    ),
    "many channels": (
        "tflite_softmax", {}, {}, [Tensor("x", (1, 1, 4096), "int8", 0.1, 0)], Tensor("y", (1, 1, 4096), "int8", 1 / 256, -128),
        "has 4096 channels, above 4095",
    ),
    "a window on padding": (
        "tflite_avg_pool", {"kernel": (2, 2), "stride": (1, 1), "padding": (2, 0)}, {}, [Q], Q, "has padding=(2, 0)",
    ),
    "a large average": (
        "tflite_avg_pool", {"kernel": (2**13, 2**13), "stride": (1, 1), "padding": (0, 0)}, {},
        [Tensor("x", (2**13, 2**13, 1), "int8", 0.1, 3)], Tensor("y", (1, 1, 1), "int8", 0.1, 3), "int32 bound",
    ),
    **{
        f"{kind} of bits": (kind, attrs, {}, [Tensor("b", SHAPE, "bit")], Tensor("y", SHAPE, "bit"), "turns bit into bit")
        for kind, attrs in {"reshape": {"shape": SHAPE}, "clip": {}, "concat": {"axis": 0}, "sigmoid": {}}.items()
    },
    "a place that is no number": ("argmax", {}, {}, [X], floats("y", (3, 4, 1)), "turns float32 into float32"),
    "integers to integers": ("quantise", {}, {}, [Tensor("h", SHAPE, "int16", 0.1)], Q, "turns int16 into int8"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "attrs", "params", "sources", "output", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_run_is_refused(
    kind: str, attrs: dict[str, Any], params: dict[str, Map], sources: list[Tensor], output: Tensor, message: str
) -> None:
    text = refused(kind, attrs, params, sources, output)
    assert message in text and "\n" not in text and len(text) < 300

# SPDX-License-Identifier: Apache-2.0
"""Graphs that C can run pass; those that differ in one thing do not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph, Tensor
from kilobench.compile.graphcheck import MAX_OPERATORS, check_graph
from kilobench.compile.graphfile import load_graph, save_graph
from kilobench.contracts import CellError
from tests.compile.graphs import GOES_ON, Builder, random_graph
from tests.untrained import untrained

RECIPES = [
    "full",
    "int8",
    "int8[input=int16]",
    "xnor",
    "xnor[keep=first]",
    "xnor+int8",
    "ternary",
    "prune[keep=0.5]+int8",
]
Change = Callable[[Graph], Graph]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    ("network", "shape", "rate"), [("resnet8[width=4]", (3, 8, 8), 0), ("acdnet[width=0.25]", (1, 1, 4000), 8000)]
)
def test_what_the_methods_make_passes(network: str, shape: tuple[int, int, int], rate: int, recipe: str) -> None:
    check_graph(untrained(network, recipe, shape, 3, rate))


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_random_graphs_pass(first: int) -> None:
    for seed in range(first, first + 100):
        check_graph(with_ends(random_graph(seed), seed))


def with_ends(graph: Graph, seed: int) -> Graph:
    """The same as a whole network: its input is no bit map, and its output is logits."""
    b = Builder(seed)
    b.tensors, b.ops = dict(graph.tensors), list(graph.ops)
    source, last = graph.tensors[graph.input], graph.tensors[graph.output]
    if last.dtype in GOES_ON and (last.shape[:2] != (1, 1) or last.dtype == "bit"):
        last = b.conv(last, "int8" if last.dtype == "bit" else last.dtype, 3, last.shape[:2], (1, 1), (0, 0))
    if source.dtype == "bit":
        first = b.tensor(source.shape, "int8")
        made = b.tensors.pop(b.binarize(first).name)
        b.ops.insert(0, replace(b.ops.pop(), output=source.name))
        assert made.shape == source.shape
        source = first
    return b.graph(source, last)


def example() -> Graph:
    """An operator of most kinds, in the order of KINDS."""
    b = Builder(0, wild=False)
    source = b.tensor((6, 6, 5), "int8")
    first = b.conv(source, "int8", 6, (3, 3), (1, 1), (1, 1), 8)
    x = b.add(first, b.depthwise(first, (3, 3), (1, 1), (1, 1)))
    x = b.conv(b.binarize(x), "bit", 33, (3, 3), (1, 1), (1, 1))
    pooled = b.tensor((3, 3, 33), "bit")
    window = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}
    x = b.op("max_pool", [x], pooled, window, {"flip": np.array([1, 1], np.uint32)})
    x = b.transpose(b.conv(x, "int8", 7, (3, 3), (1, 1), (1, 1)))
    x = b.pool(x, "avg_pool", (2, 2), (1, 1))
    return b.graph(source, b.conv(x, "int8", 4, x.shape[:2], (1, 1), (0, 0), 8))


KINDS = [op.kind for op in example().ops]
CONV, DEPTHWISE, ADD, BINARIZE, BITS, POOL, TO_INT8, TRANSPOSE, AVERAGE, LINEAR = range(len(KINDS))


def floats() -> Graph:
    b = Builder(0)
    source = b.tensor((4, 4, 3), "float32")
    x = b.binarize(b.conv(source, "float32", 5, (3, 3), (1, 1), (1, 1)))
    x = b.conv(x, "float32", 4, (3, 3), (1, 1), (1, 1))
    x = b.pool(x, "avg_pool", (4, 4), (1, 1))
    return b.graph(source, x)


def operator(index: int, **changes: Any) -> Change:
    return lambda graph: with_op(graph, index, **changes)


def with_op(graph: Graph, index: int, **changes: Any) -> Graph:
    ops = list(graph.ops)
    ops[index] = replace(ops[index], **changes)
    return replace(graph, ops=tuple(ops))


def attribute(index: int, key: str, value: Any) -> Change:
    return lambda graph: with_op(graph, index, attrs=graph.ops[index].attrs | {key: value})


def without_attribute(index: int, key: str) -> Change:
    return lambda graph: with_op(graph, index, attrs={k: v for k, v in graph.ops[index].attrs.items() if k != key})


def parameter(index: int, key: str, change: Callable[[Any], Any]) -> Change:
    """``change`` gets a copy of the array."""

    def changed(graph: Graph) -> Graph:
        params = graph.ops[index].params
        return with_op(graph, index, params=params | {key: change(params[key].copy() if key in params else None)})

    return changed


def without_parameter(index: int, key: str) -> Change:
    return lambda graph: with_op(graph, index, params={k: v for k, v in graph.ops[index].params.items() if k != key})


def entry(index: int, key: str, value: Any) -> Change:
    """One entry of a parameter set to a value."""

    def change(array: Any) -> Any:
        array.flat[-1] = value
        return array

    return parameter(index, key, change)


def output(index: int, **changes: Any) -> Change:
    """Of the map that an operator makes; -1 is the input's."""

    def changed(graph: Graph) -> Graph:
        name = graph.ops[index].output if index >= 0 else graph.input
        tensors = graph.tensors | {name: replace(graph.tensors[name], **changes)}
        return replace(graph, tensors=tensors)

    return changed


def cycle(graph: Graph) -> Graph:
    return with_op(graph, ADD, inputs=(graph.ops[CONV].output, graph.ops[TO_INT8].output))


def twice(graph: Graph) -> Graph:
    return with_op(graph, DEPTHWISE, output=graph.ops[CONV].output)


def onto_the_input(graph: Graph) -> Graph:
    return with_op(graph, CONV, output=graph.input)


def spare_tensor(graph: Graph) -> Graph:
    return replace(graph, tensors=graph.tensors | {"spare": Tensor("spare", (1, 1, 1), "bit")})


def spare_operator(graph: Graph) -> Graph:
    """Nothing reads what the second operator makes."""
    return with_op(graph, ADD, inputs=(graph.ops[CONV].output,) * 2)


def misnamed(graph: Graph) -> Graph:
    return replace(graph, tensors=graph.tensors | {"other": graph.tensors[graph.input]})


def long(graph: Graph) -> Graph:
    return replace(graph, ops=graph.ops * (MAX_OPERATORS // len(graph.ops) + 1))


def large_scratch(graph: Graph) -> Graph:
    """All maps are small, but the kernel's rows of columns take gigabytes."""
    b = Builder(0)
    source = b.tensor((1, 2**19 + 1, 1), "int8")
    size = 4001
    window = {"kernel": (size, size), "stride": (1, 2**19), "padding": (size // 2, size // 2), "relu": False}
    params = {key: np.ones(1, np.int32) for key in ("multiplier", "shift", "bias")}
    params |= {"weight": np.zeros((1, size, size, 1), np.int8)}
    return b.graph(source, b.op("conv2d", [source], b.tensor((1, 2, 1), "int8"), window, params))


def many_cases(graph: Graph) -> Graph:
    """A binary convolution whose windows are clipped in 200 x 200 ways."""
    b = Builder(0)
    source = b.tensor((200, 200, 1), "int8")
    x = b.conv(b.binarize(source), "bit", 128, (201, 201), (1, 1), (100, 100))
    x = b.conv(x, "int8", 1, (1, 1), (1, 1), (0, 0))
    return b.graph(source, b.pool(x, "avg_pool", x.shape[:2], (1, 1)))


def stride_overflows(graph: Graph) -> Graph:
    b = Builder(0)
    source = b.tensor((1, 1, 4096), "int8")
    output = b.like(source, b.tensor((1, 1, 4096), "int8"))
    window = {"kernel": (1, 1), "stride": (1, 2**20), "padding": (0, 0)}
    return b.graph(source, b.op("max_pool", [source], output, window, {}))


def dilation_overflows(graph: Graph) -> Graph:
    """Of a kernel of one tap."""
    b = Builder(0)
    source = b.tensor((1, 4096, 1), "int8")
    made = b.graph(source, b.conv(source, "int8", 1, (1, 1), (1, 1), (0, 0)))
    return attribute(0, "dilation", (2**20, 1))(made)


def pools(count: int, shape: tuple[int, int, int], kernel: tuple[int, int]) -> Change:
    def chain(graph: Graph) -> Graph:
        b = Builder(0)
        source = x = b.tensor(shape, "int8")
        for _ in range(count):
            x = b.pool(x, "max_pool", kernel, (1, 1))
        return b.graph(source, b.pool(x, "max_pool", x.shape[:2], (1, 1)))

    return chain


many_maps, much_work = pools(20, (2**12, 2**14, 1), (1, 1)), pools(3, (2**12, 2**12, 1), (64, 64))


def large_pool(graph: Graph) -> Graph:
    b = Builder(0)
    source = b.tensor((2**11, 2**13, 1), "int8")
    return b.graph(source, b.pool(source, "avg_pool", source.shape[:2], (1, 1)))


def large_weights(graph: Graph) -> Graph:
    return with_op(graph, LINEAR, params=graph.ops[LINEAR].params | {"weight": np.zeros(2**26, np.int8)})


def many_products(graph: Graph) -> Graph:
    """In one column of up to 8 rows; their offsets would not fit 16 bits."""
    b = Builder(0)
    source = b.tensor((1, 20000, 1), "int8")
    return b.graph(source, b.conv(b.binarize(source), "int8", 1, (1, 20000), (1, 1), (0, 0)))


REFUSED: dict[str, tuple[Change, str]] = {
    # Names
    **{
        f"named {name!r:.10}": (operator(ADD, name=name), "operator 2 is named")
        for name in ("", 'a"b', "a\nb", "a */ int x; /*", "a b", "a/b", "a\\", "ä", "a" * 201, 1, None, ["a"])
    },
    "a tensor's name": (lambda g: replace(g, tensors={n.replace("t", "$"): t for n, t in g.tensors.items()}), "named"),
    "a tensor of another name": (misnamed, "a tensor is named 't0'"),
    # Tensors
    "no such type": (output(CONV, dtype="int4"), "tensor t1 has the type 'int4'"),
    "a list as a type": (output(CONV, dtype=["int8"]), "has the type"),
    "int16 in the middle": (output(CONV, dtype="int16", zero_point=0), "turns int8 into int16"),
    "a bit map as input": (output(-1, dtype="bit", scale=0.0, zero_point=0), "its input t0 is bit"),
    **{
        f"shape {shape}": (output(CONV, shape=shape), "has the shape")
        for shape in [
            (6, 6),
            (6, 6, 6, 1),
            (0, 6, 6),
            (6, -6, 6),
            (6, 6.0, 6),
            (6, "6", 6),
            (True, 6, 6),
            (1, 1, 2**27),
        ]
    },
    "another shape": (output(CONV, shape=(6, 6, 7)), "operator 0 (op0) has"),
    "a higher output": (output(CONV, shape=(7, 6, 6)), "has the output shape (7, 6, 6), not (6, 6, 6)"),
    "a wider output": (output(POOL, shape=(3, 4, 33)), "has the output shape (3, 4, 33), not (3, 3, 33)"),
    "another transpose": (output(TRANSPOSE, shape=(3, 3, 7)), "has the output shape"),
    "more depthwise channels": (output(DEPTHWISE, shape=(6, 6, 7)), "turns 6 channels into 7, which is no multiple"),
    "more bits": (output(BINARIZE, shape=(6, 6, 33)), "has the output shape"),
    "more averages": (output(AVERAGE, shape=(6, 2, 4)), "has the output shape"),
    "a larger input": (output(-1, shape=(6, 6, 6)), "has weight int8"),
    **{
        f"scale {scale}": (output(CONV, scale=scale), "tensor t1 has the scale")
        for scale in (float("nan"), float("inf"), 0.0, -1.0, 1e-60, 1e60, 1, "1", None)
    },
    "scale of bits": (output(BITS, scale=1.0), "has the scale 1.0"),
    **{
        f"zero point {zero}": (output(CONV, zero_point=zero), "tensor t1 has the zero point")
        for zero in (-129, 128, 0.0, False, "0", None)
    },
    "zero point of bits": (output(BITS, zero_point=1), "has the zero point 1"),
    "a transpose that scales": (output(TRANSPOSE, scale=7.0), "where they can only be"),
    # Who reads and makes what
    "no operators": (lambda g: replace(g, ops=()), "it has 0 operators"),
    "too many operators": (long, "operators, not 1 to"),
    "no such input of the graph": (lambda g: replace(g, input="t99"), "its input 't99' is no tensor"),
    "a list as input": (lambda g: replace(g, input=["t0"]), "is no tensor"),
    "no such output of the graph": (lambda g: replace(g, outputs=("t99",)), "its output 't99' is made by no operator"),
    "an output in the middle": (lambda g: replace(g, outputs=("t1",)), "is read by no operator"),
    "reads what there is not": (operator(BITS, inputs=("t99",)), "operator 4 (op4) reads 't99'"),
    "reads a number": (operator(BITS, inputs=(1,)), "reads 1"),
    "reads nothing": (operator(BITS, inputs=()), "has 0 inputs"),
    "adds three": (operator(ADD, inputs=("t1", "t2", "t1")), "has 3 inputs"),
    "adds one": (operator(ADD, inputs=("t2",)), "has 1 inputs"),
    "adds two shapes": (operator(ADD, inputs=("t0", "t2")), "reads maps of the shapes"),
    "makes what there is not": (operator(BITS, output="t99"), "makes 't99', which is no tensor"),
    "a cycle": (cycle, "operator 2 (op2) reads 't7', which nothing before it makes"),
    "makes a map twice": (twice, "makes t1, which is there already"),
    "makes the input": (onto_the_input, "makes t0, which is there already"),
    "a spare tensor": (spare_tensor, "tensor ['spare'] is read by no operator"),
    "a spare operator": (spare_operator, "tensor ['t2'] is read by no operator"),
    # Kinds and attributes
    "no such kind": (operator(BITS, kind="relu"), "there is no operator 'relu'"),
    "a list as a kind": (operator(BITS, kind=["conv2d"]), "is of the kind"),
    "another kind": (operator(CONV, kind="depthwise_conv2d"), "turns 5 channels into 6, which is no multiple"),
    "a kind without such a kernel": (operator(BITS, kind="depthwise_conv2d"), "turns bit into bit, for which"),
    **{
        f"{key}={value!r}": (attribute(CONV, key, value), f"operator 0 (op0) has {key}=")
        for key, values in {
            "kernel": [(0, 3), (3, -1), (3.0, 3), ("3", 3), (3,), 3, None, [3, 3], (True, 3), (2**21, 1), (10**30, 1)],
            "stride": [(0, 1), (1, 0), (1, -1), (1, 1.0), (1, "1"), (1, 2**21), (2**32, 1), (1,), None],
            "padding": [(-1, 1), (1, -1), (4, 1), (1, 4), (0.5, 1), ("1", 1), (1, 1, 1), 1],
            "relu": [0, 1, "no", None, (True,)],
            "extra": [(0, 0), (-(2**20) - 1, 0), (0, 1.0), (1,), 1, None],
            "dilation": [(1, 1), (0, 1), (2**20 + 1, 1), (2, 2.0), 2, [2, 2]],
            "groups": [1, 0, -1, 2.0, (2,), None, 2],
            "bits": [8, 1, 9, 4.0, "4", True, None],
        }.items()
        for value in values
    },
    "weights of more bits": (attribute(CONV, "bits", 4), "has weights of 4 bits, of which one is 1"),
    "few bits of bits": (attribute(BITS, "bits", 4), "has weights of 4 bits for bit to bit"),
    "another kernel": (attribute(CONV, "kernel", (3, 2)), "has the output shape"),
    "a kernel larger than its map": (attribute(LINEAR, "kernel", (9, 2)), "has kernel=(9, 2) for (6, 2, 3)"),
    "another stride": (attribute(CONV, "stride", (2, 1)), "has the output shape (6, 6, 6), not (3, 6, 6)"),
    "a padded pool of bits": (attribute(POOL, "padding", (1, 0)), "has padding=(1, 0)"),
    "extra padding of a pool of bits": (attribute(POOL, "extra", (1, 0)), "has padding=(0, 0) and extra=(1, 0)"),
    "a pool of padding alone": (attribute(AVERAGE, "padding", (2, 0)), "has padding=(2, 0) for kernel=(2, 2)"),
    "extra of padding alone": (attribute(AVERAGE, "extra", (0, 2)), "has padding=(0, 0) and extra=(0, 2)"),
    "less padding than none": (attribute(CONV, "extra", (0, -2)), "has padding=(1, 1) and extra=(0, -2)"),
    "extra that makes another row": (attribute(CONV, "extra", (1, 0)), "has the output shape (6, 6, 6), not (7, 6, 6)"),
    "more counted than there is": (attribute(AVERAGE, "counted", (0, 1, 0, 0)), "has counted=(0, 1, 0, 0), more than"),
    "a divisor too many": (parameter(AVERAGE, "shift", lambda a: a.repeat(4)), "has shift int32 (4,), not int32 (1,)"),
    "dilation": (attribute(CONV, "dilation", (2, 2)), "has the output shape (6, 6, 6), not (4, 4, 6)"),
    "a dilation that reaches far": (attribute(CONV, "dilation", (2**19, 1)), "has a kernel that reaches over (1048577"),
    "a dilation that overflows": (dilation_overflows, "has dilation=(1048576, 1) for (1, 4096, 1)"),
    "groups of 4 of 5 channels": (attribute(CONV, "groups", 4), "has groups=4 for 5 channels to 6"),
    "groups of bits": (attribute(BITS, "groups", 3), "has groups or a dilation for bit, for which there is no kernel"),
    "a dilation of bits": (attribute(TO_INT8, "dilation", (1, 2)), "has groups or a dilation for bit, for which"),
    "a spare attribute": (attribute(ADD, "kernel", (1, 1)), "has the attributes ['kernel', 'relu']"),
    "relu of a pool": (attribute(POOL, "relu", False), "has the attributes"),
    "relu of bits": (attribute(BITS, "relu", True), "has a ReLU of bits"),
    **{
        f"no {key}": (without_attribute(CONV, key), "operator 0 (op0) has the attributes")
        for key in ("kernel", "stride", "padding", "relu")
    },
    # Parameters
    **{
        f"no {key} of {index}": (without_parameter(index, key), f"operator {index} (op{index}) has the parameters")
        for index, op in enumerate(example().ops)
        for key in op.params
        if index != POOL
    },
    **{
        f"{key} of {index} cut": (parameter(index, key, lambda a: a[:-1]), f"operator {index} (op{index}) has {key}")
        for index, op in enumerate(example().ops)
        for key in op.params
    },
    **{
        f"{key} of {index} as float64": (parameter(index, key, lambda a: a.astype(np.float64)), f"has {key} float64")
        for index, op in enumerate(example().ops)
        for key in op.params
    },
    "flat weights": (parameter(CONV, "weight", np.ravel), "has weight int8 (270,), not int8 (6, 3, 3, 5)"),
    "weights of two rows fewer": (parameter(CONV, "weight", lambda a: a[:, :1]), "has weight int8 (6, 1, 3, 5)"),
    "a bias of int8": (parameter(CONV, "bias", lambda a: a.astype(np.int8)), "has bias int8"),
    "thresholds of float32": (parameter(BINARIZE, "threshold", lambda a: a.astype(np.float32)), "has threshold float"),
    "a spare parameter": (parameter(CONV, "flip", lambda _: np.zeros(1, np.uint32)), "has the parameters"),
    "parameters of a transpose": (parameter(TRANSPOSE, "flip", lambda _: np.zeros(1, np.uint32)), "has the parameters"),
    **{
        f"shift {shift} of {index}": (entry(index, "shift", shift), f"op{index}) has a shift outside of 1 to 62")
        for shift in (0, 63, 64, 127, -1, 2**31 - 1)
        for index in (CONV, DEPTHWISE, ADD, TO_INT8, AVERAGE)
    },
    "a negative multiplier": (entry(ADD, "multiplier", -1), "has a multiplier below 0"),
    **{
        f"two roundings of {index}": (entry(index, "shift", 100), "has a shift of two roundings")
        for index in (ADD, TO_INT8)
    },
    **{
        f"bias {bias} of {index}": (entry(index, "bias", bias), "in its accumulator")
        for bias in (2**31 - 1, -(2**31))
        for index in (CONV, DEPTHWISE, TO_INT8, LINEAR)
    },
    "unused bits of a weight": (entry(TO_INT8, "weight", 2), "has a weight with unused bits set"),
    **{
        f"unused bits of the flips of {index}": (entry(index, "flip", 2**31), "has a flip with unused bits set")
        for index in (BINARIZE, BITS, POOL)
    },
    # Sizes
    "a stride that overflows": (stride_overflows, "has stride=(1, 1048576) for (1, 1, 4096)"),
    "too many maps": (many_maps, "maps and buffers take"),
    "too much work": (much_work, "operator 1 (op1) with those before it does more than 1e+11 operations"),
    "a pool that sums too much": (large_pool, "may exceed the int32 bound"),
    "too large weights": (large_weights, "its parameters take"),
    "too many products for counters": (many_products, "more than the kernels can count"),
    "a large scratch buffer": (large_scratch, "maps and buffers take"),
    "many cases of padding": (many_cases, "sums of clipped windows"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_differs_in_one_thing_is_refused(change: Change, message: str) -> None:
    changed = change(example())
    with pytest.raises(ValueError) as raised:
        check_graph(changed)
    text = str(raised.value)
    assert message in text and "\n" not in text and len(text) < 300


def test_the_examples_pass() -> None:
    check_graph(example())
    check_graph(floats())


@pytest.mark.parametrize("index", [CONV, DEPTHWISE, LINEAR])
def test_what_a_kernel_of_another_kind_can_do_passes(index: int) -> None:
    check_graph(entry(index, "weight", -128)(example()))
    check_graph(entry(index, "shift", 100)(example()))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("index", "key"), [(0, "weight"), (0, "bias"), (1, "threshold"), (2, "scale"), (2, "bias"), (3, "scale")]
)
def test_what_is_not_finite_is_refused(index: int, key: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{key} that is not finite"):
        check_graph(entry(index, key, value)(floats()))


IN_MEMORY_ALONE = ("a tensor's name", "a tensor of another name", "kernel=[3, 3]", "dilation=[2, 2]")
"""Files have one name of a tensor, and no tuples."""


def test_files_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    save_graph(example(), path, {}, {})
    assert load_graph(path)[0].digest() == example().digest()
    in_files = [case for name, case in REFUSED.items() if name not in IN_MEMORY_ALONE]
    for change, message in in_files[::10]:
        save_graph(change(example()), path, {}, {})
        with pytest.raises(CellError, match="cannot be read as a graph: ") as raised:
            load_graph(path)
        assert message in str(raised.value)


@pytest.mark.parametrize(
    "content", ["[]", "1", '{"form": "F", "graph": []}', '{"form": "F", "graph": {"tensors": [], "ops": [1]}}']
)
def test_other_structures_are_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    save_file({"a": np.zeros(1)}, path, {"kilobench": content.replace("F", "kilobench graph 1")})
    with pytest.raises(CellError, match="cannot be read as a graph") as raised:
        load_graph(path)
    assert "\n" not in str(raised.value)


def test_no_name_becomes_code(tmp_path: Path) -> None:
    """Not even of a graph that never was in a file."""
    hostile = '*/ "; }; int x = 1; ??/\n\\ /*'
    emit(operator(ADD, name=hostile)(example()), tmp_path, hostile)
    text = (tmp_path / "model.c").read_text()
    plain = "__ __ __ int x = 1_ _____ __"
    assert f"/* {plain}: add */" in text and f'.name = "{plain}",' in text
    assert text.count("int x = 1") == 2

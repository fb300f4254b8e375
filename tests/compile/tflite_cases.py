# SPDX-License-Identifier: Apache-2.0
"""Small .tflite files: every operator that is supported, with the attributes that are, in every type."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.compile.tflite_files import Node, Value, model

Array = np.ndarray[Any, Any]
NONE, RELU, RELU_N1_TO_1, RELU6 = range(4)
SAME, VALID = range(2)


@dataclass(frozen=True)
class Case:
    """A file's operator between its first input and its first output; constants that are no activations are whole numbers."""

    name: str
    kind: str
    source: tuple[int, ...]
    made: tuple[int, ...]
    options: tuple[str, dict[str, Any]] | None = None
    constants: tuple[Array | str, ...] = ()
    """Inputs besides; numbers of activations and weights are float64, "x" is the source again, "other" another map of its
    shape, "mean" one of its means over height and width."""
    first: bool = True
    """Whether the source is the first input, or the last one."""
    grids: tuple[tuple[float, int], tuple[float, int]] = ((0.05, 3), (0.07, -5))
    parts: int = 1
    made_type: str = ""

    def moves(self, same: bool = True) -> "Case":
        return replace(self, grids=(self.grids[0], self.grids[0])) if same else self


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.5, shape)


def whole(*values: Any) -> Array:
    return np.array(values[0] if len(values) == 1 else values, np.int32)


def _conv(name: str, source: Any, weight: Any, made: Any, options: dict[str, Any], bias: bool = True) -> Case:
    kind = "DEPTHWISE_CONV_2D" if weight[0] == 1 and "DepthMultiplier" in options else "CONV_2D"
    table = "DepthwiseConv2DOptions" if kind != "CONV_2D" else "Conv2DOptions"
    options = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1, "Padding": SAME} | options
    constants: tuple[Array, ...] = (numbers(*weight),)
    constants += (numbers(made[-1], seed=1),) if bias else ()
    return Case(name, kind, source, made, (table, options), constants)


def _pools() -> list[Case]:
    cases = []
    shapes = {
        "same": ((1, 5, 7, 3), (1, 3, 4, 3), SAME, (3, 2), (2, 2)),
        "valid": ((1, 5, 7, 3), (1, 2, 3, 3), VALID, (3, 2), (2, 2)),
        "global": ((1, 6, 4, 5), (1, 1, 1, 5), VALID, (6, 4), (1, 1)),
        "wide": ((1, 2, 2, 1), (1, 2, 2, 1), SAME, (5, 5), (1, 1)),
    }
    for name, (source, made, padding, kernel, stride) in shapes.items():
        for kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
            for fused in (NONE, RELU, RELU6):
                options = {"Padding": padding, "FilterHeight": kernel[0], "FilterWidth": kernel[1]}
                options |= {"StrideH": stride[0], "StrideW": stride[1], "FusedActivationFunction": fused}
                cases.append(Case(f"{kind} {name} {fused}", kind, source, made, ("Pool2DOptions", options)).moves())
    return cases


def _convolutions() -> list[Case]:
    image = (1, 6, 5, 3)
    cases = [
        _conv(f"conv {fused}", image, (4, 3, 3, 3), (1, 6, 5, 4), {"FusedActivationFunction": fused})
        for fused in (NONE, RELU, RELU_N1_TO_1, RELU6)
    ]
    cases += [
        _conv("conv without bias", image, (4, 3, 3, 3), (1, 6, 5, 4), {}, bias=False),
        _conv("conv valid", image, (4, 3, 2, 3), (1, 4, 4, 4), {"Padding": VALID}),
        _conv("conv same, strides", image, (4, 3, 3, 3), (1, 3, 2, 4), {"StrideH": 2, "StrideW": 3}),
        _conv("conv same, even", image, (2, 2, 4, 3), (1, 6, 5, 2), {}),
        _conv("conv pointwise", image, (7, 1, 1, 3), (1, 6, 5, 7), {}),
        _conv("conv strided pointwise", image, (7, 1, 1, 3), (1, 3, 3, 7), {"StrideH": 2, "StrideW": 2}),
        _conv("conv dilated", image, (2, 3, 2, 3), (1, 6, 5, 2), {"DilationHFactor": 2, "DilationWFactor": 3}),
        _conv("conv of one row", (1, 1, 9, 2), (3, 1, 4, 2), (1, 1, 6, 3), {"Padding": VALID}),
        _conv("conv grouped", (1, 5, 4, 6), (4, 3, 3, 3), (1, 5, 4, 4), {}),
        _conv("depthwise", image, (1, 3, 3, 3), (1, 6, 5, 3), {"DepthMultiplier": 1, "FusedActivationFunction": RELU}),
        _conv(
            "depthwise, strides", image, (1, 3, 3, 3), (1, 3, 3, 3), {"DepthMultiplier": 1, "StrideH": 2, "StrideW": 2}
        ),
        _conv("depthwise multiplied", image, (1, 3, 2, 6), (1, 6, 5, 6), {"DepthMultiplier": 2}),
        _conv("depthwise of one", (1, 6, 5, 1), (1, 3, 2, 4), (1, 6, 5, 4), {"DepthMultiplier": 4}),
        _conv(
            "depthwise dilated",
            image,
            (1, 3, 3, 3),
            (1, 6, 5, 3),
            {"DepthMultiplier": 1, "DilationHFactor": 2, "DilationWFactor": 2},
        ),
        _conv("depthwise valid", image, (1, 6, 5, 3), (1, 1, 1, 3), {"DepthMultiplier": 1, "Padding": VALID}),
    ]
    return cases


def _dense(name: str, source: Any, out: int, taken: int, made: Any, bias: bool = True, **options: Any) -> Case:
    constants: tuple[Array, ...] = (numbers(out, taken),)
    constants += (numbers(out, seed=1),) if bias else ()
    return Case(name, "FULLY_CONNECTED", source, made, ("FullyConnectedOptions", options), constants)


def _denses() -> list[Case]:
    return [
        _dense("dense", (1, 20), 6, 20, (1, 6)),
        _dense("dense without bias", (1, 20), 6, 20, (1, 6), bias=False),
        _dense("dense relu", (1, 20), 6, 20, (1, 6), FusedActivationFunction=RELU),
        _dense("dense relu6", (1, 20), 6, 20, (1, 6), FusedActivationFunction=RELU6),
        _dense("dense of a map", (1, 3, 4, 5), 6, 60, (1, 6)),
        _dense("dense of rows", (1, 7, 5), 6, 5, (7, 6)),
        _dense("dense of rows, kept", (1, 7, 5), 6, 5, (1, 7, 6), KeepNumDims=True),
        _dense("dense of pixels, kept", (1, 3, 2, 5), 6, 5, (1, 3, 2, 6), KeepNumDims=True),
    ]


def _sums() -> list[Case]:
    cases = []
    for kind in ("ADD", "SUB", "MUL"):
        table = kind.capitalize() + "Options"
        for fused in (NONE, RELU, RELU6):
            options = (table, {"FusedActivationFunction": fused})
            for second in ("other", "mean"):
                cases.append(Case(f"{kind} {second} {fused}", kind, (1, 3, 4, 5), (1, 3, 4, 5), options, (second,)))
            number = numbers(1)[0].reshape(())
            cases.append(Case(f"{kind} a number {fused}", kind, (1, 3, 4, 5), (1, 3, 4, 5), options, (number,)))
        options = (table, {})
        for shape in ((5,), (1, 1, 1, 5), (4, 1), (1, 3, 1, 1), (3, 4, 5)):
            name = f"{kind} numbers {list(shape)}"
            cases.append(Case(name, kind, (1, 3, 4, 5), (1, 3, 4, 5), options, (numbers(*shape),)))
        name = f"{kind} to a number"
        cases.append(Case(name, kind, (1, 3, 4, 5), (1, 3, 4, 5), options, (numbers(1),), first=False))
    return cases


def _functions() -> list[Case]:
    shape = (1, 4, 3, 5)
    cases = [Case(kind, kind, shape, shape).moves() for kind in ("RELU", "RELU6")]
    cases += [Case(f"{kind} to another grid", kind, shape, shape) for kind in ("RELU", "RELU6")]
    cases += [
        Case("LOGISTIC", "LOGISTIC", shape, shape, grids=((0.05, 3), (1 / 256, -128))),
        Case("TANH", "TANH", shape, shape, grids=((0.02, 3), (1 / 128, 0))),
        Case("HARD_SWISH", "HARD_SWISH", shape, shape, ("HardSwishOptions", {})),
        Case(
            "HARD_SWISH wide", "HARD_SWISH", shape, shape, ("HardSwishOptions", {}), grids=((0.11, -20), (0.05, -100))
        ),
        Case("LEAKY_RELU", "LEAKY_RELU", shape, shape, ("LeakyReluOptions", {"Alpha": 0.1})),
        Case("LEAKY_RELU steep", "LEAKY_RELU", shape, shape, ("LeakyReluOptions", {"Alpha": 1.7})),
        Case("PRELU", "PRELU", shape, shape, None, (numbers(1, 1, 5),)),
        Case("PRELU of one", "PRELU", shape, shape, None, (np.full((1, 1, 1), 0.3),)),
        Case(
            "SOFTMAX", "SOFTMAX", (1, 12), (1, 12), ("SoftmaxOptions", {"Beta": 1.0}), grids=((0.1, 3), (1 / 256, -128))
        ),
        Case(
            "SOFTMAX of pixels",
            "SOFTMAX",
            (1, 3, 4, 6),
            (1, 3, 4, 6),
            ("SoftmaxOptions", {"Beta": 1.0}),
            grids=((0.1, 3), (1 / 256, -128)),
        ),
        Case(
            "SOFTMAX of rows",
            "SOFTMAX",
            (1, 4, 6),
            (1, 4, 6),
            ("SoftmaxOptions", {"Beta": 1.0}),
            grids=((0.1, 3), (1 / 256, -128)),
        ),
        Case("MAXIMUM", "MAXIMUM", shape, shape, ("MaximumMinimumOptions", {}), (np.float64(0.5).reshape(1),)).moves(),
        Case("MINIMUM", "MINIMUM", shape, shape, ("MaximumMinimumOptions", {}), (np.float64(0.5).reshape(1),)).moves(),
    ]
    return cases


def _shapes() -> list[Case]:
    shape = (1, 4, 3, 6)
    cases = [
        Case("RESHAPE", "RESHAPE", shape, (1, 72), ("ReshapeOptions", {}), (whole([1, 72]),)),
        Case("RESHAPE to rows", "RESHAPE", shape, (1, 12, 6), ("ReshapeOptions", {}), (whole([1, 12, 6]),)),
        Case("RESHAPE askew", "RESHAPE", shape, (1, 9, 8), ("ReshapeOptions", {}), (whole([1, 9, 8]),)),
        Case("SQUEEZE", "SQUEEZE", (1, 1, 4, 5), (4, 5), ("SqueezeOptions", {})),
        Case("EXPAND_DIMS", "EXPAND_DIMS", (1, 4, 5), (1, 4, 1, 5), None, (whole([2]),)),
        Case("TRANSPOSE", "TRANSPOSE", shape, (1, 6, 4, 3), None, (whole([0, 3, 1, 2]),)),
        Case("TRANSPOSE back", "TRANSPOSE", (4, 3, 6), (6, 3, 4), None, (whole([2, 1, 0]),)),
        Case("PAD", "PAD", shape, (1, 7, 6, 6), None, (whole([[0, 0], [1, 2], [3, 0], [0, 0]]),)),
        Case("PAD channels", "PAD", shape, (1, 4, 3, 9), None, (whole([[0, 0], [0, 0], [0, 0], [1, 2]]),)),
        Case(
            "PADV2",
            "PADV2",
            shape,
            (1, 5, 4, 7),
            None,
            (whole([[0, 0], [1, 0], [0, 1], [1, 0]]), np.float64(0.4).reshape(())),
        ),
    ]
    return [case.moves() for case in cases]


def _parts() -> list[Case]:
    shape = (1, 4, 3, 6)
    cases = [
        Case("SLICE", "SLICE", shape, (1, 2, 3, 4), None, (whole([0, 1, 0, 2]), whole([1, 2, -1, 4]))),
        Case(
            "SPLIT", "SPLIT", shape, (1, 4, 3, 2), ("SplitOptions", {"NumSplits": 3}), (whole(3),), first=False, parts=3
        ),
        Case(
            "SPLIT rows",
            "SPLIT",
            shape,
            (1, 2, 3, 6),
            ("SplitOptions", {"NumSplits": 2}),
            (whole(1),),
            first=False,
            parts=2,
        ),
        Case(
            "SPLIT_V",
            "SPLIT_V",
            shape,
            (1, 4, 3, 3),
            ("SplitVOptions", {"NumSplits": 2}),
            (whole([3, 3]), whole(-1)),
            parts=2,
        ),
        Case("CONCATENATION", "CONCATENATION", shape, (1, 4, 3, 12), ("ConcatenationOptions", {"Axis": 3}), ("x",)),
        Case(
            "CONCATENATION rows",
            "CONCATENATION",
            shape,
            (1, 12, 3, 6),
            ("ConcatenationOptions", {"Axis": 1}),
            ("x", "x"),
        ),
        Case("PACK", "PACK", (1, 4, 5), (1, 4, 2, 5), ("PackOptions", {"Axis": 2, "ValuesCount": 2}), ("x",)),
        Case("UNPACK", "UNPACK", (1, 3, 5), (1, 5), ("UnpackOptions", {"Axis": 1, "Num": 3}), parts=3),
    ]
    return [case.moves() for case in cases]


def _choices() -> list[Case]:
    shape = (1, 4, 3, 6)
    cases = [
        Case("ARG_MAX", "ARG_MAX", (1, 9), (1,), ("ArgMaxOptions", {"OutputType": 2}), (whole(1),), made_type="int32"),
        Case(
            "ARG_MAX of pixels",
            "ARG_MAX",
            shape,
            (1, 4, 3),
            ("ArgMaxOptions", {"OutputType": 2}),
            (whole(-1),),
            made_type="int32",
        ),
        Case(
            "ARG_MAX along rows",
            "ARG_MAX",
            shape,
            (1, 3, 6),
            ("ArgMaxOptions", {"OutputType": 2}),
            (whole(1),),
            made_type="int32",
        ),
        Case("REDUCE_MAX", "REDUCE_MAX", shape, (1, 6), ("ReducerOptions", {"KeepDims": False}), (whole([1, 2]),)),
        Case("DEPTH_TO_SPACE", "DEPTH_TO_SPACE", (1, 2, 3, 8), (1, 4, 6, 2), ("DepthToSpaceOptions", {"BlockSize": 2})),
        Case("SPACE_TO_DEPTH", "SPACE_TO_DEPTH", (1, 4, 6, 2), (1, 2, 3, 8), ("SpaceToDepthOptions", {"BlockSize": 2})),
    ]
    for half in (False, True):
        options = ("ResizeNearestNeighborOptions", {"HalfPixelCenters": half})
        for size in ((8, 6), (5, 7), (2, 2)):
            made = (1, *size, 6)
            cases.append(
                Case(f"RESIZE {half} {size}", "RESIZE_NEAREST_NEIGHBOR", shape, made, options, (whole(list(size)),))
            )
    return [case.moves() for case in cases]


def _strides() -> list[Case]:
    shape = (1, 4, 3, 6)
    masks = {"BeginMask": 0, "EndMask": 0, "EllipsisMask": 0, "NewAxisMask": 0, "ShrinkAxisMask": 0}
    strided = [
        ("STRIDED_SLICE", (1, 2, 2, 6), [0, 0, 0, 0], [1, 4, 3, 6], [1, 2, 2, 1], {}),
        ("STRIDED_SLICE from the end", (1, 2, 3, 2), [0, -2, 0, -2], [1, 4, 3, 6], [1, 1, 1, 1], {}),
        (
            "STRIDED_SLICE masked",
            (1, 3, 3, 6),
            [0, 1, 2, 3],
            [1, 2, 2, 2],
            [1, 1, 1, 1],
            {"BeginMask": 13, "EndMask": 15},
        ),
        ("STRIDED_SLICE shrunk", (1, 3, 6), [0, 2, 0, 0], [1, 3, 3, 6], [1, 1, 1, 1], {"ShrinkAxisMask": 2}),
    ]
    cases = []
    for name, made, begin, end, step, more in strided:
        parts = (whole(begin), whole(end), whole(step))
        cases.append(Case(name, "STRIDED_SLICE", shape, made, ("StridedSliceOptions", masks | more), parts))
    return [case.moves() for case in cases]


def _means() -> list[Case]:
    shape = (1, 4, 3, 6)
    axes = {"map": ([1, 2], (1, 6)), "rows": ([1], (1, 3, 6)), "channels": ([-1], (1, 4, 3)), "apart": ([1, 3], (1, 3))}
    cases = []
    for name, (reduced, made) in axes.items():
        options = ("ReducerOptions", {"KeepDims": False})
        cases.append(Case(f"MEAN {name}", "MEAN", shape, made, options, (whole(reduced),)))
    options = ("ReducerOptions", {"KeepDims": True})
    return [*cases, Case("MEAN kept", "MEAN", shape, (1, 1, 1, 6), options, (whole([1, 2]),))]


_MOVING = [*_shapes(), *_parts(), *_choices(), *_strides()]
CASES = [*_convolutions(), *_denses(), *_pools(), *_sums(), *_functions(), *_MOVING, *_means()]


def file_of(case: Case, dtype: str, per_channel: bool = True) -> bytes:
    """The file of a case, whose activations are of this type."""
    grids = case.grids if dtype == "int8" else ((), ())
    source = Value("x", case.source, dtype, *_once(grids[0]))
    made_type = case.made_type or dtype
    made = [
        Value(f"y{i}", case.made, made_type, *_once(grids[1] if not case.made_type else ())) for i in range(case.parts)
    ]
    values, names, nodes = [], [], []
    weighted = case.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    for place, constant in enumerate(case.constants):
        if isinstance(constant, str):
            names.append(constant)
            if constant != "x":
                other, before = _second(constant, source, dtype)
                values += other
                nodes += before
            continue
        value = _constant(case, f"c{place}", constant, dtype, place if weighted else 2, per_channel)
        values.append(value)
        names.append(value.name)
    inputs = ("x", *names) if case.first else (*names, "x")
    node = Node(case.kind, inputs, tuple(value.name for value in made), case.options)
    return model([source, *values, *made], [*nodes, node], ["x"], [value.name for value in made])


def _second(name: str, source: Value, dtype: str) -> tuple[list[Value], list[Node]]:
    """A second map: a function of the source that is a table, or a mean that both runtimes have."""
    grid = _once((0.09, 11) if dtype == "int8" else ())
    other = Value("other", source.shape, dtype, *grid)
    nodes = [Node("LEAKY_RELU", ("x",), ("other",), ("LeakyReluOptions", {"Alpha": -0.8}))]
    if name == "other":
        return [other], nodes
    shape = (1, 1, 1, source.shape[3])
    options = {
        "Padding": VALID,
        "FilterHeight": source.shape[1],
        "FilterWidth": source.shape[2],
        "StrideH": 1,
        "StrideW": 1,
    }
    nodes.append(Node("AVERAGE_POOL_2D", ("other",), ("mean",), ("Pool2DOptions", options)))
    return [other, Value("mean", shape, dtype, *grid)], nodes


def _once(grid: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
    return ((grid[0],), (grid[1],)) if grid else ((), ())


def _constant(case: Case, name: str, array: Array, dtype: str, place: int, per_channel: bool) -> Value:
    if array.dtype != np.float64:
        return Value(name, array.shape, "int32", array=array)
    if dtype == "float32":
        return Value(name, array.shape, dtype, array=array.astype(np.float32))
    if place == 2:
        scale, zero = (0.02, 7) if case.kind not in ("PADV2", "MAXIMUM", "MINIMUM") else case.grids[0]
        q = np.clip(np.rint(array / scale) + zero, -128, 127).astype(np.int8)
        return Value(name, array.shape, "int8", (scale,), (zero,), array=q)
    axis = 3 if case.kind == "DEPTHWISE_CONV_2D" else 0
    scales = _scales(case, per_channel)
    if place == 1:
        q = np.rint(array / (case.grids[0][0] * scales)).astype(np.int32)
        return Value(name, array.shape, "int32", tuple(case.grids[0][0] * scales), (0,) * scales.size, array=q)
    shape = [1] * array.ndim
    shape[axis] = -1
    q = np.clip(np.rint(array / scales.reshape(shape)), -127, 127).astype(np.int8)
    return Value(name, array.shape, "int8", tuple(scales.tolist()), (0,) * scales.size, axis, q)


def _scales(case: Case, per_channel: bool) -> Array:
    """Of the weights: their largest is 127."""
    weight = case.constants[0]
    assert not isinstance(weight, str)
    axis = 3 if case.kind == "DEPTHWISE_CONV_2D" else 0
    largest = np.abs(np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)).max(axis=1)
    found = largest if per_channel and case.kind != "FULLY_CONNECTED" else largest.max(keepdims=True)
    return (found / 127).astype(np.float32).astype(np.float64)

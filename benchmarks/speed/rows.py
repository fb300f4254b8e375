# SPDX-License-Identifier: Apache-2.0
"""What the tables of kernels show: layers, ratios and networks, each with goals and what others published.

CMSIS-NN's figures are of version 7 on the same emulated core, those of silicon from MLPerf Tiny's results: cycles per MAC.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from benchmarks.speed.points import Layer, Point, narrow, point, square
from kilobench.compile.graph import DType, Graph
from tests.compile.graphs import Builder
from tests.untrained import untrained

M4, M0PLUS = "nucleo_l4r5zi", "raspberry_pi_pico"
DEAD_SHIFT = 62
"""Of a channel whose output does not depend on what it reads."""

Points = Callable[[], list[Point]]


@dataclass(frozen=True)
class Row:
    """Layers on a board: the worst of their cycles per MAC, or per value of layers without MACs, is to be below ``reach``,
    better ``aim``.
    """

    title: str
    points: Points
    reach: float
    aim: float
    anchors: str = "-"
    board: str = M4


@dataclass(frozen=True)
class Ratio:
    """Layers, and others beside which they are held: the largest ratio of cycles per MAC."""

    title: str
    points: Points
    others: Points
    reach: float
    aim: float


@dataclass(frozen=True)
class Net:
    """A network, in cycles per MAC, or in times the cycles of the network ``over``; ``best`` is a time on silicon in ms."""

    title: str
    graph: Callable[[], Graph]
    reach: float | None
    aim: float | None
    anchors: str
    board: str = M4
    over: str = ""
    best: float | None = None


def _layers(kind: str, *layers: Layer, read: DType = "int8", made: DType | None = None) -> Points:
    return lambda: [point(kind, read, made or read, layer) for layer in layers]


def _conv(*layers: Layer, read: DType = "int8", made: DType | None = None) -> Points:
    return _layers("conv2d", *layers, read=read, made=made)


def _narrow(bits: int, *layers: Layer) -> Points:
    return _conv(*(layer._replace(bits=bits) for layer in layers))


def _sparse(of: int, *layers: Layer) -> Points:
    return _conv(*(layer._replace(of=of) for layer in layers))


def _depthwise(*layers: Layer, read: DType = "int8") -> Points:
    return _layers("depthwise_conv2d", *layers, read=read)


def _binarize(read: DType) -> Points:
    return _layers("binarize", square(16, 16), square(16, 64), read=read, made="bit")


_NARROW = list(chain.from_iterable(
    narrow(taps, channels, size, padding)
    for taps, size in ((3, 30), (5, 28), (10, 24), (15, 15))
    for channels in (40, 128)
    for padding in ("none", "same")
))  # fmt: skip
_CONV, _POINTWISE, _DENSE = square(16, 32, 3, out=32), square(16, 32, out=32), square(1, 1024, out=64)
_SAME = [square(16, 16, 3, stride, "same", 32) for stride in (2, 3)]
_SAME_DEPTHWISE = [square(12, 64, 3, 2, "same"), square(6, 128, 3, 2, "same"), square(8, 32, 3, 3, "same")]

LAYERS = {
    "int8_conv3x3": Row("int8 conv 3x3, 16x16x32 -> 32", _conv(_CONV), 1.65, 1.45, "CMSIS-NN 2.35; hand-tuned C 1.75"),
    "int8_pointwise32": Row("int8 pointwise, 16x16x32 -> 32", _conv(_POINTWISE), 1.5, 1.2, "CMSIS-NN 3.47"),
    "int8_pointwise64": Row("25x5x64 -> 64", _conv(Layer((25, 5, 64), out=64)), 1.4, 1.2),
    "int8_pointwise256": Row("3x3x256 -> 256", _conv(square(3, 256, out=256)), 1.3, 1.2),
    "int8_dense1024": Row("int8 dense 1024 -> 64", _conv(_DENSE), 1.35, 1.2, "CMSIS-NN 2.53"),
    "int8_dense256": Row("256 -> 2", _conv(square(1, 256, out=2)), 3, 2, "CMSIS-NN 3.3"),
    "int8_dense64": Row("64 -> 12", _conv(square(1, 64, out=12)), 3, 2),
    "int4_conv3x3": Row("4 bits: conv 3x3, 16x16x32 -> 32", _narrow(4, _CONV), 1.35, 1.1, "CMSIS-NN's s4 4.87"),
    "int4_pointwise32": Row("pointwise, 16x16x32 -> 32", _narrow(4, _POINTWISE), 2, 1.4),
    "int4_dense1024": Row("dense 1024 -> 64", _narrow(4, _DENSE), 1.5, 1.3),
    "ternary_conv3x3": Row("2 bits: conv 3x3, 16x16x32 -> 32", _narrow(2, _CONV), 1.2, 0.8),
    "ternary_pointwise32": Row("pointwise, 16x16x32 -> 32", _narrow(2, _POINTWISE), 1.6, 1.2),
    "ternary_dense1024": Row("dense 1024 -> 64", _narrow(2, _DENSE), 1.2, 0.9),
    "sparse8_conv3x3": Row("1 of 8 weights: conv 3x3, 16x16x32 -> 32", _sparse(8, _CONV), 0.6, 0.4),
    "sparse8_pointwise32": Row("pointwise, 16x16x32 -> 32", _sparse(8, _POINTWISE), 1, 0.7),
    "sparse8_dense1024": Row("dense 1024 -> 64", _sparse(8, _DENSE), 0.8, 0.6),
    "sparse4_conv3x3": Row("1 of 4 weights: conv 3x3, 16x16x32 -> 32", _sparse(4, _CONV), 0.9, 0.7),
    "int8_depthwise3x3": Row("int8 depthwise 3x3, 16x16x32", _depthwise(square(16, 32, 3)), 3.5, 2.5, "CMSIS-NN 9.53"),
    "int8_depthwise_6x6": Row("stride 2, 6x6x128", _depthwise(square(6, 128, 3, 2)), 6, 4, "CMSIS-NN 8.9"),
    "int8_depthwise_12x12": Row("stride 2, 12x12x64", _depthwise(square(12, 64, 3, 2)), 5, 4, "CMSIS-NN 9.3"),
    "int8_depthwise_3x3x256": Row("3x3x256", _depthwise(square(3, 256, 3)), 6, 4, "CMSIS-NN 8.1"),
    "int8_depthwise_narrow": Row(
        "Kx1 on one column, 1xK on one row: 3 to 15 taps, 40 and 128 channels",
        _depthwise(*_NARROW), 4, 2.5, "CMSIS-NN 13-30",
    ),
    "int8_depthwise5x5": Row("5x5, 16x16x32", _depthwise(square(16, 32, 5)), 4, 3),
    "int8_depthwise7x7": Row("7x7, 16x16x32", _depthwise(square(16, 32, 7)), 4, 3),
    "int8_depthwise_stride3": Row("3x3 stride 3, 16x16x32", _depthwise(square(16, 32, 3, 3)), 4, 3),
    "int8_depthwise_2x2": Row("3x3 on 2x2x64", _depthwise(square(2, 64, 3)), 8, 3),
    "int8_depthwise_1x1": Row("3x3 on 1x1x64", _depthwise(square(1, 64, 3)), 8, 3),
    "int16_conv1x9": Row(
        "int16 conv 1x9/2, 1x30225x1 -> 7",
        _conv(Layer((1, 30225, 1), (1, 9), (1, 2), out=7), read="int16", made="int8"), 2.5, 2.3,
    ),
    "int16_conv3x3": Row("int16 conv 3x3, 32x32x3 -> 16", _conv(square(32, 3, 3, out=16), read="int16", made="int8"), 2.6, 2.2),
    "binary_conv3x3": Row(
        "binary conv 3x3, 16x16x64 -> 64", _conv(square(16, 64, 3, out=64), read="bit"), 0.32, 0.25,
        "popcount by bit trick 0.53-1.02; Harley-Seal in C 0.39-0.42",
    ),
    "binary_conv3x3_16": Row("16x16x64 -> 16", _conv(square(16, 64, 3, out=16), read="bit"), 0.4, 0.25),
    "binary_conv3x3_8": Row("16x16x64 -> 8", _conv(square(16, 64, 3, out=8), read="bit"), 0.4, 0.25),
    "int8_binarize": Row("binarize of int8, 16x16x16 and 64, cycles a channel", _binarize("int8"), 5, 3),
    "fp32_binarize": Row("binarize of fp32, 16x16x16 and 64, cycles a channel", _binarize("float32"), 5, 3),
    "fp32_conv3x3": Row("fp32 conv 3x3, 16x16x32 -> 32", _conv(_CONV, read="float32"), 3.4, 3, "naive 5-13; blocked 3.4"),
    "fp32_depthwise3x3": Row("fp32 depthwise 3x3, 16x16x32", _depthwise(square(16, 32, 3), read="float32"), 3.2, 2.6),
    "fp32_pointwise": Row("fp32 pointwise, 16x16x32 -> 32", _conv(_POINTWISE, read="float32"), 3.2, 2.6),
    "fp32_dense": Row("fp32 dense 1024 -> 64", _conv(_DENSE, read="float32"), 3.2, 2.6),
    "m0plus_int8_conv3x3": Row("M0+ int8 conv 3x3, 16x16x32 -> 32", _conv(_CONV), 7, 6, "CMSIS-NN 9.5", M0PLUS),
    "m0plus_int4_conv3x3": Row("M0+ 4 bits: conv 3x3, 16x16x32 -> 32", _narrow(4, _CONV), 7, 5, "-", M0PLUS),
    "m0plus_sparse8_conv3x3": Row("M0+ 1 of 8 weights: conv 3x3, 16x16x32 -> 32", _sparse(8, _CONV), 2.5, 2, "-", M0PLUS),
    "m0plus_ternary_conv3x3": Row("M0+ 2 bits: conv 3x3, 16x16x32 -> 32", _narrow(2, _CONV), 7, 5, "-", M0PLUS),
}  # fmt: skip


def _symmetric(layers: list[Layer]) -> list[Layer]:
    """With as many outputs, and padding on both sides."""
    return [layer._replace(padding="half") for layer in layers]


def _nearly_dead(points: list[Point]) -> list[Point]:
    """Every eighth channel has a factor that leaves nothing of its sums."""

    def dead(one: Point) -> Point:
        graph, (op,) = one.case.graph, one.case.graph.ops
        shift = np.where(np.arange(len(op.params["shift"])) % 8, op.params["shift"], DEAD_SHIFT).astype(np.int32)
        ops = (replace(op, params=op.params | {"shift": shift}),)
        return replace(one, case=replace(one.case, graph=replace(graph, ops=ops)))

    return [dead(one) for one in points]


def _usual() -> list[Point]:
    return [*_conv(_CONV, _POINTWISE, _DENSE)(), *_depthwise(square(16, 32, 3))()]


RATIOS = {
    "same_conv": Ratio("conv 3x3, stride 2 and 3: SAME over symmetric", _conv(*_SAME), _conv(*_symmetric(_SAME)), 1.03, 1),
    "same_depthwise": Ratio(
        "depthwise 3x3, stride 2 and 3: SAME over symmetric",
        _depthwise(*_SAME_DEPTHWISE), _depthwise(*_symmetric(_SAME_DEPTHWISE)), 1.03, 1,
    ),
    "dead_channels": Ratio(
        f"one channel in eight with shift {DEAD_SHIFT} over none", lambda: _nearly_dead(_usual()), _usual, 1, 1
    ),
}  # fmt: skip


def _prelu_after_binary() -> Graph:
    b = Builder(0, wild=False)
    source = b.tensor((16, 16, 64), "bit")
    made = b.conv(source, "int8", 64, (3, 3), (1, 1), (1, 1))
    return b.graph(source, b.any("prelu", made, "int8"))


def resnet8() -> Graph:
    """IC."""
    return untrained("resnet8", "int8", (3, 32, 32), 10)


def ds_cnn(recipe: str = "int8") -> Graph:
    """KWS."""
    return untrained("ds_cnn", recipe, (1, 49, 10), 12)


def mobilenet_v1() -> Graph:
    """VWW."""
    return untrained("mobilenet_v1", "int8", (3, 96, 96), 2)


def autoencoder() -> Graph:
    """AD."""
    return untrained("autoencoder", "int8", (640, 1, 1), 640)


NETS = {
    "ic": Net("IC: resnet8", resnet8, 1.28, 1.2, "ST 1.58; with CMSIS-NN 2.8", best=165),
    "kws": Net("KWS: ds_cnn", ds_cnn, 1.8, 1.5, "ST 1.95; with CMSIS-NN 3.5", best=43.2),
    "vww": Net("VWW: mobilenet_v1", mobilenet_v1, 1.4, 1.25, "ST 1.42; with CMSIS-NN 3.9", best=88.9),
    "ad": Net("AD: autoencoder", autoencoder, 1.5, 1.35, "Plumerai 1.84; with CMSIS-NN 2.8", best=4.1),
    "kws_fp32": Net("KWS in fp32", lambda: ds_cnn("full"), 3.2, 2.6, "-"),
    "binary_prelu": Net("binary conv 3x3, 16x16x64 -> 64, PReLU", _prelu_after_binary, 0.8, 0.25, "-"),
    "kws_m0plus": Net("KWS on M0+, times M4", ds_cnn, 3.5, 3, "silicon 4.2-5.8", M0PLUS, "kws"),
    "ic_m7": Net("IC on M7, times M4", resnet8, None, None, "silicon 0.55-0.71", "nucleo_h743zi", "ic"),
    "ic_m33": Net("IC on M33, times M4", resnet8, None, None, "silicon 0.77-0.90", "nucleo_u575zi_q", "ic"),
}

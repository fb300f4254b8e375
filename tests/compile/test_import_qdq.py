# SPDX-License-Identifier: Apache-2.0
"""Quantisers of files become grids: which operators become integers, and that they compute what onnxruntime and torch do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

pytest.importorskip("onnx", reason="reads .onnx files")
pytest.importorskip("onnxruntime", reason="what .onnx files are compared with")

from kilobench.compile.imports import exported
from kilobench.compile.imports.lowering import lower_program
from kilobench.compile.imports.onnx import load_onnx
from kilobench.compile.imports.program import Program
from kilobench.contracts import UserError
from tests.compile.importing import reference, run
from tests.compile.onnxfiles import model, numbers, saved

F = np.float32


def integers(*shape: int, seed: int = 0) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-127, 128, shape).astype(np.int8)


GRIDS: dict[str, Any] = {
    **{"sx": F(0.05), "zx": np.int8(3), "sy": F(0.07), "zy": np.int8(-9), "sz": F(0.02), "zz": np.int8(100)},
    **{"ux": F(0.05), "vx": np.uint8(131), "uy": F(0.07), "vy": np.uint8(119), "zero": np.int64(0)},
    "w": integers(6, 4, 3, 3),
    "sw": abs(numbers(6)) * F(0.01) + F(0.002),
    "zw": np.zeros(6, np.int8),
    "b": integers(6).astype(np.int32) * 9,
    "sb": (abs(numbers(6)) * F(0.01) + F(0.002)) * F(0.05),
    "zb": np.zeros(6, np.int32),
    "fb": numbers(6),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "onehalf": F(1.5),
    "gw": integers(360, 5),
    "gs": abs(numbers(5)) * F(0.002) + F(0.0005),
    "gz": np.zeros(5, np.int8),
    "uw": (integers(6, 4, 3, 3).astype(int) + 128).astype(np.uint8),
    "s1": F(0.004),
    "v128": np.uint8(128),
    "b1": integers(6).astype(np.int32) * 40,
    "mw": integers(4, 4, seed=3),
    "m0": np.int8(0),
    "gb": integers(5).astype(np.int32) * 30,
}
X = "qx = QuantizeLinear(x, sx, zx) dx = DequantizeLinear(qx, sx, zx)"
W = "dw = DequantizeLinear<axis=0>(w, sw, zw) db = DequantizeLinear<axis=0>(b, sb, zb)"
Y = "qy = QuantizeLinear(r, sy, zy) y = DequantizeLinear(qy, sy, zy)"
CONV = f"{X} {W} c = Conv(dx, dw, db)"

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "conv, relu": (f"{CONV} r = Relu(c) {Y}", "quantise conv relu dequantise", {}),
    "conv, bounds, pool": (
        f"{CONV} k = Clip(c, zero_f, six) r = MaxPool<kernel_shape=[2,2]>(k) {Y}",
        "quantise conv clip max_pool dequantise",
        {"zero_f": F(0), "six": F(6)},
    ),
    "bias in floats": (f"{X} {W} r = Conv(dx, dw, fb) {Y}", "quantise conv dequantise", {}),
    "no quantiser behind": (f"{CONV} y = Relu(c)", "quantise dequantise conv relu", {}),
    "floats needed too": (
        f"{CONV} q = QuantizeLinear(c, sy, zy) d = DequantizeLinear(q, sy, zy) y = Add(c, d)",
        "quantise dequantise conv quantise dequantise add",
        {},
    ),
    "two grids of one value": (
        f"{CONV} q = QuantizeLinear(c, sy, zy) d = DequantizeLinear(q, sy, zy)"
        " p = QuantizeLinear(c, sz, zz) e = DequantizeLinear(p, sz, zz) y = Sub(d, e)",
        "quantise dequantise conv quantise quantise dequantise dequantise sub",
        {},
    ),
    "the same quantiser twice": (
        f"{CONV} q = QuantizeLinear(c, sy, zy) d = DequantizeLinear(q, sy, zy)"
        " p = QuantizeLinear(c, sy, zy) e = DequantizeLinear(p, sy, zy) r = Add(d, e) q2 = QuantizeLinear(r, sz, zz)"
        " y = DequantizeLinear(q2, sz, zz)",
        "quantise conv add dequantise",
        {},
    ),
    "concat of two grids": (
        f"{CONV} q = QuantizeLinear(c, sz, zz) d = DequantizeLinear(q, sz, zz) s = Slice(dx, b2, e2, a2)"
        f" r = Concat<axis=1>(d, s) {Y}",
        "quantise conv slice quantise quantise concat dequantise",
        {"b2": np.array([0, 0]), "e2": np.array([7, 8]), "a2": np.array([2, 3])},
    ),
    "requantised": (f"{X} r = Identity(dx) {Y}", "quantise quantise dequantise", {}),
    "moved": (
        f"{X} t = Transpose<perm=[0,2,3,1]>(dx) r = Reshape(t, s2) {Y}",
        "quantise transpose reshape quantise dequantise",
        {"s2": np.array([1, -1])},
    ),
    "pad by what is on the grid": (
        f"{X} p = Pad(dx, pads) {W} r = Conv(p, dw, db) {Y}",
        "quantise pad conv dequantise",
        {},
    ),
    "pad by what is not": (
        f"{X} p = Pad(dx, pads, odd) y = Relu(p)",
        "quantise dequantise pad relu",
        {"odd": F(0.0333)},
    ),
    "average and mean": (
        f"{X} a = AveragePool<kernel_shape=[3,3]>(dx) q = QuantizeLinear(a, sz, m0) d = DequantizeLinear(q, sz, m0)"
        f" r = ReduceMean<axes=[2,3]>(d) {Y}",
        "quantise avg_pool mean dequantise",
        {},
    ),
    "functions": (
        f"{X} h = HardSwish(dx) q = QuantizeLinear(h, sy, zy) d = DequantizeLinear(q, sy, zy) r = Mul(d, dx) {Y}".replace(
            "qy", "q3"
        ),
        "quantise hard_swish mul dequantise",
        {},
    ),
    "argmax": (f"{X} f = Flatten(dx) y = ArgMax<axis=1>(f)", "quantise reshape argmax", {}),
    "gemm": (
        f"{X} f = Flatten(dx) dg = DequantizeLinear<axis=1>(gw, gs, gz) r = Gemm(f, dg) {Y}",
        "quantise reshape dense dequantise",
        {},
    ),
    "conv 1d": (
        "qx = QuantizeLinear(x, sx, zx) dx = DequantizeLinear(qx, sx, zx) dw = DequantizeLinear<axis=0>(w1, sw, zw)"
        f" c = Conv<pads=[2,0]>(dx, dw, fb) r = Relu(c) {Y}",
        "quantise reshape conv relu reshape dequantise",
        {"w1": integers(6, 4, 3)},
    ),
    "unsigned": (
        "qx = QuantizeLinear(x, ux, vx) dx = DequantizeLinear(qx, ux, vx) dw = DequantizeLinear(uw, s1, v128)"
        " c = Conv(dx, dw, fb) q = QuantizeLinear(c, uy, vy) y = DequantizeLinear(q, uy, vy)",
        "quantise conv dequantise",
        {},
    ),
    "QLinearConv": (
        "qx = QuantizeLinear(x, ux, vx) q = QLinearConv<pads=[1,1,1,1]>(qx, ux, vx, w, sw, zw, uy, vy, b)"
        " m = MaxPool<kernel_shape=[2,2]>(q) y = DequantizeLinear(m, uy, vy)",
        "quantise conv max_pool dequantise",
        {},
    ),
    "QLinearMatMul": (
        "qx = QuantizeLinear(x, ux, vx) f = Flatten(qx) q = QLinearMatMul(f, ux, vx, gw, s1, m0, uy, vy)"
        " y = DequantizeLinear(q, uy, vy)",
        "quantise reshape dense dequantise",
        {},
    ),
    "QGemm": (
        "qx = QuantizeLinear(x, ux, vx) f = Flatten(qx) q = com.microsoft.QGemm(f, ux, vx, gw, gs, gz, gb, uy, vy)"
        " y = DequantizeLinear(q, uy, vy)",
        "quantise reshape dense dequantise",
        {},
    ),
    "QLinear of com.microsoft": (
        "qx = QuantizeLinear(x, ux, vx) a = com.microsoft.QLinearAdd(qx, ux, vx, qx, ux, vx, uy, vy)"
        " b5 = com.microsoft.QLinearMul(a, uy, vy, qx, ux, vx, uy, vy) c = com.microsoft.QLinearSigmoid(qx, ux, vx, s1, m00)"
        " d = com.microsoft.QLinearLeakyRelu<alpha=0.1>(qx, ux, vx, ux, vx)"
        " e = com.microsoft.QLinearConcat<axis=1>(uy, vy, b5, uy, vy, c, s1, m00, d, ux, vx)"
        " g = com.microsoft.QLinearAveragePool<kernel_shape=[3,3]>(e, uy, vy, uy, vy)"
        " h = com.microsoft.QLinearGlobalAveragePool(g, uy, vy, uy, vy) y = DequantizeLinear(h, uy, vy)",
        "quantise add mul sigmoid leaky_relu quantise quantise concat avg_pool mean dequantise",
        {"m00": np.uint8(0)},
    ),
}


def kinds(program: Program) -> list[str]:
    return [node.kind for node in program.nodes]


@pytest.mark.parametrize("name", CASES)
def test_integers_and_floats(name, tmp_path):
    body, wanted_kinds, more = CASES[name]
    shape = (1, 4, 20) if "1d" in name else (1, 4, 9, 10)
    dtypes = ("float", "int64") if name == "argmax" else ("float", "float")
    path = saved(model(body, GRIDS | more, shape=shape, dtypes=dtypes), tmp_path)
    program = load_onnx(path.read_bytes())
    assert sorted(kinds(program)) == sorted(wanted_kinds.split())
    x = numbers(8, *shape[1:], seed=1) * F(2)
    found, wanted = run(lower_program(program), program, x)[0], reference(path, x)[0]
    step = 0.07 if wanted.dtype == np.float32 else 1
    away = abs(found.astype(float) - wanted)
    assert found.shape == wanted.shape and away.max() <= step * 1.001 and (away > step / 2).mean() <= 0.1


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_integers_from_end_to_end(dtype, tmp_path):
    """The input and the output of the network are integers; those in between are int8."""
    scale, zero = ("ux", "vx") if dtype == "uint8" else ("sx", "zx")
    body = f"dx = DequantizeLinear(x, {scale}, {zero}) {W} c = Conv(dx, dw, db) r = Relu(c)"
    body += f" y = QuantizeLinear(r, {scale}, {zero})"
    path = saved(model(body, GRIDS, dtypes=(dtype, dtype)), tmp_path)
    program = load_onnx(path.read_bytes())
    graph = lower_program(program)
    x = integers(4, 4, 9, 10, seed=2).view(dtype)
    assert graph.tensors[graph.input].dtype == graph.tensors[graph.output].dtype == dtype
    assert graph.tensors[graph.input].zero_point == int(GRIDS[zero])
    found, wanted = run(graph, program, x)[0], reference(path, x)[0]
    assert found.dtype == wanted.dtype and (found != wanted).mean() < 0.01


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "int16": (
        "q = QuantizeLinear(x, sx, z) y = DequantizeLinear(q, sx, z)",
        {"z": np.int16(0)},
        "has int16 numbers; supported are int8, uint8",
    ),
    "nan": (
        "q = QuantizeLinear(x, s, zx) y = DequantizeLinear(q, s, zx)",
        {"s": F(np.nan)},
        "not a positive, finite number",
    ),
    "zero": (
        "q = QuantizeLinear(x, s, zx) y = DequantizeLinear(q, s, zx)",
        {"s": F(0)},
        "not a positive, finite number",
    ),
    "tiny": (
        "q = QuantizeLinear(x, s, zx) y = DequantizeLinear(q, s, zx)",
        {"s": F(1e-44)},
        "not a positive, finite number",
    ),
    "per channel": (
        "q = QuantizeLinear<axis=1>(x, s, z) y = DequantizeLinear<axis=1>(q, s, z)",
        {"s": F([1, 2, 3, 4]), "z": np.zeros(4, np.int8)},
        "a scale per channel; supported is one scale",
    ),
    "counts": (
        "q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)",
        {"s": F([1, 2]), "z": np.zeros(2, np.int8)},
        "has 2 scales for 4",
    ),
    "shapes": (
        "q = QuantizeLinear(x, sx, z) y = DequantizeLinear(q, sx, z)",
        {"z": np.zeros(4, np.int8)},
        "supported is one for each",
    ),
    "computed": (
        "s = ReduceMean(x) q = QuantizeLinear(x, s, zx) y = DequantizeLinear(q, s, zx)",
        {},
        "needs a constant",
    ),
    "dynamic": ("q, s, z = DynamicQuantizeLinear(x) y = DequantizeLinear(q, s, z)", {}, "nearest is QuantizeLinear"),
    "other scale": ("q = QuantizeLinear(x, sx, zx) y = DequantizeLinear(q, sy, zy)", {}, "another scale or zero point"),
    "other type": ("q = QuantizeLinear(x, sx, zx) y = DequantizeLinear(q, ux, vx)", {}, "with a zero point of uint8"),
    "arithmetic": ("q = QuantizeLinear(x, sx, zx) a = Add(q, q) y = DequantizeLinear(a, sx, zx)", {}, "reads int8"),
    "mixed": (
        "q = QuantizeLinear(x, sx, zx) p = QuantizeLinear(x, sy, zy) c = Concat<axis=1>(q, p) y = DequantizeLinear(c, sx, zx)",
        {},
        "joins integers",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_grids_that_are_refused(name, tmp_path):
    body, more, text = REFUSED[name]
    with pytest.raises(UserError) as caught:
        load_onnx(saved(model(body, GRIDS | more, opset=21), tmp_path).read_bytes())
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_an_input_of_integers_without_scale_is_refused(tmp_path):
    path = saved(model("y = MaxPool<kernel_shape=[2,2]>(x)", dtypes=("uint8", "uint8")), tmp_path)
    with pytest.raises(UserError, match="the input x is uint8 without scale and zero point"):
        load_onnx(path.read_bytes())


class PT2E(nn.Module):
    """As convert_pt2e of torchao leaves a convolution and a dense layer: weights folded, biases in floats."""

    def __init__(self, per_channel: bool) -> None:
        super().__init__()
        import torch.ao.quantization.fx._decomposed

        generator = torch.Generator().manual_seed(0)
        self.per_channel = per_channel
        self.register_buffer("weight", torch.randint(-127, 128, (6, 4, 3, 3), generator=generator, dtype=torch.int8))
        self.register_buffer("scales", torch.rand(6, generator=generator) * 0.01 + 0.001)
        self.register_buffer("zeros", torch.zeros(6, dtype=torch.int64))
        self.register_buffer("fc", torch.randint(-127, 128, (3, 6), generator=generator, dtype=torch.int8))
        self.bias = nn.Parameter(torch.randn(6, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        ops = torch.ops.quantized_decomposed

        def quantised(value: Tensor, scale: float, zero: int) -> Tensor:
            q = ops.quantize_per_tensor(value, scale, zero, -128, 127, torch.int8)
            return ops.dequantize_per_tensor(q, scale, zero, -128, 127, torch.int8)

        if self.per_channel:
            weight = ops.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, -127, 127, torch.int8)
        else:
            weight = ops.dequantize_per_tensor(self.weight, 0.004, 0, -127, 127, torch.int8)
        y = torch.relu(torch.conv2d(quantised(x, 0.05, 3), weight, self.bias, padding=1))
        y = quantised(y, 0.07, -128).mean((2, 3))
        fc = ops.dequantize_per_tensor(self.fc, 0.01, 0, -127, 127, torch.int8)
        return quantised(nn.functional.linear(quantised(y, 0.05, -128), fc), 0.06, 4)


@pytest.mark.parametrize("per_channel", [False, True])
def test_quantisers_of_pt2e(per_channel, tmp_path):
    module, x = PT2E(per_channel), torch.randn(8, 4, 9, 10, generator=torch.Generator().manual_seed(1)) * 2
    path = Path(tmp_path) / "model.pt2"
    torch.export.save(torch.export.export(module, (x[:1],), strict=False), path)
    program = exported.load_pt2(path.read_bytes())
    assert kinds(program) == ["quantise", "conv", "relu", "mean", "reshape", "dense", "dequantise"]
    with torch.no_grad():
        wanted = torch.cat([module(x[i : i + 1]) for i in range(8)]).numpy()
    away = abs(run(lower_program(program), program, x.numpy())[0] - wanted)
    assert away.max() <= 0.0601 and (away > 0.03).mean() <= 0.1


def test_quantisers_of_torchao(tmp_path):
    """Of its schema; the package itself is not needed."""
    with torch.library._scoped_library("torchao", "FRAGMENT") as library:
        arguments = "Tensor input, SymInt[] block_size, Tensor scale, Tensor? zero_point, ScalarType"
        library.define(
            f"quantize_affine({arguments} output_dtype, Scalar? quant_min=None, Scalar? quant_max=None) -> Tensor"
        )
        library.define(
            f"dequantize_affine({arguments} input_dtype, Scalar? quant_min=None, Scalar? quant_max=None,"
            " ScalarType output_dtype=float) -> Tensor"
        )
        library.impl(
            "quantize_affine", lambda x, *rest: torch.empty_like(x, dtype=torch.int8), "CompositeExplicitAutograd"
        )
        library.impl(
            "dequantize_affine", lambda x, *rest: torch.empty_like(x, dtype=torch.float32), "CompositeExplicitAutograd"
        )

        class Affine(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("weight", torch.ones(6, 360, dtype=torch.int8))
                self.register_buffer("scales", torch.rand(6))
                self.register_buffer("scale", torch.tensor(0.05))
                self.register_buffer("zero", torch.tensor(3))

            def forward(self, x: Tensor) -> Tensor:
                ops, whole = torch.ops.torchao, [1, 360]
                q = ops.quantize_affine(x.flatten(1), whole, self.scale, self.zero, torch.int8, -128, 127)
                d = ops.dequantize_affine(q, whole, self.scale, self.zero, torch.int8, -128, 127)
                y = nn.functional.linear(d, ops.dequantize_affine(self.weight, whole, self.scales, None, torch.int8))
                return ops.quantize_affine(y, [1, 6], self.scale, self.zero, torch.int8)

        path = Path(tmp_path) / "model.pt2"
        torch.export.save(torch.export.export(Affine(), (torch.randn(1, 4, 9, 10),), strict=False), path)
    program = exported.load_pt2(path.read_bytes())
    assert kinds(program) == ["reshape", "quantise", "dense"]
    weight = program.values[program.nodes[-1].inputs[1]]
    assert weight.grid is not None and weight.grid.axis == 0 and weight.grid.scale.size == 6

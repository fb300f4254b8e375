# SPDX-License-Identifier: Apache-2.0
"""Every operator of ONNX that is imported computes what onnxruntime does; what is not imported says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="reads .onnx files")
pytest.importorskip("onnxruntime", reason="what .onnx files are compared with")

from kilobench.compile.imports.lowering import lower_program
from kilobench.compile.imports.onnx import load_onnx
from kilobench.contracts import UserError
from tests.compile.importing import close, reference, run
from tests.compile.onnxfiles import model, numbers, saved

W = numbers(6, 4, 3, 3)
F = np.float32
OPERATORS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "conv": ("y = Conv<pads=[1,0,2,1], strides=[2,1]>(x, w, b)", {"w": W, "b": numbers(6)}, {}),
    "conv same upper": ('y = Conv<auto_pad="SAME_UPPER", strides=[2,3]>(x, w)', {"w": W}, {}),
    "conv same lower": ('y = Conv<auto_pad="SAME_LOWER", strides=[2,3]>(x, w)', {"w": W}, {}),
    "conv valid": ('y = Conv<auto_pad="VALID", dilations=[2,3]>(x, w)', {"w": W}, {}),
    "conv groups": ("y = Conv<group=2, kernel_shape=[3,3]>(x, w)", {"w": W[:, :2]}, {}),
    "conv depthwise": ("y = Conv<group=4, pads=[1,1,1,1]>(x, w)", {"w": numbers(8, 1, 3, 3)}, {}),
    "conv bias apart": ("c = Conv(x, w) y = Add(c, b)", {"w": W, "b": numbers(1, 6, 1, 1)}, {}),
    "conv 1d": (
        "c = Conv<pads=[4,0], dilations=[2]>(x, w, b) n = Relu(c) d = Conv<group=6>(n, v) y = Add(d, d)",
        {"w": W[..., 0], "b": numbers(6), "v": numbers(6, 1, 3)},
        {"shape": (1, 4, 20)},
    ),
    "pools 1d": (
        "c = Conv(x, w) m = MaxPool<kernel_shape=[3], strides=[2], pads=[1,1]>(c)"
        " a = AveragePool<kernel_shape=[2]>(m) n = Concat<axis=1>(a, a) t = Transpose<perm=[0,2,1]>(n) y = Tanh(t)",
        {"w": W[..., 0]},
        {"shape": (1, 4, 20)},
    ),
    "gemm": (
        "f = Flatten(x) y = Gemm<alpha=0.5, beta=2.0, transB=1>(f, w, b)",
        {"w": numbers(5, 360), "b": numbers(5)},
        {},
    ),
    "gemm not transposed": ("f = Flatten(x) y = Gemm(f, w, b)", {"w": numbers(360, 5), "b": F(3)}, {}),
    "gemm without bias": ("f = Flatten(x) y = Gemm(f, w)", {"w": numbers(360, 5)}, {}),
    "matmul and add": ("f = Flatten(x) m = MatMul(f, w) y = Add(b, m)", {"w": numbers(360, 5), "b": numbers(5)}, {}),
    "matmul of rows": ("m = MatMul(x, w) y = Add(m, b)", {"w": numbers(10, 5), "b": numbers(5)}, {}),
    "matmul of steps": ("m = MatMul(x, w) y = Relu(m)", {"w": numbers(6, 5)}, {"shape": (1, 7, 6)}),
    "batch norm": (
        "y = BatchNormalization<epsilon=0.1>(x, s, b, m, v)",
        {"s": numbers(4), "b": numbers(4), "m": numbers(4), "v": abs(numbers(4))},
        {},
    ),
    "batch norm of conv": (
        "c = Conv(x, w) y = BatchNormalization(c, s, b, m, v)",
        {"w": W, "s": numbers(6), "b": numbers(6), "m": numbers(6), "v": abs(numbers(6)) + F(1)},
        {},
    ),
    "relu": ("y = Relu(x)", {}, {}),
    "relu6": ("y = Clip(x, l, h)", {"l": F(0), "h": F(6)}, {}),
    "clip below": ("y = Clip(x, l)", {"l": F(-0.5)}, {}),
    "clip above": ("y = Clip(x, , h)", {"h": F(0.5)}, {}),
    "clip attributes": ("y = Clip<min=-0.5, max=0.25>(x)", {}, {"opset": 7}),
    "max and min": ("a = Max(x, l) y = Min(h, a)", {"l": F(-0.5), "h": F(0.5)}, {}),
    "leaky relu": ("y = LeakyRelu<alpha=0.2>(x)", {}, {}),
    "prelu": ("y = PRelu(x, s)", {"s": numbers(4, 1, 1)}, {}),
    "prelu with a batch axis": ("y = PRelu(x, s)", {"s": numbers(1, 4, 1, 1)}, {}),
    "prelu of one": ("y = PRelu(x, s)", {"s": F(0.3)}, {}),
    "prelu 1d": ("c = Conv(x, w) y = PRelu(c, s)", {"w": W[..., 0], "s": numbers(6, 1)}, {"shape": (1, 4, 20)}),
    "hard swish": ("y = HardSwish(x)", {}, {}),
    "hard sigmoid": ("y = HardSigmoid<alpha=0.3, beta=0.4>(x)", {}, {}),
    "hard swish of hard sigmoid": ("h = HardSigmoid<alpha=0.16666667>(x) y = Mul(x, h)", {}, {}),
    "hard swish written out": (
        "a = Add(x, t) c = Clip(a, z, s) m = Mul(x, c) y = Div(m, s)",
        {"t": F(3), "z": F(0), "s": F(6)},
        {},
    ),
    "sigmoid": ("y = Sigmoid(x)", {}, {}),
    "tanh": ("y = Tanh(x)", {}, {}),
    "softmax": ("y = Softmax<axis=1>(x)", {}, {}),
    "softmax last": ("y = Softmax(x)", {}, {}),
    "softmax old": ("f = Flatten(x) y = Softmax(f)", {}, {"opset": 11}),
    "sum of all": ("a = Sigmoid(x) b = Tanh(x) y = Sum(a, b, x)", {}, {}),
    "sub and mul": (
        "a = Sub(x, s) b = Sub(o, a) c = Mul(b, x) y = Div(c, d)",
        {"s": numbers(4, 1, 1), "o": F(1), "d": F(4)},
        {},
    ),
    "squeeze and excite": (
        "p = GlobalAveragePool(x) c = Conv(p, w) r = Relu(c) d = Conv(r, v) h = HardSigmoid(d) y = Mul(x, h)",
        {"w": numbers(2, 4, 1, 1), "v": numbers(4, 2, 1, 1)},
        {},
    ),
    "neg": ("y = Neg(x)", {}, {}),
    "concat": ("a = Relu(x) y = Concat<axis=1>(x, a, x)", {}, {}),
    "concat rows": ("a = Relu(x) y = Concat<axis=-2>(x, a)", {}, {}),
    "pad": ("y = Pad(x, p, v)", {"p": np.array([0, 0, 1, 2, 0, 1, 3, 0]), "v": F(1.5)}, {}),
    "pad some axes": ("y = Pad(x, p, , a)", {"p": np.array([1, 2, 3, 0]), "a": np.array([3, 2])}, {"opset": 18}),
    "pad old": ("y = Pad<pads=[0,0,1,1,0,0,2,2], value=-1.0>(x)", {}, {"opset": 7}),
    "pad before conv": ("p = Pad(x, q) y = Conv(p, w)", {"q": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "w": W}, {}),
    "slice": (
        "y = Slice(x, s, e, a, t)",
        {"s": np.array([1, -8]), "e": np.array([99, -1]), "a": np.array([1, 3]), "t": np.array([1, 2])},
        {},
    ),
    "slice old": ("y = Slice<starts=[1], ends=[3], axes=[1]>(x)", {}, {"opset": 9}),
    "split": ("a, b = Split<axis=1>(x, s) y = Concat<axis=1>(b, a)", {"s": np.array([1, 3])}, {}),
    "split evenly": ("a, b = Split<axis=1>(x) y = Sub(b, a)", {}, {}),
    "split by count": ("a, b, c = Split<axis=3, num_outputs=3>(x) y = Add(b, a)", {}, {"opset": 18}),
    "split old": ("a, b = Split<axis=1, split=[2,2]>(x) y = Sub(b, a)", {}, {"opset": 11}),
    "reshape": ("y = Reshape(x, s)", {"s": np.array([0, -1, 2])}, {}),
    "flatten by shape": (
        "s = Shape(x) b = Gather<axis=0>(s, z) u = Unsqueeze(b, z1) c = Concat<axis=0>(u, m) r = Reshape(x, c) y = Relu(r)",
        {"z": np.int64(0), "z1": np.array([0]), "m": np.array([-1])},
        {"shape": ("n", 4, 9, 10)},
    ),
    "sizes computed": (
        "s = Shape(x) t = Slice(s, o, e) p = ReduceProd<keepdims=1>(t) q = Div(p, d) r = Mul(q, d)"
        " k = Concat<axis=0>(o, r) f = Cast<to=7>(k) y = Reshape(x, f)",
        {"o": np.array([1]), "e": np.array([4]), "d": np.array([2])},
        {},
    ),
    "squeeze": ("p = GlobalAveragePool(x) q = Squeeze(p, a) y = Unsqueeze(q, a)", {"a": np.array([2, 3])}, {}),
    "squeeze old": ("p = GlobalMaxPool(x) q = Squeeze<axes=[3]>(p) y = Unsqueeze<axes=[1]>(q)", {}, {"opset": 11}),
    "transpose": ("t = Transpose<perm=[0,2,3,1]>(x) y = Relu(t)", {}, {}),
    "channels last": (
        "t = Transpose<perm=[0,3,1,2]>(x) c = Conv(t, w) y = Transpose<perm=[0,2,3,1]>(c)",
        {"w": W},
        {"shape": (1, 9, 10, 4)},
    ),
    "mean": ("y = ReduceMean<axes=[2,3]>(x)", {}, {}),
    "mean kept": ("y = ReduceMean<keepdims=0>(x, a)", {"a": np.array([-1, -2])}, {"opset": 18}),
    "mean of channels": ("y = ReduceMean<axes=[1], keepdims=1>(x)", {}, {}),
    "global average": ("y = GlobalAveragePool(x)", {}, {}),
    "global max": ("y = GlobalMaxPool(x)", {}, {}),
    "average pool": ("y = AveragePool<kernel_shape=[3,2], strides=[2,2], pads=[1,0,1,1]>(x)", {}, {}),
    "average pool counted": (
        "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1, strides=[2,2]>(x)",
        {},
        {},
    ),
    "average pool ceil": ("y = AveragePool<kernel_shape=[3,3], ceil_mode=1, strides=[2,2]>(x)", {}, {"opset": 19}),
    "max pool": ("y = MaxPool<kernel_shape=[3,2], strides=[2,2], pads=[1,0,1,1]>(x)", {}, {}),
    "max pool ceil": ("y = MaxPool<kernel_shape=[3,3], ceil_mode=1, strides=[2,2]>(x)", {}, {}),
    "max pool same": ('y = MaxPool<kernel_shape=[3,3], auto_pad="SAME_UPPER", strides=[2,2]>(x)', {}, {}),
    "resize": (
        'y = Resize<coordinate_transformation_mode="asymmetric", nearest_mode="floor">(x, , s)',
        {"s": F([1, 1, 2, 3])},
        {},
    ),
    "resize half pixel": ("y = Resize(x, , s)", {"s": F([1, 1, 2, 2])}, {}),
    "resize to sizes": (
        'y = Resize<coordinate_transformation_mode="asymmetric", nearest_mode="floor">(x, , , s)',
        {"s": np.array([1, 4, 13, 7])},
        {},
    ),
    "resize old": ('y = Resize<mode="nearest">(x, s)', {"s": F([1, 1, 2, 2])}, {"opset": 10}),
    "upsample": ("y = Upsample(x, s)", {"s": F([1, 1, 2, 2])}, {"opset": 9}),
    "argmax": ("f = Flatten(x) y = ArgMax<axis=1, keepdims=0>(f)", {}, {"dtypes": ("float", "int64")}),
    "argmax of channels": ("y = ArgMax<axis=1>(x)", {}, {"dtypes": ("float", "int64")}),
    "identity": ("a = Identity(x) b = Dropout(a) c = Cast<to=1>(b) y = Relu(c)", {}, {}),
    "select": ("g = Gather<axis=1>(x, i) y = Relu(g)", {"i": np.int64(-1)}, {}),
    "constants": (
        "c = Constant<value_float=2.5>() d = ConstantOfShape(s) e = Expand(c, s) f = Add(d, e) y = Mul(x, f)",
        {"s": np.array([4, 1, 1])},
        {},
    ),
    "several outputs": ("y = Relu(x) z = Tanh(y)", {}, {"outputs": "y z"}),
    "unused operators": ("u = Erf(x) y = Relu(x)", {}, {}),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_is_what_onnxruntime_computes(name, tmp_path):  # in floats
    body, constants, more = OPERATORS[name]
    path = saved(model(body, constants, **more), tmp_path)
    shape = [1 if isinstance(size, str) else size for size in more.get("shape", (1, 4, 9, 10))]
    x = numbers(4, *shape[1:], seed=1) * F(3)
    program = load_onnx(path.read_bytes())
    found, wanted = run(lower_program(program), program, x), reference(path, x)
    assert len(found) == len(wanted)
    assert all(close(f, w) for f, w in zip(found, wanted, strict=True))


def test_written_out_hard_functions_are_found(tmp_path):
    for name in ("hard swish of hard sigmoid", "hard swish written out"):
        body, constants, more = OPERATORS[name]
        program = load_onnx(saved(model(body, constants, **more), tmp_path).read_bytes())
        assert [node.kind for node in program.nodes] == ["hard_swish"]


def test_names_are_those_of_modules(tmp_path):
    proto = model("a = Relu(x) b = Tanh(a) c = Tanh(b) y = Relu(c)")
    for node, name in zip(
        proto.graph.node, ("/features/features.0/conv1/Conv", "", "node 1\x1b[31m", "y" * 500), strict=True
    ):
        node.name = name
    names = [node.name for node in load_onnx(saved(proto, tmp_path).read_bytes()).nodes]
    assert names[:3] == ["features.0.conv1", "b", "node_1"] and len(names[3]) == 150


def test_names_of_torch_s_newer_exporter(tmp_path):
    proto = model("a = Relu(x) b = Relu(a) y = Tanh(b)")
    scopes = ["['', 'conv1', 'conv2d']", "['', 'block', 'relu']", "['', 'relu']"]
    classes = [
        "['Net', 'torch.nn.modules.conv.Conv2d', 'aten.conv2d.default']",
        "['Net', 'Block', 'x']",
        "['Net', 'x']",
    ]
    for node, scope, kind in zip(proto.graph.node, scopes, classes, strict=True):
        for key, value in (("pkg.torch.onnx.name_scopes", scope), ("pkg.torch.onnx.class_hierarchy", kind)):
            entry = node.metadata_props.add()
            entry.key, entry.value = key, value
    proto.graph.node[1].op_type = "Sigmoid"
    assert [node.name for node in load_onnx(saved(proto, tmp_path).read_bytes()).nodes] == [
        "conv1",
        "block.relu",
        "relu",
    ]


REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "unknown operator": ("y = Erf(x)", {}, {}, "y (Erf) is an operator for which there is no kernel"),
    "named nearest": ("y = ReduceMax(x)", {}, {}, "nearest is GlobalMaxPool"),
    "spelled nearest": ("y = Convv(x, w)", {"w": W}, {}, "nearest is 'Conv'"),
    "domain": ("y = my.own.Relu(x)", {}, {}, "of the domain my.own"),
    "conv transpose": (
        "y = ConvTranspose(x, w)",
        {"w": numbers(4, 2, 3, 3)},
        {},
        "nearest is Resize (nearest) and Conv",
    ),
    "conv integer": ("y = ConvInteger(x, w)", {"w": W}, {}, "nearest is QLinearConv"),
    "conv 3d": ("y = Conv(x, w)", {"w": numbers(6, 4, 3, 3, 3)}, {"shape": (1, 4, 9, 9, 9)}, "supported are 1 and 2"),
    "weights computed": ("r = Relu(x) y = Conv(x, r)", {}, {}, "supported are constants"),
    "two maps": ("y = MatMul(x, x)", {}, {"shape": (1, 4, 9, 9)}, "multiplies two maps"),
    "divided by a map": ("y = Div(x, x)", {}, {}, "divides by what is computed"),
    "divided by 0": ("y = Div(x, z)", {"z": F(0)}, {}, "divides by 0"),
    "linear resize": ('y = Resize<mode="linear">(x, , s)', {"s": F([1, 1, 2, 2])}, {}, "supported is 'nearest'"),
    "odd resize": (
        'y = Resize<nearest_mode="ceil">(x, , s)',
        {"s": F([1, 1, 3, 2])},
        {},
        "supported are asymmetric and floor",
    ),
    "align corners": (
        'y = Resize<coordinate_transformation_mode="align_corners">(x, , s)',
        {"s": F([1, 1, 3, 2])},
        {},
        "align_corners coordinates",
    ),
    "reflected pad": (
        'y = Pad<mode="reflect">(x, p)',
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        {},
        "supported is 'constant'",
    ),
    "backwards": ("y = Slice(x, s, e, a, t)", {"s": [9], "e": [0], "a": [2], "t": [-1]}, {}, "slices backwards"),
    "pool dilation": ("y = MaxPool<kernel_shape=[2,2], dilations=[2,2]>(x)", {}, {}, "supported is 1"),
    "training": ("y = BatchNormalization<training_mode=1>(x,s,s,s,s)", {"s": numbers(4)}, {}, "training_mode=1"),
    "variance": ("y = BatchNormalization(x,s,s,s,v)", {"s": numbers(4), "v": F([1, 1, -1, 1])}, {}, "not above 0"),
    "not finite": ("y = Conv(x, w)", {"w": W * F(np.nan)}, {}, "not finite"),
    "unknown attribute": ("y = Relu<beta=3>(x)", {}, {}, "has the attribute beta, which is not known here"),
    "missing attribute": ("y = Concat(x, x)", {}, {}, "lacks the attribute axis"),
    "missing input": ("y = Conv(x)", {}, {}, "lacks input 1"),
    "dynamic shape": ("s = Shape(x) r = Relu(x) y = Reshape(x, r)", {}, {}, "needs a constant"),
    "half precision": ("h = Cast<to=10>(x) y = Relu(h)", {}, {}, "casts float32 to float16"),
    "int4": (
        "q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)",
        {"s": F(1), "z": np.int16(0)},
        {"opset": 21},
        "int16",
    ),
    "input size": ("y = Relu(x)", {}, {"shape": (1, 4, "h", "w")}, "whose axis 2 is not known"),
    "batch": ("y = Relu(x)", {}, {"shape": (8, 4, 9, 9)}, "batch of 8"),
    "new opset": ("y = Relu(x)", {}, {"opset": 99}, "is of opset 99; supported are 7 to"),
    "old opset": ("y = Relu(x)", {}, {"opset": 6}, "is of opset 6"),
    "nothing before": ("y = Add(x, z)", {}, {}, "reads z, which nothing before it makes"),
    "twice": ("y = Relu(x) y = Tanh(x)", {}, {}, "makes y, which is there already"),
    "constant output": ("y = Shape(x)", {}, {"dtypes": ("float", "int64")}, "is the input, or a constant"),
    "input as output": ("y = Identity(x)", {}, {}, "is the input, or a constant"),
    "no output": ("z = Relu(x)", {}, {}, "the output y is made by no operator"),
    "huge constant": (
        "c = ConstantOfShape(s) y = Add(x, c)",
        {"s": np.array([2**40, 2**40])},
        {},
        "makes a constant of",
    ),
    "huge map": ("y = Pad(x, p)", {"p": np.array([0, 0, 2**30, 0, 0, 0, 0, 0])}, {}, "y (Pad) "),
    "huge reshape": ("y = Reshape(x, s)", {"s": np.array([1, 2**62])}, {}, "y (Reshape) "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_one_line(name, tmp_path):
    body, constants, more, text = REFUSED[name]
    path = saved(model(body, constants, **more), tmp_path)
    with pytest.raises(UserError) as caught:
        load_onnx(path.read_bytes())
    assert text in str(caught.value) and "\n" not in str(caught.value)

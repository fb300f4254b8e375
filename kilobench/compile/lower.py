"""torch model -> graph: fold batch norm, fuse activations, choose types, turn batch norm + sign into thresholds.

The arithmetic is that of docs/arithmetic.md. A tensor is int8 where a FakeQuant marks it, a bit map between two binary
convolutions, float32 everywhere else; the input is int16 where its FakeQuant has 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from kilobench.api import Shape, UserError
from kilobench.compile.graph import DType, Graph, Op, Tensor, pack
from kilobench.compile.graphcheck import check_graph
from kilobench.compile.operator import kind_of, operator
from kilobench.compile.ops._bits import MAX_BIT_COLUMN, MAX_BIT_TAPS
from kilobench.learn.layers import FUNCTIONS, Add, FakeQuant, SwapAxes, XnorConv2d, trace

_MODULES: dict[type[nn.Module], str] = {
    nn.Conv2d: "conv",
    nn.Linear: "linear",
    nn.BatchNorm2d: "norm",
    nn.ReLU: "relu",
    nn.MaxPool2d: "max_pool",
    nn.AvgPool2d: "avg_pool",
    nn.Flatten: "flatten",
    nn.Dropout: "identity",
    nn.Identity: "identity",
    XnorConv2d: "xnor",
    FakeQuant: "quant",
    SwapAxes: "swap",
    Add: "add",
}
_INT32 = 2**31 - 1


class LoweringError(UserError):
    """The model holds something that has no C counterpart."""


def lower(model: nn.Module, input_shape: Shape) -> Graph:
    """The graph of a trained model that takes float32 [n, *input_shape] and returns logits [n, classes].

    Raises LoweringError naming the module path where something is not supported.
    """
    graph = _Lowering(model.eval().cpu(), input_shape).graph()
    try:
        check_graph(graph)
    except ValueError as error:
        raise LoweringError(str(error)) from None
    return graph


def multiplier(real: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Positive real factors as m * 2**-t with m in [2**30, 2**31) and t in 1..62 (docs/arithmetic.md)."""
    fraction, exponent = np.frexp(np.asarray(real, dtype=np.float64))
    m = np.rint(fraction * 2.0**31)
    carry = m == 2.0**31
    m, t = np.where(carry, 2.0**30, m), 31 - (exponent + carry)
    if np.any(t < 1):
        raise LoweringError("a requantisation factor is 2**30 or more")
    m = np.floor(m / 2.0 ** np.maximum(t - 62, 0))
    return m.astype(np.int32), np.minimum(t, 62).astype(np.int32)


def _thresholds(bits: NDArray[np.bool_], first: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Threshold and flip per channel from the wanted bit [values, channels] of consecutive integers from ``first``."""
    flip = bits[0] & ~bits[-1]
    rising = bits ^ flip
    never = ~rising.any(axis=0)
    threshold = np.where(never, len(bits), rising.argmax(axis=0)) + first
    return threshold.astype(np.int32), flip


def _pair(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _numpy(tensor: torch.Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().numpy()


class _Lowering:
    """Walks the traced graph once, in order; every fx node maps to the tensor that holds its value."""

    def __init__(self, model: nn.Module, input_shape: Shape) -> None:
        self.module = trace(model)
        self.modules = dict(self.module.named_modules())
        for node in list(self.module.graph.nodes):
            if node.op == "call_module" and self.kind(node) == "identity":
                node.replace_all_uses_with(node.args[0])
                self.module.graph.erase_node(node)
        self.module.recompile()
        ShapeProp(self.module).propagate(torch.zeros(1, *input_shape))
        self.values: dict[fx.Node, Tensor] = {}
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []

    def graph(self) -> Graph:
        """Lower every node; the steps are the methods named after the kinds."""
        steps: dict[str, Callable[[fx.Node], None]] = {
            "conv": self.conv,
            "linear": self.conv,
            "xnor": self.xnor,
            "max_pool": self.max_pool,
            "avg_pool": self.avg_pool,
            "add": self.add,
            "swap": self.swap,
            "flatten": self.flatten,
        }
        source = result = None
        for node in self.module.graph.nodes:
            if node in self.values:
                continue
            if node.op == "placeholder":
                source = self.emit_tensor(node, self.absorb(node, "quant"))
            elif node.op == "output":
                result = self.values[node.args[0]]
            elif (kind := self.kind(node)) in steps:
                steps[kind](node)
            elif node.op == "call_module" and (kind := kind_of(self.modules[str(node.target)]) or ""):
                self.layer(node, kind)
            else:
                raise self.error(node, "cannot be lowered here")
        if source is None or result is None or result.shape[:2] != (1, 1):
            raise LoweringError("a network takes one input and returns logits [n, classes]")
        return Graph(self.tensors, tuple(self.ops), source.name, result.name)

    # What a node is, and what follows it

    def kind(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return _MODULES.get(type(self.modules[str(node.target)]), "")
        return FUNCTIONS.get(node.target, "")

    def name(self, node: fx.Node) -> str:
        return str(node.target) if node.op == "call_module" else node.name

    def error(self, node: fx.Node, what: str) -> LoweringError:
        described = type(self.modules[str(node.target)]).__name__ if node.op == "call_module" else str(node.target)
        known = ", ".join(sorted(module.__name__ for module in _MODULES))
        return LoweringError(f"{self.name(node)} ({described}) {what}; supported are {known}")

    def follows(self, node: fx.Node, kind: str) -> fx.Node | None:
        """The one user of a node, when it is of this kind."""
        user = next(iter(node.users)) if len(node.users) == 1 else None
        return user if user is not None and user.op != "output" and self.kind(user) == kind else None

    def absorb(self, node: fx.Node, *kinds: str) -> list[fx.Node]:
        """The chain of single users that has these kinds in this order, each optional."""
        chain = [node]
        for kind in kinds:
            if (user := self.follows(chain[-1], kind)) is not None:
                chain.append(user)
        return chain

    def find(self, chain: list[fx.Node], kind: str) -> Any:
        """The module of this kind in a chain, or None."""
        return next((self.modules.get(str(n.target), True) for n in chain[1:] if self.kind(n) == kind), None)

    def source(self, node: fx.Node) -> Tensor:
        return self.values[node.all_input_nodes[0]]

    # Making tensors and operators

    def emit_tensor(self, node: fx.Node, chain: list[fx.Node], dtype: DType = "float32") -> Tensor:
        """The tensor that the whole chain computes, int8 or int16 if the chain ends in a FakeQuant."""
        shape = tuple(chain[-1].meta["tensor_meta"].shape[1:])
        channels, height, width = shape if len(shape) == 3 else (shape[0], 1, 1)
        scale, zero_point = 0.0, 0
        if (quant := self.find(chain, "quant")) is not None:
            dtype, scale, zero_point = "int8", float(quant.scale), int(quant.zero_point)
            if quant.bits == 16:
                dtype, zero_point = "int16", 0
                if node.op != "placeholder":
                    raise self.error(chain[-1], "has 16 bits, which only the input of a network may have")
        tensor = Tensor(chain[-1].name, (height, width, channels), dtype, scale, zero_point)
        self.tensors[tensor.name] = tensor
        for absorbed in chain:
            self.values[absorbed] = tensor
        return tensor

    def emit_op(self, kind: str, node: fx.Node, inputs: list[Tensor], output: Tensor, **rest: Any) -> None:
        types = {tensor.dtype for tensor in inputs}
        if types == {"int16"} and (kind, output.dtype) != ("conv2d", "int8"):
            raise self.error(node, f"reads int16 as {kind} to {output.dtype}, but only convolutions to int8 can")
        if (kind != "binarize" and output.dtype not in types and types not in ({"bit"}, {"int16"})) or len(types) != 1:
            raise self.error(node, f"turns {'/'.join(sorted(types))} into {output.dtype}, for which there is no kernel")
        self.ops.append(Op(kind, self.name(node), tuple(t.name for t in inputs), output.name, **rest))

    # Operators

    def conv(self, node: fx.Node) -> None:
        module = self.modules[str(node.target)]
        kind = "conv2d"
        source = self.source(node)
        chain = self.absorb(node, "norm", "relu", "quant")
        weight = _numpy(module.weight).astype(np.float64)
        if isinstance(module, nn.Linear):
            height, width, channels = source.shape
            weight = weight.reshape(-1, channels, height, width)
            stride, padding = (1, 1), (0, 0)
        else:
            grouped = module.groups != 1 and not _is_depthwise(module)
            if grouped or _pair(module.dilation) != (1, 1) or isinstance(module.padding, str):
                raise self.error(node, "is grouped, dilated or padded by name, for which there is no kernel")
            kind = "depthwise_conv2d" if module.groups != 1 else "conv2d"
            stride, padding = _pair(module.stride), _pair(module.padding)
        bias = np.zeros(len(weight)) if module.bias is None else _numpy(module.bias).astype(np.float64)
        if (norm := self.find(chain, "norm")) is not None:
            factor, offset = _affine(norm)
            weight, bias = weight * factor[:, None, None, None], bias * factor + offset
        weight = weight.transpose(0, 2, 3, 1)
        output = self.emit_tensor(node, chain)
        if source.dtype in ("int8", "int16") and output.dtype == "int8":
            params = self.int8_params(node, weight, bias, source, output)
        else:
            params = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
        if kind == "depthwise_conv2d":
            params["weight"] = params["weight"][..., 0].transpose(1, 2, 0)
        attrs = _conv_attrs(weight.shape[1:3], stride, padding, self.find(chain, "relu") is not None)
        self.emit_op(kind, node, [source], output, attrs=attrs, params=params)

    def int8_params(
        self, node: fx.Node, weight: NDArray[np.float64], bias: NDArray[np.float64], source: Tensor, output: Tensor
    ) -> dict[str, NDArray[Any]]:
        largest = np.abs(weight).max(axis=(1, 2, 3))
        scale = np.where(largest > 0, largest, 127.0) / 127.0
        q = np.rint(weight / scale[:, None, None, None])
        bias_q = np.rint(bias / (source.scale * scale))
        reach = 255 if source.dtype == "int8" else 2**15
        bound = float((np.abs(q).sum(axis=(1, 2, 3)) * reach + np.abs(bias_q)).max())
        if bound > _INT32:
            raise self.error(node, f"may reach {bound:.0f} in its accumulator, above the int32 bound {_INT32}")
        m, t = multiplier(source.scale * scale / output.scale)
        return {"weight": q.astype(np.int8), "bias": bias_q.astype(np.int32), "multiplier": m, "shift": t}

    def xnor(self, node: fx.Node) -> None:
        module: XnorConv2d = self.modules[str(node.target)]
        source = self.source(node)
        if source.dtype != "bit":
            source = self.binarize(node, source, module.norm)
        weight = pack(_numpy(module.weight >= 0).transpose(0, 2, 3, 1))
        alpha = _numpy(module.alpha).astype(np.float64)
        bias = np.zeros(len(alpha)) if module.bias is None else _numpy(module.bias).astype(np.float64)
        taps = int(np.prod(module.weight.shape[1:]))
        column = taps // int(module.weight.shape[3])
        if column > MAX_BIT_COLUMN or taps > MAX_BIT_TAPS:
            raise self.error(
                node,
                f"sums {taps} products, {column} per column of its kernel, above {MAX_BIT_TAPS} or {MAX_BIT_COLUMN} "
                "that the kernels can count",
            )
        fused = self.absorb(node, "relu", "max_pool")
        follower = self.follows(fused[-1], "xnor")
        if follower is not None:
            self.xnor_to_bits(node, source, weight, alpha, bias, taps, fused, self.modules[str(follower.target)].norm)
            return
        chain = self.absorb(node, "norm", "relu", "quant")
        if (norm := self.find(chain, "norm")) is not None:
            factor, offset = _affine(norm)
            alpha, bias = alpha * factor, bias * factor + offset
        output = self.emit_tensor(node, chain)
        params: dict[str, NDArray[Any]] = {"weight": weight}
        if output.dtype == "int8":
            if np.any(alpha < 0):
                raise self.error(node, "is followed by a batch norm with negative scales, which int8 cannot express")
            step = np.maximum(alpha, 1e-12) / 256
            bias_q = np.rint(bias / step)
            if float(np.abs(bias_q).max()) + 256 * taps > _INT32:
                raise self.error(node, f"may exceed the int32 bound {_INT32} in its accumulator")
            m, t = multiplier(step / output.scale)
            params |= {"bias": bias_q.astype(np.int32), "multiplier": m, "shift": t}
        else:
            params |= {"scale": alpha.astype(np.float32), "bias": bias.astype(np.float32)}
        kernel = (int(module.weight.shape[2]), int(module.weight.shape[3]))
        attrs = _conv_attrs(kernel, module.stride, module.padding, self.find(chain, "relu") is not None)
        self.emit_op("conv2d", node, [source], output, attrs=attrs, params=params)

    def xnor_to_bits(
        self,
        node: fx.Node,
        source: Tensor,
        weight: NDArray[np.uint32],
        alpha: NDArray[np.float64],
        bias: NDArray[np.float64],
        taps: int,
        chain: list[fx.Node],
        norm: nn.BatchNorm2d,
    ) -> None:
        """A binary convolution whose only reader is the sign of the next one: its output is thresholded at once."""
        module: XnorConv2d = self.modules[str(node.target)]
        acc = np.arange(-taps, taps + 1, dtype=np.float32)[:, None]
        value = acc * alpha.astype(np.float32) + bias.astype(np.float32)
        if self.find(chain, "relu") is not None:
            value = np.maximum(value, 0)
        threshold, flip = _thresholds(_normed_sign(norm, value), -taps)
        pool = chain[-1] if self.kind(chain[-1]) == "max_pool" else None
        before_pool = chain[:-1] if pool is not None else chain
        output = self.emit_tensor(node, before_pool, "bit")
        kernel = (int(module.weight.shape[2]), int(module.weight.shape[3]))
        conv_flip = np.zeros_like(flip) if pool is not None else flip
        params = {"weight": weight, "threshold": threshold, "flip": pack(conv_flip)}
        attrs = _conv_attrs(kernel, module.stride, module.padding, False)
        self.emit_op("conv2d", node, [source], output, attrs=attrs, params=params)
        if pool is not None:
            self.max_pool(pool, source=output, flip=flip)

    def binarize(self, node: fx.Node, source: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        """Batch norm and sign of a float32 or int8 map as one comparison."""
        threshold: NDArray[Any]
        output = Tensor(f"{node.name}_bits", source.shape, "bit")
        self.tensors[output.name] = output
        if source.dtype == "int8":
            q = np.arange(-128, 128, dtype=np.float32)[:, None]
            value = np.repeat((q - source.zero_point) * np.float32(source.scale), source.shape[2], axis=1)
            threshold, flip = _thresholds(_normed_sign(norm, value), -128)
        else:
            threshold, flip = _float_thresholds(norm)
        self.emit_op("binarize", node, [source], output, params={"threshold": threshold, "flip": pack(flip)})
        return output

    def max_pool(self, node: fx.Node, source: Tensor | None = None, flip: NDArray[np.bool_] | None = None) -> None:
        pool = self.modules[str(node.target)]
        if _pair(pool.padding) != (0, 0) or _pair(pool.dilation) != (1, 1) or pool.ceil_mode:
            raise self.error(node, "is padded, dilated or in ceil mode, for which there is no kernel")
        source = source or self.source(node)
        output = self.emit_tensor(node, [node], source.dtype)
        if source.dtype == "int8":
            output = Tensor(output.name, output.shape, "int8", source.scale, source.zero_point)
            self.tensors[output.name] = self.values[node] = output
        params = {"flip": pack(flip)} if flip is not None else {}
        self.emit_op("max_pool", node, [source], output, attrs=_pool_attrs(pool), params=params)

    def avg_pool(self, node: fx.Node) -> None:
        pool = self.modules[str(node.target)]
        if _pair(pool.padding) != (0, 0) or pool.ceil_mode or pool.divisor_override:
            raise self.error(node, "is padded, in ceil mode or has a divisor of its own, for which there is no kernel")
        source = self.source(node)
        output = self.emit_tensor(node, self.absorb(node, "quant"))
        attrs = _pool_attrs(pool)
        area = attrs["kernel"][0] * attrs["kernel"][1]
        params: dict[str, NDArray[Any]] = {"scale": np.array([1 / area], dtype=np.float32)}
        if output.dtype == "int8":
            m, t = multiplier(np.array([source.scale / (output.scale * area)]))
            params = {"multiplier": m, "shift": t}
        self.emit_op("avg_pool", node, [source], output, attrs=attrs, params=params)

    def add(self, node: fx.Node) -> None:
        sources = [self.values[argument] for argument in node.all_input_nodes]
        if len(sources) != 2 or sources[0].shape != sources[1].shape:
            raise self.error(node, "adds what are not two tensors of one shape, for which there is no kernel")
        chain = self.absorb(node, "relu", "quant")
        output = self.emit_tensor(node, chain)
        params: dict[str, NDArray[Any]] = {}
        if output.dtype == "int8":
            real = np.array([source.scale / output.scale for source in sources])
            _, t = multiplier(real.max(keepdims=True))
            factors = np.minimum(np.rint(real * 2.0 ** int(t[0])), _INT32)
            params = {"multiplier": factors.astype(np.int32), "shift": t}
        attrs = {"relu": self.find(chain, "relu") is not None}
        self.emit_op("add", node, sources, output, attrs=attrs, params=params)

    def swap(self, node: fx.Node) -> None:
        source = self.source(node)
        height, width, channels = source.shape
        output = Tensor(node.name, (channels, width, height), source.dtype, source.scale, source.zero_point)
        self.tensors[output.name] = self.values[node] = output
        self.emit_op("transpose", node, [source], output)

    def layer(self, node: fx.Node, kind: str) -> None:
        """A module that is one operator, whose file says how. A scale that it fixes is taken, whatever was observed."""
        sources = [self.values[argument] for argument in node.all_input_nodes]
        output = self.emit_tensor(node, chain := self.absorb(node, "quant"))
        if sources[0].dtype == "int8" and (grid := operator(kind).grid(sources[0])) is not None:
            output = Tensor(output.name, output.shape, "int8", *grid)
            self.tensors[output.name] = output
            self.values |= dict.fromkeys(chain, output)
        try:
            attrs, params = operator(kind).lower(self.modules[str(node.target)], sources, output)
        except ValueError as error:
            raise self.error(node, str(error)) from None
        self.emit_op(kind, node, sources, output, attrs=attrs, params=params)

    def flatten(self, node: fx.Node) -> None:
        """Nothing to compute: the linear layer that reads it is a convolution over the whole map."""
        if self.follows(node, "linear") is None and self.source(node).shape[:2] != (1, 1):
            raise self.error(node, "feeds something else than one linear layer")
        self.values[node] = self.source(node)


def _is_depthwise(module: nn.Conv2d) -> bool:
    return module.groups == module.in_channels == module.out_channels


def _conv_attrs(kernel: Any, stride: tuple[int, int], padding: tuple[int, int], relu: bool) -> dict[str, Any]:
    return {"kernel": _pair(kernel), "stride": stride, "padding": padding, "relu": relu}


def _pool_attrs(pool: Any) -> dict[str, Any]:
    return {"kernel": _pair(pool.kernel_size), "stride": _pair(pool.stride), "padding": (0, 0)}


def _affine(norm: nn.BatchNorm2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Batch norm in evaluation as factor and offset per channel, in float64."""
    assert norm.running_mean is not None and norm.running_var is not None
    factor = _numpy(norm.weight).astype(np.float64) / np.sqrt(_numpy(norm.running_var).astype(np.float64) + norm.eps)
    return factor, _numpy(norm.bias).astype(np.float64) - _numpy(norm.running_mean).astype(np.float64) * factor


def _normed_sign(norm: nn.BatchNorm2d, value: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether torch's own float32 batch norm of [values, channels] is >= 0."""
    with torch.no_grad():
        bits: NDArray[np.bool_] = _numpy(norm(torch.from_numpy(value)[:, :, None, None])[:, :, 0, 0] >= 0)
    return bits


def _float_thresholds(norm: nn.BatchNorm2d) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """x >= threshold, flipped for negative scales, so that it says batch norm(x) >= 0 up to one rounding."""
    factor, offset = _affine(norm)
    limit = np.finfo(np.float32).max
    with np.errstate(divide="ignore", invalid="ignore"):
        threshold = np.where(factor == 0, -limit, np.clip(-offset / factor, -limit, limit)).astype(np.float32)
    flip = factor < 0
    threshold = np.where(flip, np.nextafter(threshold, limit), threshold)
    return threshold.astype(np.float32), np.where(factor == 0, offset < 0, flip)

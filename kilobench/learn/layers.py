# SPDX-License-Identifier: Apache-2.0
"""Layers that torch lacks and the lowering knows: sign, XNOR convolution, fake quantisation, axis swap, sum."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from kilobench.contracts import UserError

MOVING_FUNCTIONS = (
    operator.getitem,
    torch.chunk,
    torch.flatten,
    torch.permute,
    torch.reshape,
    torch.split,
    torch.squeeze,
    torch.transpose,
    torch.unsqueeze,
    functional.dropout,
    functional.interpolate,
    functional.max_pool1d,
    functional.max_pool2d,
    functional.pad,
)
CLAMPS = (torch.relu, functional.relu, functional.relu6, functional.hardtanh, torch.clamp)
FUNCTIONS = (
    operator.add,
    operator.mul,
    operator.sub,
    operator.truediv,
    torch.add,
    torch.cat,
    torch.mean,
    torch.mul,
    torch.sigmoid,
    torch.softmax,
    torch.sub,
    torch.tanh,
    functional.adaptive_avg_pool1d,
    functional.adaptive_avg_pool2d,
    functional.avg_pool1d,
    functional.avg_pool2d,
    functional.hardsigmoid,
    functional.hardswish,
    functional.leaky_relu,
    functional.prelu,
    functional.sigmoid,
    functional.silu,
    functional.softmax,
    functional.tanh,
    *CLAMPS,
    *MOVING_FUNCTIONS,
)
"""Functions that may stand in a traced model, and models are stored with. CLAMPS cut values off, MOVING_FUNCTIONS move or choose
them."""
MOVING_METHODS = (
    *("chunk", "clone", "contiguous", "flatten", "permute", "reshape", "split", "squeeze"),
    *("transpose", "unsqueeze", "view"),
)
METHODS = ("add", "clamp", "mean", "mul", "relu", "sigmoid", "size", "softmax", "sub", "tanh", *MOVING_METHODS)
"""The same of methods of a tensor."""


class _Sign(torch.autograd.Function):
    """Few and fused passes over the map: it is the only work that a binary layer adds to a training step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _sign(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(grads[0], x, -1.0, 1.0)


class _ScaledSign(torch.autograd.Function):
    """Signs of weights times a scale per output channel, with the gradient that is asked for."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, alpha: Tensor, gradient: str) -> Tensor:
        signs = _sign(weight)
        ctx.save_for_backward(weight, alpha, signs)
        ctx.gradient = gradient
        return signs * alpha

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        grad = grads[0]
        weight, alpha, signs = ctx.saved_tensors
        through_sign = grad * (alpha * (weight.abs() <= 1))
        if ctx.gradient == "xnor":
            return through_sign + grad / weight[0].numel(), None, None
        return through_sign + signs * (grad * signs).mean(dim=(1, 2, 3), keepdim=True), None, None


def _sign(x: Tensor) -> Tensor:
    return torch.ge(x, 0, out=torch.empty_like(x)).mul_(2).sub_(1)


def sign(x: Tensor) -> Tensor:
    """+1 where x >= 0 (so also for both zeros), else -1; gradients pass straight through where |x| < 1.

    The gradient is that of BNN (arXiv 1602.02830, section 1.3).
    """
    result: Tensor = _Sign.apply(x)  # type: ignore[no-untyped-call]
    return result


def padding_of(conv: nn.Conv2d) -> tuple[int, int] | None:
    """Rows and columns on each side of a convolution's input, also where they have a name; None if two sides differ."""
    if conv.padding == "valid":
        return 0, 0
    if isinstance(conv.padding, str):  # "same"
        rows, columns = (step * (size - 1) for step, size in zip(conv.dilation, conv.weight.shape[2:], strict=True))
        return None if rows % 2 or columns % 2 else (rows // 2, columns // 2)
    return int(conv.padding[0]), int(conv.padding[1])


PLAIN_CONV = {"dilation": (1, 1), "padding_mode": "zeros", "transposed": False, "output_padding": (0, 0)}
"""What attributes of a convolution must be for it to have a kernel, or to become binary."""


class XnorConv2d(nn.Module):
    """Batch norm, sign, then a convolution with binary weights (XNOR-Net, arXiv 1603.05279, section 3.2 and figure 3).

    ``weight`` holds the latent weights W, float32 [out, in, kh, kw]; the convolution uses B = ``alpha`` * sign(W), where
    ``alpha`` is the mean magnitude per output channel. Input and output are float32 [n, channels, h, w]. ``bias``
    (float32 [out]) is optional. Taps on padding contribute nothing.

    ``gradient`` says how that of W follows from dC/dB, the one of B. Both let it pass through the sign where |W| <= 1:

    - ``ste``: product rule with the true derivative of alpha,
      dC/dW = alpha * dC/dB * 1[|W| <= 1] + sign(W) / n * sum(dC/dB * sign(W)), the sum over the n weights of a filter;
    - ``xnor``: as XNOR-Net writes it (section 3.1), dC/dW = dC/dB * (1 / n + alpha * 1[|W| <= 1]).

    Raises UserError for a convolution that it lacks an attribute of.
    """

    def __init__(self, norm: nn.BatchNorm2d, conv: nn.Conv2d, gradient: Literal["ste", "xnor"] = "ste") -> None:
        super().__init__()
        if lacking := self.lacks(conv):
            raise UserError(f"a binary convolution cannot have {lacking}")
        self.norm = norm
        self.weight = nn.Parameter(conv.weight.detach().clone())
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())
        self.stride: tuple[int, int] = (conv.stride[0], conv.stride[1])
        padding = padding_of(conv)
        assert padding is not None
        self.padding: tuple[int, int] = padding
        self.gradient = gradient

    @staticmethod
    def lacks(conv: nn.Conv2d) -> str:
        """What of a convolution a binary one does not have, as ``name=value``; empty if it can become one."""
        if type(conv) is not nn.Conv2d:
            return f"class={type(conv).__name__}"
        wrong = [name for name, value in {"groups": 1, **PLAIN_CONV}.items() if getattr(conv, name) != value]
        if padding_of(conv) is None:
            wrong.append("padding")
        return ", ".join(f"{name}={getattr(conv, name)!r}" for name in wrong)

    @property
    def alpha(self) -> Tensor:
        """Scale of each output channel, [out]."""
        scale: Tensor = self.weight.abs().mean(dim=(1, 2, 3))
        return scale

    def forward(self, x: Tensor) -> Tensor:
        """Signs of the normalised input convolved with scaled signs of the weights."""
        alpha = self.alpha.detach()[:, None, None, None]
        weight: Tensor = _ScaledSign.apply(self.weight, alpha, self.gradient)  # type: ignore[no-untyped-call]
        return functional.conv2d(sign(self.norm(x)), weight, self.bias, self.stride, self.padding)


class FakeQuant(nn.Module):
    """Marks a tensor as an integer one with one scale and zero point, and rounds to that grid when ``enabled``.

    While ``observing`` it widens ``low`` and ``high`` to the values seen; ``freeze`` turns them into ``scale`` and
    ``zero_point``: real = scale * (q - zero_point), zero exactly representable. With 8 bits q is in [-128, 127]; with 16, in
    [-32768, 32767] and the zero point is 0. Gradients pass straight through where nothing is clipped.
    """

    scale: Tensor
    zero_point: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, bits: Literal[8, 16] = 8) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("zero_point", torch.tensor(0, dtype=torch.int32))
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("high", torch.tensor(0.0))
        self.observing = False
        self.enabled = False

    def freeze(self) -> None:
        """Choose scale and zero point from the observed range, which is taken as [0, 1] if only zeros were seen."""
        smallest = torch.finfo(torch.float32).tiny
        low, high = min(float(self.low), 0.0), max(float(self.high), 0.0)
        high = high if high > low else 1.0
        if self.bits == 16:
            self.scale.fill_(max(max(-low, high) / 32767, smallest))
        else:
            self.scale.fill_(max((high - low) / 255, smallest))
            self.zero_point.fill_(max(-128, min(127, round(-128 - low / float(self.scale)))))
        self.observing, self.enabled = False, True

    def forward(self, x: Tensor) -> Tensor:
        """The input, on the integer grid when enabled."""
        if self.observing:
            self.low.copy_(torch.minimum(self.low, x.detach().min()))
            self.high.copy_(torch.maximum(self.high, x.detach().max()))
        if not self.enabled:
            return x
        limit = 2 ** (self.bits - 1)
        return torch.fake_quantize_per_tensor_affine(x.float(), self.scale, self.zero_point, -limit, limit - 1)


class SwapAxes(nn.Module):
    """Swaps channels and height, [n, c, h, w] -> [n, h, c, w] (ACDNet, arXiv 2103.03483, section 3.1)."""

    def forward(self, x: Tensor) -> Tensor:
        """The swapped view, made contiguous."""
        return x.transpose(1, 2).contiguous()


class Add(nn.Module):
    """The sum at the end of a residual block."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """a + b."""
        return a + b


def scaled(channels: Sequence[float], width: float) -> list[int]:
    """Numbers of channels times ``width``: multiples of four, at least 4, as kernels take four at a time.

    Each layer goes on to its next multiple at another width, so that a network grows by one layer at a time as its width grows,
    and comes close to any budget. What is a multiple of four already stays.
    """
    count = len(channels)
    shifted = [wanted * width + 4 * ((i + 0.5) / count - 0.5) for i, wanted in enumerate(channels)]
    return [max(4, round(wanted / 4) * 4) for wanted in shifted]


def is_operator(module: object) -> bool:
    """Whether the class of a module says, by its attribute ``operator``, that it is an operator of a plug-in as a whole."""
    return isinstance(getattr(type(module), "operator", None), str)

# SPDX-License-Identifier: Apache-2.0
"""Layers that torch lacks and the lowering knows: binary convolutions, lines by channel, fake quantisation, axis swap, sum."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
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
    def forward(ctx: Any, x: Tensor, through: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """``through`` makes the gradient of x of that of its signs and x."""
        ctx.save_for_backward(x)
        ctx.through = through
        return _sign(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return ctx.through(grads[0], x), None


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


def _straight(grad: Tensor, x: Tensor) -> Tensor:
    return torch.ops.aten.hardtanh_backward(grad, x, -1.0, 1.0)


def _approximate(grad: Tensor, x: Tensor) -> Tensor:
    return grad * (2 - 2 * x.abs()).clamp_(min=0)


def sign(x: Tensor) -> Tensor:
    """+1 where x >= 0 (so also for both zeros), else -1; gradients pass straight through where |x| < 1.

    The gradient is that of BNN (arXiv 1602.02830, section 1.3).
    """
    result: Tensor = _Sign.apply(x, _straight)  # type: ignore[no-untyped-call]
    return result


def approx_sign(x: Tensor) -> Tensor:
    """``sign`` with the gradient of Bi-Real Net's ApproxSign: 2 - 2 |x| where |x| < 1 (arXiv 1808.00278, section 3.2)."""
    result: Tensor = _Sign.apply(x, _approximate)  # type: ignore[no-untyped-call]
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


class BinaryConv2d(nn.Module):
    """A convolution of signs by weights of two values per output channel: what methods derive layers of their own from.

    ``weight`` holds latent weights, float32 [out, in, kh, kw]; ``bias`` (float32 [out]) is optional, and so is ``norm``, a batch
    norm in front. Input and output are float32 [n, channels, h, w]. Taps on padding contribute nothing. A subclass overrides
    what it does otherwise, each with a gradient of its own; the rest is as written here:

    - ``signs(x)``: +1 where the input, behind ``norm``, is at least the threshold of its channel, else -1;
    - ``thresholds()``: these, [in];
    - ``kernel()``: the weights that are used, [out, in, kh, kw], of two values per output channel;
    - ``offsets()``: what is added to each output channel, [out], or None.

    ``frozen`` makes of these values what is stored and lowered; nothing else of a subclass reaches a board.

    Raises UserError for a convolution that it lacks an attribute of.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> None:
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

    @staticmethod
    def lacks(conv: nn.Conv2d) -> str:
        """What of a convolution a binary one does not have, as ``name=value``; empty if it can become one."""
        if type(conv) is not nn.Conv2d:
            return f"class={type(conv).__name__}"
        wrong = [name for name, value in {"groups": 1, **PLAIN_CONV}.items() if getattr(conv, name) != value]
        if padding_of(conv) is None:
            wrong.append("padding")
        return ", ".join(f"{name}={getattr(conv, name)!r}" for name in wrong)

    def thresholds(self) -> Tensor:
        """Zeros."""
        return self.weight.new_zeros(self.weight.shape[1])

    def signs(self, x: Tensor) -> Tensor:
        """With the straight-through gradient of ``sign``."""
        return sign(x - self.thresholds()[:, None, None])

    def kernel(self) -> Tensor:
        """Signs of the weights times their mean magnitude by output channel; only the signs have a gradient, that of ``sign``."""
        return self.weight.detach().abs().mean(dim=(1, 2, 3), keepdim=True) * sign(self.weight)

    def offsets(self) -> Tensor | None:
        """The bias."""
        return self.bias

    def forward(self, x: Tensor) -> Tensor:
        """Signs of the input, convolved."""
        signs = self.signs(x if self.norm is None else self.norm(x))
        return functional.conv2d(signs, self.kernel(), self.offsets(), self.stride, self.padding)

    def frozen(self) -> FrozenBinaryConv2d:
        """The same without anything latent. Raises UserError where its weights have more values than two, or ``forward``
        computes something else than this class says.
        """
        made = FrozenBinaryConv2d(self).train(self.training)
        noise = torch.Generator().manual_seed(0)
        size = [2 * kernel + 2 for kernel in self.weight.shape[2:]]
        x = torch.randn(4, self.weight.shape[1], *size, generator=noise).to(self.weight.device)
        with torch.no_grad():
            own, plain = self.eval()(x), made.eval()(x)
        if own.shape != plain.shape or not torch.allclose(own, plain, rtol=1e-3, atol=1e-3 * float(own.abs().max())):
            raise UserError(
                f"{type(self).__name__} computes something else than its signs, thresholds, kernel and offsets say"
            )
        return made


class FrozenBinaryConv2d(BinaryConv2d):
    """A binary convolution as it is stored: ``alpha`` * conv(signs, ``weight`` + ``centre``) + ``bias``.

    ``weight`` is 1 or -1, ``threshold`` [in] what inputs are compared with, ``alpha`` [out] half the distance of a channel's two
    weights; ``centre`` [out], their mean in units of ``alpha``, is None where it is 0 everywhere. All but the signs may learn.
    """

    def __init__(self, layer: BinaryConv2d) -> None:
        nn.Module.__init__(self)
        with torch.no_grad():
            weight, alpha, centre = _two_values(layer)
            offsets = layer.offsets()
            self.norm = layer.norm
            self.weight = nn.Parameter(weight, requires_grad=False)
            self.threshold = nn.Parameter(layer.thresholds().detach().clone())
            self.alpha = nn.Parameter(alpha)
            self.centre = nn.Parameter(centre) if bool(centre.any()) else None
            self.bias = None if offsets is None else nn.Parameter(offsets.detach().clone())
        self.stride, self.padding = layer.stride, layer.padding

    def thresholds(self) -> Tensor:
        """Its own."""
        return self.threshold

    def kernel(self) -> Tensor:
        """Two values per output channel."""
        weight = self.weight if self.centre is None else self.weight + self.centre[:, None, None, None]
        return self.alpha[:, None, None, None] * weight

    def forward(self, x: Tensor) -> Tensor:
        """As boards do: sums of signs are exact before anything is multiplied, so that those that cancel are 0."""
        signs = self.signs(x if self.norm is None else self.norm(x))
        sums = functional.conv2d(signs, self.weight, None, self.stride, self.padding)
        if self.centre is not None:
            total = functional.conv2d(signs, torch.ones_like(self.weight[:1]), None, self.stride, self.padding)
            sums = sums + self.centre[:, None, None] * total
        made = self.alpha[:, None, None] * sums
        return made if self.bias is None else made + self.bias[:, None, None]


_EQUAL = 1e-5
"""By how much of the largest weight of a channel two that are one may differ."""


def _two_values(layer: BinaryConv2d) -> tuple[Tensor, Tensor, Tensor]:
    """Signs, half distance and centre, in units of that, of the weights of each output channel."""
    kernel = layer.kernel().detach()
    low, high = kernel.amin(dim=(1, 2, 3)), kernel.amax(dim=(1, 2, 3))
    least = _EQUAL * torch.maximum(low.abs(), high.abs())
    one = high - low <= least
    alpha, middle = (
        torch.where(one, high.abs(), (high - low) / 2),
        torch.where(one, torch.zeros_like(low), (high + low) / 2),
    )
    signs = _sign(kernel - middle[:, None, None, None])
    made = middle[:, None, None, None] + alpha[:, None, None, None] * signs
    wrong = ((made - kernel).abs() > least[:, None, None, None]).any(dim=3).any(dim=2).any(dim=1)
    if bool(wrong.any()):
        channel = int(wrong.nonzero()[0])
        count = len(kernel[channel].unique())
        raise UserError(
            f"{type(layer).__name__} has {count} weights in channel {channel}; a binary convolution has two"
        )
    centre = torch.where(middle.abs() <= least, torch.zeros_like(middle), middle / alpha.clamp(min=1e-30))
    return signs, alpha, centre


class XnorConv2d(BinaryConv2d):
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

    norm: nn.BatchNorm2d

    def __init__(self, norm: nn.BatchNorm2d, conv: nn.Conv2d, gradient: Literal["ste", "xnor"] = "ste") -> None:
        super().__init__(conv, norm)
        self.gradient = gradient

    @property
    def alpha(self) -> Tensor:
        """Scale of each output channel, [out]."""
        scale: Tensor = self.weight.abs().mean(dim=(1, 2, 3))
        return scale

    def signs(self, x: Tensor) -> Tensor:
        """Of what is behind the batch norm."""
        return sign(x)

    def kernel(self) -> Tensor:
        """Scaled signs of the weights."""
        alpha = self.alpha.detach()[:, None, None, None]
        weight: Tensor = _ScaledSign.apply(self.weight, alpha, self.gradient)  # type: ignore[no-untyped-call]
        return weight


class PiecewiseLinear(nn.Module):
    """Two lines per channel that meet: with z = x - ``bend``, above * z + offset where z >= 0, else below * z + offset.

    All four are [channels], and learn. PReLU with shifts before and behind it (RPReLU, arXiv 2003.03488, section 4.2) is one
    whose ``above`` stays 1; one whose ``bend`` and ``offset`` stay 0 is AdaBin's Maxout (arXiv 2208.08084, section 3.4).
    """

    operator = "piecewise_linear"

    def __init__(self, channels: int, above: float = 1.0, below: float = 0.25) -> None:
        super().__init__()
        self.bend = nn.Parameter(torch.zeros(channels))
        self.above = nn.Parameter(torch.full((channels,), above))
        self.below = nn.Parameter(torch.full((channels,), below))
        self.offset = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, h, w] -> the same shape."""
        bend, above, below, offset = (p[:, None, None] for p in (self.bend, self.above, self.below, self.offset))
        z = x - bend
        return torch.where(z >= 0, above * z, below * z) + offset


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

# SPDX-License-Identifier: Apache-2.0
"""Binary convolutions: packed weights, and what stands before a sign as a threshold (docs/arithmetic.md)."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from kilobench.compile import int8
from kilobench.compile.graph import Tensor, pack
from kilobench.compile.lower.layers import conv_attrs, max_pool
from kilobench.compile.lower.norms import affine, array
from kilobench.compile.lower.walk import Walk
from kilobench.compile.ops._bits import MAX_BIT_COLUMN, MAX_BIT_TAPS
from kilobench.learn.layers import FrozenBinaryConv2d, XnorConv2d

Binary: TypeAlias = XnorConv2d | FrozenBinaryConv2d


def binary(walk: Walk, node: fx.Node) -> None:
    """A binary convolution: to bits where the next one reads it, else to float32 or int8."""
    module: Binary = walk.modules[str(node.target)]
    source = walk.source(node)
    if source.dtype != "bit":
        source = _binarize(walk, node, source, module)
    taps = int(np.prod(module.weight.shape[1:]))
    column = taps // int(module.weight.shape[3])
    if column > MAX_BIT_COLUMN or taps > MAX_BIT_TAPS:
        raise walk.error(
            node,
            f"sums {taps} products, {column} per column of its kernel, above {MAX_BIT_TAPS} or {MAX_BIT_COLUMN} "
            "that the kernels can count",
        )
    fused = walk.absorb(node, "norm", "relu", "max_pool")
    follower = walk.follows(fused[-1], "binary")
    middle: torch.Tensor | None = getattr(module, "centre", None)
    centre = None if middle is None else array(middle)
    if follower is not None and centre is None:
        _to_bits(walk, source, fused, walk.modules[str(follower.target)])
        return
    chain = walk.absorb(node)
    signs, alpha, bias = _affine(module, walk.find(chain, "norm"))
    output = walk.emit_tensor(node, chain)
    params: dict[str, NDArray[Any]] = {"scale": alpha.astype(np.float32), "bias": bias.astype(np.float32)}
    if centre is not None:
        params["centre"] = centre.astype(np.float32)
    if output.dtype == "int8":
        signs ^= (alpha < 0)[:, None, None, None]  # the sum of opposite signs is the opposite
        centre = None if centre is None else np.where(alpha < 0, -centre, centre)
        with walk.naming(node):
            params = int8.binary_params(np.abs(alpha), bias, taps, output, centre)
    params["weight"] = pack(signs)
    attrs = _attrs(walk, node, walk.find(chain, "relu") is not None)
    walk.emit_op("conv2d", node, [source], output, attrs=attrs, params=params)


def _affine(
    module: Binary, norm: nn.BatchNorm2d | None
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Weights [O, KH, KW, I] as bits, and factor and offset of their sums, with the batch norm behind them."""
    signs, alpha = (module.weight >= 0).numpy().transpose(0, 2, 3, 1), array(module.alpha)
    bias = np.zeros(len(alpha)) if module.bias is None else array(module.bias)
    if norm is not None:
        factor, offset = affine(norm)
        alpha, bias = alpha * factor, bias * factor + offset
    return signs, alpha, bias


def _to_bits(walk: Walk, source: Tensor, chain: list[fx.Node], reader: Binary) -> None:
    """A binary convolution whose only reader is the sign of the next one: its output is thresholded at once."""
    node = chain[0]
    signs, alpha, bias = _affine(walk.modules[str(node.target)], walk.find(chain, "norm"))
    signs ^= (alpha < 0)[:, None, None, None]  # so that sums rise with what is pooled
    taps = signs[0].size
    acc = np.arange(-taps, taps + 1, dtype=np.float32)[:, None]
    value = acc * np.abs(alpha).astype(np.float32) + bias.astype(np.float32)
    if walk.find(chain, "relu") is not None:
        value = np.maximum(value, 0)
    threshold, flip = _thresholds(_bits(reader, value), -taps)
    pool = chain[-1] if walk.kind(chain[-1]) == "max_pool" else None
    before_pool = chain[:-1] if pool is not None else chain
    output = walk.emit_tensor(node, before_pool, "bit")
    conv_flip = np.zeros_like(flip) if pool is not None else flip
    params = {"weight": pack(signs), "threshold": threshold, "flip": pack(conv_flip)}
    walk.emit_op("conv2d", node, [source], output, attrs=_attrs(walk, node, False), params=params)
    if pool is not None:
        max_pool(walk, pool, pack(flip))


def _attrs(walk: Walk, node: fx.Node, relu: bool) -> dict[str, Any]:
    module: Binary = walk.modules[str(node.target)]
    kernel = (int(module.weight.shape[2]), int(module.weight.shape[3]))
    return conv_attrs(kernel, module.stride, module.padding, relu)


def _binarize(walk: Walk, node: fx.Node, source: Tensor, module: Binary) -> Tensor:
    """The signs of a float32 or int8 map as one comparison."""
    threshold: NDArray[Any]
    if source.dtype == "int8":
        q = np.arange(-128, 128, dtype=np.float32)[:, None]
        value = np.repeat((q - source.zero_point) * np.float32(source.scale), source.shape[2], axis=1)
        threshold, flip = _thresholds(_bits(module, value), -128)
    else:
        threshold, flip = _float_thresholds(module)
    output = walk.keep([], Tensor(f"{node.name}_bits", source.shape, "bit"))
    walk.emit_op("binarize", node, [source], output, params={"threshold": threshold, "flip": pack(flip)})
    return output


def _bits(module: Binary, value: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether torch's own float32 batch norm and threshold of [values, channels] give 1."""
    with torch.no_grad():
        x = torch.from_numpy(value)[:, :, None, None]
        signs = module.signs(x if module.norm is None else module.norm(x))
    return (signs[:, :, 0, 0] >= 0).numpy()


def _thresholds(bits: NDArray[np.bool_], first: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Threshold and flip per channel from the wanted bit [values, channels] of consecutive integers from ``first``."""
    flip = bits[0] & ~bits[-1]
    rising = bits ^ flip
    never = ~rising.any(axis=0)
    threshold = np.where(never, len(bits), rising.argmax(axis=0)) + first
    return threshold.astype(np.int32), flip


def _float_thresholds(module: Binary) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """x >= threshold, flipped for negative scales, so that it says batch norm(x) >= the layer's own up to one rounding."""
    own = array(module.thresholds())
    factor, offset = (np.ones_like(own), 0) if module.norm is None else affine(module.norm)
    offset = offset - own
    limit = np.finfo(np.float32).max
    with np.errstate(divide="ignore", invalid="ignore"):
        threshold = np.where(factor == 0, -limit, np.clip(-offset / factor, -limit, limit)).astype(np.float32)
    flip = factor < 0
    threshold = np.where(flip, np.nextafter(threshold, limit), threshold)
    return threshold.astype(np.float32), np.where(factor == 0, offset < 0, flip)

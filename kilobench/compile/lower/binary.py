# SPDX-License-Identifier: Apache-2.0
"""Binary convolutions: packed weights, and batch norm with sign as a threshold (docs/arithmetic.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx, nn

from kilobench.compile import int8
from kilobench.compile.graph import Tensor, pack
from kilobench.compile.lower.layers import conv_attrs, max_pool
from kilobench.compile.lower.norms import affine, array, sign_of
from kilobench.compile.lower.walk import Walk
from kilobench.compile.ops._bits import MAX_BIT_COLUMN, MAX_BIT_TAPS
from kilobench.learn.layers import XnorConv2d


def xnor(walk: Walk, node: fx.Node) -> None:
    """A binary convolution: to bits where the next one reads it, else to float32 or int8."""
    module: XnorConv2d = walk.modules[str(node.target)]
    source = walk.source(node)
    if source.dtype != "bit":
        source = _binarize(walk, node, source, module.norm)
    signs = (module.weight >= 0).numpy().transpose(0, 2, 3, 1)
    alpha = array(module.alpha)
    bias = np.zeros(len(alpha)) if module.bias is None else array(module.bias)
    taps = int(np.prod(module.weight.shape[1:]))
    column = taps // int(module.weight.shape[3])
    if column > MAX_BIT_COLUMN or taps > MAX_BIT_TAPS:
        raise walk.error(
            node,
            f"sums {taps} products, {column} per column of its kernel, above {MAX_BIT_TAPS} or {MAX_BIT_COLUMN} "
            "that the kernels can count",
        )
    fused = walk.absorb(node, "relu", "max_pool")
    follower = walk.follows(fused[-1], "xnor")
    if follower is not None:
        _to_bits(walk, source, pack(signs), alpha, bias, taps, fused, walk.modules[str(follower.target)].norm)
        return
    chain = walk.absorb(node)
    if (norm := walk.find(chain, "norm")) is not None:
        factor, offset = affine(norm)
        alpha, bias = alpha * factor, bias * factor + offset
    output = walk.emit_tensor(node, chain)
    params: dict[str, NDArray[Any]] = {"scale": alpha.astype(np.float32), "bias": bias.astype(np.float32)}
    if output.dtype == "int8":
        signs ^= (alpha < 0)[:, None, None, None]  # the sum of opposite signs is the opposite
        with walk.naming(node):
            params = int8.binary_params(np.abs(alpha), bias, taps, output)
    params["weight"] = pack(signs)
    attrs = _attrs(walk, node, walk.find(chain, "relu") is not None)
    walk.emit_op("conv2d", node, [source], output, attrs=attrs, params=params)


def _to_bits(
    walk: Walk,
    source: Tensor,
    weight: NDArray[np.uint32],
    alpha: NDArray[np.float64],
    bias: NDArray[np.float64],
    taps: int,
    chain: list[fx.Node],
    norm: nn.BatchNorm2d,
) -> None:
    """A binary convolution whose only reader is the sign of the next one: its output is thresholded at once."""
    node = chain[0]
    acc = np.arange(-taps, taps + 1, dtype=np.float32)[:, None]
    value = acc * alpha.astype(np.float32) + bias.astype(np.float32)
    if walk.find(chain, "relu") is not None:
        value = np.maximum(value, 0)
    threshold, flip = _thresholds(sign_of(norm, value), -taps)
    pool = chain[-1] if walk.kind(chain[-1]) == "max_pool" else None
    before_pool = chain[:-1] if pool is not None else chain
    output = walk.emit_tensor(node, before_pool, "bit")
    conv_flip = np.zeros_like(flip) if pool is not None else flip
    params = {"weight": weight, "threshold": threshold, "flip": pack(conv_flip)}
    walk.emit_op("conv2d", node, [source], output, attrs=_attrs(walk, node, False), params=params)
    if pool is not None:
        max_pool(walk, pool, pack(flip))


def _attrs(walk: Walk, node: fx.Node, relu: bool) -> dict[str, Any]:
    module: XnorConv2d = walk.modules[str(node.target)]
    kernel = (int(module.weight.shape[2]), int(module.weight.shape[3]))
    return conv_attrs(kernel, module.stride, module.padding, relu)


def _binarize(walk: Walk, node: fx.Node, source: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Batch norm and sign of a float32 or int8 map as one comparison."""
    threshold: NDArray[Any]
    if source.dtype == "int8":
        q = np.arange(-128, 128, dtype=np.float32)[:, None]
        value = np.repeat((q - source.zero_point) * np.float32(source.scale), source.shape[2], axis=1)
        threshold, flip = _thresholds(sign_of(norm, value), -128)
    else:
        threshold, flip = _float_thresholds(norm)
    output = walk.keep([], Tensor(f"{node.name}_bits", source.shape, "bit"))
    walk.emit_op("binarize", node, [source], output, params={"threshold": threshold, "flip": pack(flip)})
    return output


def _thresholds(bits: NDArray[np.bool_], first: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Threshold and flip per channel from the wanted bit [values, channels] of consecutive integers from ``first``."""
    flip = bits[0] & ~bits[-1]
    rising = bits ^ flip
    never = ~rising.any(axis=0)
    threshold = np.where(never, len(bits), rising.argmax(axis=0)) + first
    return threshold.astype(np.int32), flip


def _float_thresholds(norm: nn.BatchNorm2d) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """x >= threshold, flipped for negative scales, so that it says batch norm(x) >= 0 up to one rounding."""
    factor, offset = affine(norm)
    limit = np.finfo(np.float32).max
    with np.errstate(divide="ignore", invalid="ignore"):
        threshold = np.where(factor == 0, -limit, np.clip(-offset / factor, -limit, limit)).astype(np.float32)
    flip = factor < 0
    threshold = np.where(flip, np.nextafter(threshold, limit), threshold)
    return threshold.astype(np.float32), np.where(factor == 0, offset < 0, flip)

# SPDX-License-Identifier: Apache-2.0
"""int8 convolutions most of whose weights are 0, as sparse_conv2d_s8.h and its kernels read them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.kernels import constant
from kilobench.compile.ops._convolution import Convolution

_LEAST = 1024
"""Weights of a layer from which a kernel of its own is worth its flash."""
_PART = 2
"""So many times fewer bytes than all weights take those that are stored, where their kernel is quicker, too."""
_GAP, _CHUNK, _MOST = 15, 4, 2**15
"""The largest gap, weights of a chunk, and words of a channel's chunks below which a header counts them."""
_CHUNK_BYTES = 6
_SCRATCH_BYTES = 2048
"""Wanted size of the scratch buffer, which holds input columns in words."""


def pays(weight: NDArray[np.int8]) -> bool:
    """Whether to store weights [O, taps] so."""
    if weight.size < _LEAST or _PART * _CHUNK_BYTES * np.count_nonzero(weight) > _CHUNK * weight.size:
        return False
    return _PART * chunk_bytes(weight) <= weight.size and max(len(_chunks(row)[0]) for row in weight) < _MOST // 2


def chunk_bytes(weight: NDArray[np.int8]) -> int:
    """What weights [O, taps] take, without what a channel takes besides."""
    return _CHUNK_BYTES * sum(len(_chunks(row)[0]) for row in weight)


def words(weight: NDArray[np.int8], channel: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Those of all channels, of weights [O, taps] and numbers [O, 4]."""
    return np.concatenate([_channel(*rows) for rows in zip(weight, channel, strict=True)])


def _channel(row: NDArray[np.int8], numbers: NDArray[np.int32]) -> NDArray[np.uint32]:
    """The words of a channel."""
    gaps, weights = _chunks(row)
    odd = len(gaps) % 2
    pairs = np.stack(
        [gaps[odd::2] | gaps[odd + 1 :: 2] << np.uint32(16), weights[odd::2], weights[odd + 1 :: 2]], axis=1
    )
    chunks = np.concatenate([weights[:odd], pairs.ravel()])
    header = 2 * len(chunks) + odd + (int(gaps[0]) << 16 if odd else 0)
    bias, *behind = numbers.view(np.uint32)
    return np.array([header, bias, *chunks, *behind], dtype=np.uint32)


def _chunks(row: NDArray[np.int8]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Gaps and weights of the chunks of a channel, at least one; what fills gaps and the last chunk are weights of 0."""
    found = [0, *np.flatnonzero(row).tolist()]
    taps = [tap for last, at in pairwise(found) for tap in (*range(last + _GAP, at, _GAP), at)] or [0]
    missing = -len(taps) % _CHUNK
    values = np.concatenate([row[taps], np.zeros(missing, np.int8)])
    gaps = np.concatenate([np.diff(taps, prepend=0), np.zeros(missing, int)]).reshape(-1, _CHUNK)
    return (gaps @ 16 ** np.arange(_CHUNK)).astype(np.uint32), values.view("<u4").astype(np.uint32)


def numbers(bound: Convolution) -> dict[str, int]:
    """Of kb_sparse_conv2d_s8_params: how columns lie in scratch."""
    return {"column": _column(bound), "apart": _apart(bound), "step": _step(bound), "block": _block(bound)}


def scratch_bytes(bound: Convolution) -> int:
    """Outputs of KB_SPARSE_TOGETHER pixels, and columns."""
    columns = _step(bound) * (_block(bound) // 2 - 1) + bound.least.kernel[1]
    return int(constant("KB_SPARSE_TOGETHER") * bound.output.shape[2] + 4 * columns * _column(bound))


def _column(bound: Convolution) -> int:
    """Values of a column."""
    return int(bound.attrs["kernel"][0]) * bound.source.shape[2]


def _apart(bound: Convolution) -> int:
    """Of a kernel of one column, columns that no pair begins with are left out."""
    return 2 * bound.least.stride[1] if bound.attrs["kernel"][1] == 1 else 1


def _step(bound: Convolution) -> int:
    """Columns from a pair to the next."""
    return 1 if bound.attrs["kernel"][1] == 1 else 2 * bound.least.stride[1]


def _block(bound: Convolution) -> int:
    """Output pixels whose columns are in scratch together."""
    together = constant("KB_SPARSE_TOGETHER")
    fitting = 2 * ((_SCRATCH_BYTES // (4 * _column(bound)) - bound.least.kernel[1]) // _step(bound) + 1)
    height, width = bound.output.shape[:2]
    row = height * width if bound.attrs["kernel"] == (1, 1) else width
    return max(together, min(fitting, row + together - 1) // together * together)

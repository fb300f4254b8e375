# SPDX-License-Identifier: Apache-2.0
"""Files of raw values, little-endian: the inputs of labelled folders, and how it shows that they are of another type or order.

A published set has a digest: where its names hold other bytes, those of other types and orders are tried. Of photographs that
are not known, neighbouring pixels tell: read as they are not, they differ more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.contracts import UserError
from kilobench.data.labelled import LABELS, Labelled
from kilobench.data.mlperf import PublishedSet, digest_of_files

_MOST_BYTES = 4_000_000_000
_LEAST_FLOAT, _MOST_FLOAT = 1e-30, 1e9
"""Largest magnitudes of a set outside of these are integers, or floats of another byte order."""
_CONTRADICTION = 1.25
"""By which neighbours must differ less if read otherwise. Of 30 000 training images of CIFAR-10, read as they are, another
reading was smoother by at most 1.12 (single grey images); read otherwise, the right one by 1.66 for any five images."""

Maps = NDArray[Any]
"""[n, height, width, channels]"""
_ORDERS: dict[str, Callable[[Maps], Maps]] = {
    "": lambda x: x,
    "planes (RR..GG..BB..)": lambda x: np.moveaxis(x.reshape(len(x), x.shape[3], *x.shape[1:3]), 1, 3),
    "rows and columns swapped": lambda x: x.reshape(len(x), x.shape[2], x.shape[1], x.shape[3]).swapaxes(1, 2),
    "channels in reverse order (BGRBGR)": lambda x: x[..., ::-1],
}
"""What files may hold instead, and their values in the order that they should have."""


def read_inputs(labelled: Labelled, kind: str, shape: tuple[int, int, int]) -> tuple[Maps, NDArray[np.int64]]:
    """All inputs [n, height, width, channels] of a type, and for each the place of its file in the order of y_labels.csv.

    Raises UserError for a file of another size, for a published set that is not as published, and for what is evidently of
    another type or order.
    """
    stored = np.dtype(kind).newbyteorder("<")
    _check_benchmark(labelled, kind, shape)
    contents = _contents(labelled, kind, shape)
    if labelled.window is None:
        inputs = np.frombuffer(b"".join(contents), stored).reshape(-1, *shape)
        files = np.arange(len(contents))
    else:
        size, stride = labelled.window
        starts = [range(0, len(content) - size + 1, stride) for content in contents]
        parts = [content[at : at + size] for content, of in zip(contents, starts, strict=True) for at in of]
        inputs = np.frombuffer(b"".join(parts), stored).reshape(-1, *shape)
        files = np.repeat(np.arange(len(contents)), [len(of) for of in starts])
    if kind == "float32":
        _check_floats(labelled, inputs, files)
    elif labelled.published is not None and labelled.published.contents:
        _check_published(labelled, labelled.published, inputs, contents)
    elif kind == "uint8" and shape[2] == 3 and min(shape) > 1:
        _check_neighbours(labelled, inputs)
    return inputs.astype(kind, copy=False), files


def _told(kind: str, shape: Sequence[int]) -> str:
    return f"{kind} {'x'.join(map(str, shape))}"


def _check_benchmark(labelled: Labelled, kind: str, shape: tuple[int, int, int]) -> None:
    if (published := labelled.published) is None:
        return
    benchmark = published.benchmark
    if (benchmark.dtype, benchmark.shape) != (kind, shape):
        has = _told(benchmark.dtype, benchmark.shape)
        raise UserError(f"{labelled.folder} is {benchmark.name}, {has}; the model takes {_told(kind, shape)}")


def _contents(labelled: Labelled, kind: str, shape: tuple[int, int, int]) -> list[bytes]:
    values = int(np.prod(shape))
    takes = f"the model takes {_told(kind, shape)}, {(size := values * np.dtype(kind).itemsize)} bytes"
    if labelled.window is not None and labelled.window[0] != size:
        raise UserError(f"{labelled.folder / LABELS} says windows of {labelled.window[0]} bytes; {takes}")
    paths, total = [labelled.folder / name for name in labelled.names], 0
    for path in paths:
        found = path.stat().st_size
        if wrong := _wrong_size(found, size, values, labelled.window):
            raise UserError(f"{path} {wrong}; {takes}")
        total += found
    if total > _MOST_BYTES:
        raise UserError(f"{labelled.folder}: {total / 1e9:.1f} GB of inputs; supported are {_MOST_BYTES / 1e9:g}")
    try:
        return [path.read_bytes() for path in paths]
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}") from None


def _wrong_size(found: int, size: int, values: int, window: tuple[int, int] | None) -> str:
    """Empty where a file has the bytes of an input, or of whole windows."""
    if found == 0:
        return "is empty"
    if window is not None:
        whole = found >= size and (found - size) % window[1] == 0
        return "" if whole else f"has {found} bytes, no whole number of windows of {size} every {window[1]}"
    if found == size:
        return ""
    kinds = {values: "8-bit values", 2 * values: "16-bit values", 4 * values: "float32 or other 32-bit values"}
    return f"holds {kinds[found]}, {found} bytes" if found in kinds else f"has {found} bytes"


def _check_floats(labelled: Labelled, inputs: Maps, files: NDArray[np.int64]) -> None:
    finite = np.isfinite(inputs).all(axis=(1, 2, 3))
    if not finite.all():
        name = labelled.names[files[int(finite.argmin())]]
        raise UserError(f"{labelled.folder / name} holds NaN or infinite values: it is no float32, little-endian")
    largest = float(np.abs(inputs).max())
    if largest and not _LEAST_FLOAT < largest < _MOST_FLOAT:
        raise UserError(f"{labelled.folder} holds values up to {largest:.1g}: they are no float32, little-endian")


def _check_published(labelled: Labelled, published: PublishedSet, inputs: Maps, contents: Sequence[bytes]) -> None:
    def is_published(files: Sequence[bytes]) -> bool:
        return digest_of_files(zip(labelled.names, files, strict=True)) == published.contents

    if is_published(contents):
        return
    benchmark = published.benchmark
    for order, mended in _ORDERS.items():
        for sign in (0, 128):
            if is_published([one.tobytes() for one in mended(inputs.view(np.uint8)) ^ np.uint8(sign)]):
                other = {"uint8": "int8", "int8": "uint8"}[benchmark.dtype] if sign else ""
                holds = " with ".join(part for part in (other, order) if part)
                raise UserError(
                    f"{labelled.folder} holds {holds}; {benchmark.name} is {_told(benchmark.dtype, benchmark.shape)}"
                )
    raise UserError(
        f"{labelled.folder} has the names of {benchmark.name} and other contents: it is damaged, or of others"
    )


def _check_neighbours(labelled: Labelled, inputs: Maps) -> None:
    """Of pixels [n, height, width, 3] of uint8."""
    steps = {
        (order, sign): _step(_ORDERS[order](inputs) ^ np.uint8(sign))
        for order in list(_ORDERS)[:2]
        for sign in (0, 128)
    }
    (order, sign), least = min(steps.items(), key=lambda item: item[1])
    if steps["", 0] > _CONTRADICTION * least:
        holds = " with ".join(part for part in ("int8" if sign else "", order) if part)
        raise UserError(
            f"{labelled.folder} seems to hold {holds}: neighbouring pixels then differ by {least:.1f} on average, "
            f"by {steps['', 0]:.1f} as uint8 pixels (RGBRGB)"
        )


def _step(pixels: Maps) -> float:
    """The mean difference of neighbours, in rows and in columns."""
    wide = pixels.astype(np.int16)
    return float(np.mean([np.abs(np.diff(wide, axis=axis)).mean() for axis in (1, 2)]))

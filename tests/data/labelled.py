# SPDX-License-Identifier: Apache-2.0
"""Folders of labelled inputs that tests make."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def folder_of(folder: Path, inputs: Array, labels: Sequence[int], classes: int, more: str = "") -> Path:
    """Of inputs [n, ...]: y_labels.csv and their bytes in files 0.bin, 1.bin, ..."""
    folder.mkdir()
    rows = []
    for index, (values, label) in enumerate(zip(inputs, labels, strict=True)):
        (folder / f"{index}.bin").write_bytes(values.tobytes())
        rows.append(f"{index}.bin,{classes},{label}{more}\n")
    (folder / "y_labels.csv").write_text("".join(rows))
    return folder


def photographs(count: int, size: int = 16) -> Array:
    """Smooth pictures [n, size, size, 3] of uint8, with noise: neighbours differ little, and many are around 128."""
    random = np.random.default_rng(0)
    places = np.linspace(0, np.pi, size)
    waves = random.uniform(0, 3, (count, 2, 3))
    rows, columns = (np.sin(places[None, :, None] * waves[:, axis, None, :]) for axis in (0, 1))
    mixed = 128 + 70 * (rows[:, :, None] - columns[:, None]) + random.normal(0, 4, (count, size, size, 3))
    return np.clip(mixed, 0, 255).astype(np.uint8)

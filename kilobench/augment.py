"""Random variations of training batches, vectorised, from one generator."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kilobench.api import Shape

Batch = NDArray[np.float32]


def augment(x: Batch, kind: Literal["audio", "image"], shape: Shape, generator: np.random.Generator) -> Batch:
    """A varied copy of a batch [n, c, h, w], cut to the input shape.

    Audio: a random window (shifted by up to a tenth beyond the clip's ends) and a gain of up to 6 dB either way, clipped
    to [-1, 1]. Images: shifted by up to an eighth of their size, edges repeated.
    """
    if kind == "audio":
        margin = shape[2] // 10
        padded = np.pad(x, ((0, 0), (0, 0), (0, 0), (margin, margin)))
        starts = generator.integers(0, padded.shape[3] - shape[2] + 1, len(x))
        out = np.stack([clip[..., s : s + shape[2]] for clip, s in zip(padded, starts, strict=True)])
        gain = 10 ** (generator.uniform(-6, 6, (len(x), 1, 1, 1)) / 20)
        return np.clip(out * gain.astype(np.float32), -1, 1)
    reach = max(1, shape[1] // 8)
    padded = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
    tops, lefts = generator.integers(0, 2 * reach + 1, (2, len(x)))
    return np.stack(
        [image[:, t : t + shape[1], s : s + shape[2]] for image, t, s in zip(padded, tops, lefts, strict=True)]
    )

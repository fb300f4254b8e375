# SPDX-License-Identifier: Apache-2.0
"""Handwritten digits that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path

from kilobench.api import Progress, Shape, Split, Task, Training, data


class Digits(Task):
    """8 x 8 grey images of handwritten digits, 10 classes; comes with scikit-learn, nothing to download.

    The bundle does not say who wrote what, so the fixed split (1 347 training, 450 test images, stratified) is random, not
    writer-disjoint: easier than a deployment would be.
    """

    name = "digits"
    reference = "UCI Optical Recognition of Handwritten Digits (test part), doi:10.24432/C50P49"
    changes = ("values v of 0 to 16 are pixels p = min(16 v, 255), read as (p - 128) / 128, where they were v / 8 - 1",)
    kind = "image"
    from_code = True
    network = "resnet8[width=8]"
    training = Training(lr=1e-2)

    @property
    def class_count(self) -> int:
        """Ten digits."""
        return 10

    @property
    def input_shape(self) -> Shape:
        """One grey channel, 8 x 8."""
        return 1, 8, 8

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """Values of 0 to 16 as pixels p of 8 bits, in [-1, 1) as (p - 128) / 128."""
        import numpy as np
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        images, labels = load_digits(return_X_y=True)
        pixels = np.minimum(16 * images.reshape(-1, 1, 8, 8), 255)
        x = ((pixels - 128) / 128).astype(np.float32)
        y = labels.astype(np.int64)
        train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=450, stratify=y, random_state=0)
        digest = data.digest([train_x, train_y, test_x, test_y])
        return Split(train_x, train_y, test_x, test_y, tuple("0123456789"), digest)

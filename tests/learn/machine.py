# SPDX-License-Identifier: Apache-2.0
"""A small task without classes: spectra of machines, of which the unusual ones lack what the others have in common."""

from pathlib import Path
from typing import Any

import numpy as np

from kilobench.contracts import Shape, Split, Task, Training


class Machine(Task):
    """Four patterns of 12 bands, noise on them, recordings of 20 frames; the unusual have the bands in another order."""

    name = "machine"
    kind = "spectrogram"
    objective = "reconstruction"
    network = "autoencoder[width=0.25]"
    training = Training(steps=300, lr=1e-2, batch=40, optimiser="adam", weight_decay=0.0, label_smoothing=0.0)

    @property
    def class_count(self) -> int:
        return 2

    @property
    def input_shape(self) -> Shape:
        return 12, 1, 3

    def load(self, fold: int, cache: Path, progress: Any) -> Split:
        random = np.random.default_rng(0)
        patterns = random.uniform(-0.6, 0.6, (4, 12))

        def recordings(count: int, order: list[int]) -> Any:
            chosen = patterns[random.integers(0, 4, count)][:, order]
            x = chosen[:, :, None, None] + random.normal(0, 0.1, (count, 12, 1, 20))
            return x.clip(-1, 1).astype(np.float32)

        usual, swapped = list(range(12)), [1, 0, 3, 2, *range(4, 12)]
        test = np.concatenate([recordings(25, usual), recordings(25, swapped)])
        labels = np.repeat([0, 1], 25)
        return Split(recordings(80, usual), np.zeros(80, np.int64), test, labels, ("usual", "unusual"), "machine")

# SPDX-License-Identifier: Apache-2.0
"""How the study of pruning and XNOR-Net (arXiv 2108.06128) trains: ``--training study`` of the tasks that it has."""

from collections.abc import Mapping

from kilobench.api import Training

_WARM_UP = 10
"""Epochs at a tenth of the learning rate."""


def _trainings(epochs: int, **settings: object) -> Mapping[str, Training]:
    training = Training(
        epochs=epochs,
        lr=0.1,
        batch=64,
        optimiser="sgd",
        schedule="step",
        warm_up=_WARM_UP / epochs,
        warm_up_rate="tenth",
        weight_decay=5e-4,
        label_smoothing=0.0,
        **settings,  # type: ignore[arg-type]
    )
    return {"study": training}


def studied_sound(epochs: int) -> Mapping[str, Training]:
    """All inputs are mixtures of two classes, of windows that reach half of their length beyond the clips."""
    return _trainings(epochs, mix=1.0, stretch=1.25, beyond=0.5, polarity=False)


STUDIED_IMAGES = _trainings(400, drops="12-30-75", flip=True, turn=15.0, edges="black")

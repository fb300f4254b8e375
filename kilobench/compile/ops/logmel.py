# SPDX-License-Identifier: Apache-2.0
"""Sound to mel bands or cepstra: the front end of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import Tensor
from kilobench.compile.operator import Attribute, Field, Operator
from kilobench.contracts import FRONTEND_RANGES, Frontend, UserError
from kilobench.data.frontend import features, tables


def _attribute(name: str, default: Any) -> Attribute:
    low, high = FRONTEND_RANGES.get(name, (-160, 96_000))
    known = {} if default is MISSING else {"default": default}
    return Attribute(low, high, 1 if name in FRONTEND_RANGES else 2, **known)


class Logmel(Operator):
    """Its samples are the values of the input in their order; of what it makes each row is a frame (kilobench.api.Frontend)."""

    types = {("int16", "uint8"): {}}
    attributes = {field.name: _attribute(field.name, field.default) for field in fields(Frontend)}
    takes_scratch = True

    @classmethod
    def grid(cls, source: Tensor) -> tuple[float, int]:
        """Codes as pixels are."""
        return 1 / 128, 128

    def frontend(self) -> Frontend:
        """Raises ValueError for attributes that are none."""
        try:
            return Frontend(**self.attrs)
        except UserError as error:
            raise ValueError(str(error)) from None

    def output_shape(self) -> tuple[int, int, int]:
        """Frames, values."""
        try:
            _, frames, values = self.frontend().shape(prod(self.source.shape))
        except UserError as error:
            raise ValueError(str(error)) from None
        return frames, values, 1

    def check(self) -> None:
        """That it has tables."""
        try:
            tables(self.frontend())
        except UserError as error:
            raise ValueError(str(error)) from None

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The same as in training."""
        return features(self.frontend(), values[0].reshape(len(values[0]), -1))[..., None]

    def work(self) -> int:
        """About the products of a transform."""
        points = self.attrs["points"]
        return self.output.shape[0] * points * int(points).bit_length()

    def fields(self) -> Mapping[str, Field]:
        """Numbers, and tables."""
        frontend, made = self.frontend(), tables(self.frontend())
        names = ("frame", "hop", "points", "bands", "coefficients")
        arrays = {"window": made.window, "sine": made.sine, "counts": made.counts, "log": made.log, "weights": made.weights}
        cosine = {"cosine": made.cosine} if frontend.coefficients else {}
        return {
            "frames": self.output.shape[0],
            **{name: getattr(frontend, name) for name in names},
            "odd": frontend.points.bit_length() % 2,
            "first": made.first,
            "gain": made.gain,
            "offset": made.offset,
            **arrays,
            **cosine,
        }

    def scratch_bytes(self) -> int:
        """The spectrum of a frame, and the bands of it."""
        return 4 * int(self.attrs["points"]) + 2 * int(self.attrs["bands"])

# SPDX-License-Identifier: Apache-2.0
"""Sound to mel bands or cepstra: the front end of a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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


@contextmanager
def _wrong() -> Iterator[None]:
    """What no front end can be is what no operator can be."""
    try:
        yield
    except UserError as error:
        raise ValueError(str(error)) from None


class Logmel(Operator):
    """Its samples are the values of the input in their order; of what it makes each row is a frame (kilobench.api.Frontend)."""

    types = {("int16", "uint8"): {}}
    attributes = {field.name: _attribute(field.name, field.default) for field in fields(Frontend)}
    takes_scratch = True

    @classmethod
    def grid(cls, source: Tensor) -> tuple[float, int]:
        """Codes as pixels are."""
        return 1 / 128, 128

    @property
    def frontend(self) -> Frontend:
        """Of the attributes."""
        return Frontend(**self.attrs)

    def output_shape(self) -> tuple[int, int, int]:
        """Frames, values."""
        with _wrong():
            _, frames, values = self.frontend.shape(prod(self.source.shape))
        return frames, values, 1

    def check(self) -> None:
        """That it has tables."""
        with _wrong():
            tables(self.frontend)

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The same as in training."""
        return features(self.frontend, values[0].reshape(len(values[0]), -1))[..., None]

    def work(self) -> int:
        """About the products of a transform."""
        points = self.attrs["points"]
        return self.output.shape[0] * points * int(points).bit_length()

    def fields(self) -> Mapping[str, Field]:
        """Numbers, and tables."""
        frontend, made = self.frontend, tables(self.frontend)
        names = ("frame", "hop", "points", "bands", "coefficients")
        return {
            "frames": self.output.shape[0],
            **{name: getattr(frontend, name) for name in names},
            "odd": frontend.points.bit_length() % 2,
            **{field.name: value for field in fields(made) if np.size(value := getattr(made, field.name))},
        }

    def scratch_bytes(self) -> int:
        """The spectrum of a frame, and the bands of it."""
        return 4 * int(self.attrs["points"]) + 2 * int(self.attrs["bands"])

# SPDX-License-Identifier: Apache-2.0
"""What MLPerf Tiny's runner sends for each of its benchmarks, and the quality that a submission must reach.

Banbury et al., MLPerf Tiny Benchmark, arXiv 2106.07597, section 4; file formats as in ``benchmark/evaluation/datasets`` of mlcommons/tiny.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Benchmark:
    """One of its networks' tasks: a data set is a folder with ``y_labels.csv`` and a file of raw values for every input."""

    name: str
    """Of its data set, and what firmware says its model is."""
    title: str
    dtype: Literal["uint8", "int8", "float32"]
    """Of the values in its files, little-endian."""
    shape: tuple[int, int, int]
    """Height, width, channels of one input, in the order of the bytes."""
    classes: int
    """As many as the second column of y_labels.csv says."""
    target: float
    """Quality that the closed division asks for: top-1 accuracy, or the area under the ROC curve of ad01."""


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("ic01", "image classification", "uint8", (32, 32, 3), 10, 0.85),
        Benchmark("kws01", "keyword spotting", "int8", (49, 10, 1), 12, 0.90),
        Benchmark("vww01", "visual wake words", "uint8", (96, 96, 3), 2, 0.80),
        Benchmark("ad01", "anomaly detection", "float32", (1, 1, 640), 2, 0.85),
    )
}
"""By name."""
STREAMING = "sww01"
"""The streaming wake word, since round 1.3: its runner plays sound and sends no inputs, so that there is no data set."""

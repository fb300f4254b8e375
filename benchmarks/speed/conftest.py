# SPDX-License-Identifier: Apache-2.0
"""The table of kernels at the end of a session: ours, goals and what others published, side by side."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from tabulate import tabulate

Report = Callable[[str, float], None]


@dataclass(frozen=True)
class Kernel:
    """A row: layer, anchors and goals in cycles per MAC, on the emulated boards unless it says silicon."""

    layer: str
    anchors: str
    reach: float
    aim: float


KERNELS = {
    "int8_conv3x3": Kernel("int8 conv 3x3, 16x16x32 -> 32", "CMSIS-NN 2.35; hand-tuned C 1.75", 1.65, 1.45),
    "int8_pointwise": Kernel("int8 pointwise, 16x16x32 -> 32", "CMSIS-NN 3.47", 2.0, 1.6),
    "int8_depthwise3x3": Kernel("int8 depthwise 3x3, 16x16x32", "CMSIS-NN 9.53", 5, 3.5),
    "int8_dense": Kernel("int8 fully connected 1024 -> 64", "CMSIS-NN 2.53", 1.6, 1.3),
    "int16_conv1x9": Kernel("int16 conv 1x9/2, 1x30225x1 -> 7", "none published", 2.5, 2.3),
    "int16_conv3x3": Kernel("int16 conv 3x3, 32x32x3 -> 16", "none published", 2.6, 2.2),
    "binary_conv3x3": Kernel(
        "binary conv 3x3, 16x16x64 -> 64", "popcount by bit trick 0.53-1.02; Harley-Seal in C 0.39-0.42", 0.32, 0.25
    ),
    "fp32_conv3x3": Kernel("fp32 conv 3x3, 16x16x32 -> 32", "naive 5-13; blocked 3.4", 3.4, 3.0),
    "resnet8_int8": Kernel(
        "whole int8 ResNet-8, 32x32x3",
        "silicon, same core: best closed 1.58 (ST), Plumerai 1.61, with CMSIS-NN 2.85",
        1.58,
        1.4,
    ),
    "m0plus_int8_conv3x3": Kernel("M0+ int8 conv 3x3, 16x16x32 -> 32", "CMSIS-NN 9.5", 7, 6),
}
HOST = {"host_int8": ("int8 ResNet-8", 1.0), "host_binary": ("binary conv 3x3, 16x16x64 -> 64, four", 10.0)}
"""G MAC/s of one core that host C should reach."""


@pytest.fixture
def cycles_per_mac(benchmark: BenchmarkFixture, record_property: Callable[[str, object], None]) -> Report:
    """Puts a kernel's figure into the benchmark's file and into the table."""

    def report(kernel: str, value: float) -> None:
        benchmark.extra_info |= {"kernel": kernel, "cycles_per_mac": value}
        record_property("cycles_per_mac", (kernel, value))

    return report


@pytest.fixture
def gmac_per_second(benchmark: BenchmarkFixture, record_property: Callable[[str, object], None]) -> Report:
    """The same for speeds of host C on one core."""

    def report(kernel: str, value: float) -> None:
        benchmark.extra_info |= {"kernel": kernel, "gmac_per_second": value}
        record_property("gmac_per_second", (kernel, value))

    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found: dict[str, dict[str, float]] = {"cycles_per_mac": {}, "gmac_per_second": {}}
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name in found:
                found[name] |= dict([value])
    cycles, speeds = found.values()
    if cycles:
        rows = [
            (row.layer, cycles[key], row.reach, row.aim, row.anchors) for key, row in KERNELS.items() if key in cycles
        ]
        terminalreporter.section("cycles per MAC on the emulated boards")
        heads = ("kernel", "ours", "reach", "aim", "anchors")
        terminalreporter.write_line(tabulate(rows, heads, "github", floatfmt=".2f"))
    if speeds:
        rows_host = [(layer, speeds[key], goal) for key, (layer, goal) in HOST.items() if key in speeds]
        terminalreporter.section("G MAC/s of host C on one core")
        terminalreporter.write_line(
            tabulate(rows_host, ("network", "ours", "goal, at least"), "github", floatfmt=".2f")
        )

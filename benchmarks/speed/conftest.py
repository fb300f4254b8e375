# SPDX-License-Identifier: Apache-2.0
"""Tables at the end of a session: ours, goals and what others published, side by side."""

from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from tabulate import tabulate

Report = Callable[[str, dict[str, Any], tuple[Any, ...]], None]
GCC = "GCC / zig (reach 1.05)"
EMULATOR = "millions of emulated instructions a second, counted in cycles"
HEADS = {
    "cycles per MAC on the emulated boards": ("layer", "ours", "reach", "aim", "anchors", GCC),
    "ratios of cycles": ("layers", "ours", "reach", "aim"),
    "networks": (
        *("network", "ours", "reach", "aim", "anchors, silicon", "cycles", "ms at 120 MHz, no wait states"),
        *("best on silicon, ms", "runtime flash, bytes", GCC),
    ),
    "G MAC/s of host C on one core": ("network", "ours", "goal, at least"),
    EMULATOR: (
        "network",
        "ours",
        "goal, at least",
        "ms until the first inference begins",
        "ms that it takes more",
        "times as long with flash",
    ),
}
"""Of each table, by its title."""


@pytest.fixture
def report(benchmark: BenchmarkFixture, record_property: Callable[[str, object], None]) -> Report:
    """Puts figures into the benchmark's file, and a row into the table of this title."""

    def put(title: str, figures: dict[str, Any], row: tuple[Any, ...]) -> None:
        assert len(row) == len(HEADS[title])
        benchmark.extra_info |= figures
        record_property(title, row)

    return put


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    properties = [pair for report in terminalreporter.getreports("passed") for pair in report.user_properties]
    for title, heads in HEADS.items():
        rows = [row for name, row in properties if name == title]
        if rows:
            terminalreporter.section(title)
            terminalreporter.write_line(tabulate(rows, heads, "github", floatfmt=".2f"))

# SPDX-License-Identifier: Apache-2.0
"""Reports and published results that nobody measured."""

from pathlib import Path
from typing import Any, Literal

from kilobench.mlperf.published import Result
from kilobench.mlperf.reports import Reference
from kilobench.plugins.suites import ModelFile
from kilobench.record import FlashSplit
from kilobench.report.facts import Facts, Judged, OnBoard, content

BOARDS = {
    "nucleo_l4r5zi": ("cortex-m4f", 120),
    "nucleo_u575zi_q": ("cortex-m33", 160),
    "nucleo_g0b1re": ("cortex-m0plus", 64),
}


def on(board: str, cycles: int | None) -> OnBoard:
    """What a board says; sizes are the same everywhere."""
    core, mhz = BOARDS[board]
    return OnBoard(
        board=board, core=core, clock_hz=mhz * 1_000_000, board_flash_bytes=2**21, board_ram_bytes=2**19,
        timing=f"emulated {core}", conditions={}, toolchain="zig 0.17.1", flash_bytes=98_304,
        flash=FlashSplit(weights=80_000, runtime=18_000, board_support=304), ram_bytes=51_200, arena_bytes=50_000,
        static_bytes=200, stack_bytes=1000, over_flash_bytes=0, over_ram_bytes=0, cycles=cycles, cycles_low=cycles,
        cycles_high=cycles, layer_cycles=(), inputs=2, energy_uj=None,
    )  # fmt: skip


def facts(rounding: Literal["once", "tflite"], cycles: dict[str, int | None], judged: Judged | None = None) -> Facts:
    """Of a model of a million multiply-accumulates."""
    return Facts(
        model="model.tflite", digest="0" * 64, rounding=rounding, input="int8 32x32x3", outputs=("int8 1x1x10",),
        macs={"int8": 1_000_000}, parameters=1, arena_bytes=1, arena_lower_bound=1, peak="conv", layers=(), moments=(),
        judged=judged, boards=tuple(on(board, count) for board, count in cycles.items()),
    )  # fmt: skip


def model(benchmark: str = "ic01", rounding: Literal["once", "tflite"] = "tflite") -> ModelFile:
    """As a suite names it."""
    return ModelFile("models/model.tflite", "0" * 64, benchmark, rounding)


def reference(
    name: str, rounding: Literal["once", "tflite"], cycles: dict[str, int | None], judged: Judged | None = None
) -> Reference:
    """A report of that name."""
    return Reference(name, model(name.partition("-")[0], rounding), facts(rounding, cycles, judged))


def result(board: str, per_second: float, **changes: Any) -> Result:
    """A published one, of image classification unless it says otherwise."""
    core, mhz = BOARDS[board]
    values = {
        "round": "1.2", "division": "closed", "submitter": "Somebody", "board": board, "core": core, "mhz": mhz,
        "engine": "Engine 1", "weights": "int8", "benchmark": "ic01", "inferences_per_second": per_second,
        "quality": 0.87, "energy_uj": None, "path": "closed/Somebody/results/board/ic",
    }  # fmt: skip
    return Result.model_validate(values | changes)


def written(folder: Path, name: str, one: Facts) -> Path:
    """The file of a report."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_bytes(content(one))
    return path

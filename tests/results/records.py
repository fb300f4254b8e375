# SPDX-License-Identifier: Apache-2.0
"""Made-up records for tests of what reads records."""

import shlex

import numpy as np

from kilobench.measuring.evaluate import EvaluatedModel, load_model_file
from kilobench.record import Record, accuracy
from kilobench.results.packed import unpacked
from kilobench.results.store import Store


def record(
    recipe: str = "full", board: str = "nucleo_l476rg", correct: int = 80, fold: int = 0, **changes: object
) -> Record:
    """A plausible record; ``correct`` of 100 samples are right."""
    values: dict[str, object] = {
        "schema": "kilobench/1", "cell": "0" * 32, "task": "fsdd[classes=5]", "classes": 5, "synthetic": False,
        "network": "acdnet", "recipe": recipe, "effort": 2.6, "steps": {"train": 2600},
        "board": board, "board_flash_bytes": 1 << 20, "board_ram_bytes": 1 << 17,
        "clock_hz": 80_000_000, "link": "emulator",
        "timing": "emulated cortex-m4", "toolchain": "zig 0.17.1", "flags": "-O2", "seed": 0, "fold": fold,
        "accuracy": accuracy(np.arange(100) < correct).model_dump(), "flash_bytes": 102_400, "ram_bytes": 20_480,
        "stack_bytes": 480, "flash": {"weights": 90_000, "runtime": 11_900, "board_support": 500},
        "ram": {"arena": 19_900, "arena_lower_bound": 19_900, "peak": "conv1", "static": 100, "stack": 480},
        "fits": True, "over_flash_bytes": 0, "over_ram_bytes": 0,
        "cycles": 8_000_000, "cycles_low": 8_000_000, "cycles_high": 8_000_000,
        "layers": [{"name": "conv1", "kind": "conv2d", "output": "int8 1x10x8", "cycles": 8_000_000}],
        "macs": {"fp32": 0, "int8": 2_000_000, "binary": 0}, "parameters": 90_000, "verified_inputs": 8,
        "model_digest": "1" * 64, "data_digest": f"fold {fold}", "notes": [], "versions": {"torch": "2.13.0"},
        "trust": "verified", "git_commit": "abc",
        "command": f"kilobench run --recipe {shlex.quote(recipe)} --board {board} --fold {fold}",
        "times": {"created": "2026-01-01T00:00:00+00:00", "train_s": 1, "build_s": 1, "evaluate_s": 1, "run_s": 1},
    }  # fmt: skip
    return Record.model_validate(values | changes)


def contest() -> list[Record]:
    """Three recipes on two boards; one row does not fit."""
    rows = []
    for board in ("nucleo_l476rg", "raspberry_pi_pico"):
        rows.append(
            record("full", board, 80, flash_bytes=409_600, cycles=16_000_000, fits=False, over_ram_bytes=78_131)
        )
        rows.append(record("int8", board, 79))
        rows.append(record("xnor+int8", board, 60, flash_bytes=40_960, cycles=2_000_000))
    return rows


def published_model(store: Store, record: Record) -> EvaluatedModel:
    """The published model of a record, packed or not."""
    with unpacked(store.model_path(record)) as file:
        return load_model_file(file)

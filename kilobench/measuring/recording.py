# SPDX-License-Identifier: Apache-2.0
"""Evaluated model + board -> record."""

from __future__ import annotations

import importlib
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Literal, cast

from kilobench.boards import Board
from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph, Op, Tensor
from kilobench.contracts import Progress, silent
from kilobench.keys import measuring_key, versions
from kilobench.measuring.evaluate import About, EvaluatedModel, Reference
from kilobench.measuring.expected import cycles_expected
from kilobench.measuring.onboard import Measurement
from kilobench.paths import LEADERBOARD, contributions_dir
from kilobench.plugins.cores import timing_label
from kilobench.record import SCHEMA, FlashSplit, Layer, RamSplit, Record, Times

_LINKS = {"emulator": "kilobench.measuring.emulator", "serial": "kilobench.measuring.serial"}


@dataclass(frozen=True)
class Where:
    """How a model is measured."""

    board: Board
    link: str = "emulator"
    """``emulator``, ``serial`` or ``serial:PORT``."""
    toolchain: str = "zig"
    power: str = ""
    """The meter in a real board's supply, as in ``ppk2``; empty for none."""


def record_of(model: EvaluatedModel, where: Where, folder: Path, progress: Progress = silent) -> tuple[Record, Path]:
    """Build a model's program in ``folder``, run it on the board, and say what was measured; also returns the program.

    Raises CellError as the link's ``measure`` does; what the build wrote is then in ``folder/build/*.log``.
    """
    emit(model.graph, folder, title(model.about))
    measured = measured_on(where, folder, model.graph, model.reference, folder / "build", progress)
    return record_from(model, where, measured), measured.program


def title(about: About) -> str:
    """What the program of a model calls it."""
    return f"{about.model.task} {about.model.recipe}"


def measured_on(
    where: Where, model: Path, graph: Graph, reference: Reference, build: Path, progress: Progress = silent
) -> Measurement:
    """What a board says of the graph whose C is in the folder ``model``; the program is built in the folder ``build``.

    By the module of the link, which alone is imported: the key of a measurement holds no code of the other.
    """
    kind, _, port = where.link.partition(":")
    link = importlib.import_module(_LINKS[kind])
    options = (where.toolchain, progress) if kind == "emulator" else (port, where.power)
    measured: Measurement = link.measure(model, graph, reference, where.board, build, *options)
    return measured


def command(arguments: Sequence[str], where: Where) -> str:
    """That of the kilobench run that makes the record of a model, whose own ``arguments`` begin with its task and recipe."""
    words = ["kilobench", "run", *arguments[:4], "--board", where.board.name, *arguments[4:]]
    if where.link != "emulator":
        words += ["--on", where.link]
    if where.power:
        words += ["--power", where.power]
    if where.toolchain != "zig":
        words += ["--toolchain", where.toolchain]
    return shlex.join(words)


def record_from(model: EvaluatedModel, where: Where, measured: Measurement) -> Record:
    """The record of what was measured of a model."""
    about, board, sizes, graph = model.about, where.board, measured.sizes, model.graph
    counter = "" if where.link == "emulator" else measured.conditions["counter"]
    cycles = round(sum(measured.cycles) / len(measured.cycles)) if measured.cycles else None
    waits = measured.layer_flash_waits or repeat(None)
    return Record(
        **dict(about.model),
        schema=SCHEMA,
        cell=measuring_key(about.key, asdict(board), where.link, where.toolchain, where.power),
        board=board.name,
        board_flash_bytes=board.flash.bytes,
        board_ram_bytes=board.ram_bytes,
        clock_hz=measured.clock_hz,
        conditions=measured.conditions,
        link=cast(Literal["emulator", "serial"], where.link.partition(":")[0]),
        timing=timing_label(board.core, counter),
        toolchain=measured.toolchain,
        flags=measured.flags,
        flash_bytes=sizes.flash_bytes,
        ram_bytes=measured.ram_bytes,
        stack_bytes=measured.stack_bytes,
        flash=FlashSplit(weights=sizes.weights, runtime=sizes.runtime, board_support=sizes.board_support),
        ram=RamSplit(
            arena=sizes.arena,
            arena_lower_bound=about.arena_lower_bound,
            peak=about.peak,
            static=sizes.static,
            stack=measured.stack_bytes,
        ),
        fits=not (measured.over_flash_bytes or measured.over_ram_bytes),
        over_flash_bytes=measured.over_flash_bytes,
        over_ram_bytes=measured.over_ram_bytes,
        cycles=cycles,
        cycles_low=min(measured.cycles, default=None),
        cycles_high=max(measured.cycles, default=None),
        cycles_flash=None if cycles is None or measured.flash_waits is None else cycles + measured.flash_waits,
        cycles_expected=cycles_expected(board, cycles, measured.flash_waits),
        energy_uj=measured.energy_uj,
        layers=tuple(map(_layer, graph.ops, repeat(graph), measured.layer_cycles, waits)),
        verified_inputs=len(measured.cycles),
        versions=versions(),
        git_commit=_git_commit(),
        command=command(about.arguments, where),
        trust="re-measured",
        times=Times(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            train_s=about.train_s,
            build_s=round(measured.build_seconds, 1),
            evaluate_s=about.evaluate_s,
            run_s=round(measured.run_seconds, 1),
        ),
    )


def _layer(op: Op, graph: Graph, cycles: int, waits: int | None) -> Layer:
    output, flash = described(graph.tensors[op.output]), None if waits is None else cycles + waits
    return Layer(name=op.name, kind=op.kind, output=output, cycles=cycles, cycles_flash=flash)


def described(tensor: Tensor) -> str:
    """Type and shape, as in ``int8 16x16x32``."""
    height, width, channels = tensor.shape
    return f"{tensor.dtype} {height}x{width}x{channels}"


@cache
def _git_commit() -> str:
    """Of the checkout that runs, as the run began; "none" outside one.

    With "-dirty" where tracked files differ from it, but for those that it publishes, which is where records are written to.
    """
    git = ["git", "-C", str(contributions_dir())]
    commit = [*git, "rev-parse", "--short=12", "HEAD"]
    changed = [*git, "diff", "--quiet", "HEAD", "--", ".", f":(exclude){LEADERBOARD}"]
    try:
        found = subprocess.run(commit, capture_output=True, text=True, check=True).stdout.strip()
        return found + "-dirty" * (subprocess.run(changed, capture_output=True).returncode != 0)
    except (OSError, subprocess.CalledProcessError):
        return "none"

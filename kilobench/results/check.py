# SPDX-License-Identifier: Apache-2.0
"""What a record must be to be believed: every check that needs nothing but the record and what kilobench knows."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from kilobench.boards import Board
from kilobench.contracts import Method, Network, Task, Training, UserError
from kilobench.keys import contribution_versions
from kilobench.learn.effort import EFFORT, spans
from kilobench.measuring.onboard import CLOCK_TOLERANCE, SLOWEST_CYCLES_PER_MAC
from kilobench.plugins.budget import budget_text, parse_budget
from kilobench.plugins.cores import timing_label
from kilobench.plugins.registry import Registry
from kilobench.plugins.spec import canonical, change_training, parse_recipe
from kilobench.record import Record, accuracy, correctness
from kilobench.results.contest import over_budget

FASTEST_CYCLES_PER_MAC = {"fp32": 1.0, "int16": 0.5, "int8": 0.5, "binary": 1 / 32}
"""What no Cortex-M can beat: one fused multiply-add, two multiplications (SMLAD), or 32 XNORs in a cycle."""
ALIGNMENT = 64
"""More bytes than the sections of a program can lie apart."""
_ROUNDED = 2
"""Steps that shares may differ by."""
_CLOCK_SKEW = timedelta(days=1)


def problems(record: Record, registry: Registry) -> list[str]:
    """What is wrong with a record, a line each; none where it can be believed."""
    return [*_names(record, registry), *_accuracy(record), *_sizes(record), *_cycles(record), *_provenance(record)]


def _names(record: Record, registry: Registry) -> Iterator[str]:
    """Names stand for something, are written the shortest way, and the task and the board are as they say."""
    try:
        task: Task = registry.get("tasks", record.task)
        network: Network = registry.get("networks", record.network)
        methods = [registry.get("methods", str(spec)) for spec in parse_recipe(record.recipe)]
        teachers = [registry.get("networks", method.taught_by) for method in methods if method.taught_by]
        board: Board = registry.get("boards", record.board)
        change_training(task, record.training_changes)
        shortest = canonical(task), canonical(network), "+".join(canonical(method) for method in methods)
        classes, synthetic = task.class_count, task.synthetic
    except UserError as error:
        yield str(error)
        return
    for found, wanted in zip((record.task, record.network, record.recipe), shortest, strict=True):
        if found != wanted:
            yield f"{found} is to be written {wanted}"
    if (record.classes, record.synthetic) != (classes, synthetic):
        yield f"{record.task} has {classes} classes and is {'' if synthetic else 'not '}synthetic"
    training = dataclasses.asdict(Training()) | record.training  # settings that records of before do not have
    if training != dataclasses.asdict(change_training(task, record.training_changes)):
        yield "training is not the task's own with the changes that it states"
    yield from _terms(record, task, network, methods, teachers)
    if not 0 <= record.fold < task.folds:
        yield f"{record.task} has no fold {record.fold}"
    if (record.board_flash_bytes, record.board_ram_bytes) != (board.flash.bytes, board.ram_bytes):
        yield f"{record.board} has {board.flash.bytes} bytes of flash and {board.ram_bytes} of RAM"
    if abs(record.clock_hz - board.clock_hz) > CLOCK_TOLERANCE * board.clock_hz:
        yield f"clock_hz {record.clock_hz} is not the board's {board.clock_hz}"
    counter = record.conditions.get("counter", "?") if record.link == "serial" else ""
    if record.timing != (timing := timing_label(board.core, counter)):
        yield f"timing: {record.timing} is to be {timing}"
    for name in ("partial", "transcoded"):
        if getattr(record, name) and task.source is None:
            yield f"{name}: the data of {record.task} is never so"
    if (record.auc is not None) != (task.objective == "reconstruction"):
        yield f"{record.task} is judged by {'accuracy, not by AUC' if record.auc else 'AUC, not by accuracy'}"
    if record.accuracy_10_crops is not None and task.kind != "audio":
        yield f"accuracy_10_crops: {record.task} is no audio"


def _terms(
    record: Record, task: Task, network: Network, methods: Sequence[Method], teachers: Sequence[Network]
) -> Iterator[str]:
    """Effort, steps, versions and budget are those that the recipe has."""
    if record.effort is None:
        yield "effort: it states none, and could not be ranked"
        return
    if record.contributions != contribution_versions(task, network, methods, teachers):
        yield "contributions: other versions than those here"
    try:
        shares = spans(methods, record.effort)
        budget = budget_text(parse_budget(record.budget, "")) if record.budget else ""
    except UserError as error:
        yield str(error)
        return
    training = sum(record.steps.values()) / record.effort
    wanted = {"train": shares[0]} | {method.name: share for method, share in zip(methods, shares[1:], strict=True)}
    if record.steps.keys() != wanted.keys() or any(
        abs(record.steps[name] - (span.end - span.begin) * training) > _ROUNDED for name, span in wanted.items()
    ):
        yield f"steps: they are not shared as an effort of {record.effort:g} is by this recipe"
    if budget != record.budget:
        yield f"budget is to be written {budget}"
    if over := over_budget(record):
        yield f"budget: exceeded, {over}"
    kept = re.fullmatch(r"keep=(0\.\d+|1)", record.size) if any(method.resizes for method in methods) else None
    width = f"width={getattr(network, 'width', 1):g}"
    if record.size != width and not kept if record.budget else record.size:
        yield f"size: it is what was found for a budget, as in {width}"


def _accuracy(record: Record) -> Iterator[str]:
    """The intervals are those of kilobench.results.stats; that the bitmaps agree with the rest is checked as a record is read."""
    for name in ("accuracy", "accuracy_10_crops"):
        stated = getattr(record, name)
        if stated is not None and (found := accuracy(correctness(stated))) != stated:
            yield f"{name}: its bitmap gives {found.low} to {found.high}"
    if record.classes < 2:
        yield f"classes: {record.classes}"


def _sizes(record: Record) -> Iterator[str]:
    """Sizes add up, and what does not fit says by how much."""
    flash, ram = record.flash, record.ram
    if record.flash_bytes != flash.weights + flash.runtime + flash.board_support:
        yield "flash_bytes is not the sum of its parts"
    if record.ram_bytes != ram.arena + ram.static + ram.stack or ram.stack != record.stack_bytes:
        yield "ram_bytes is not the sum of its parts"
    if ram.arena < ram.arena_lower_bound:
        yield "ram: the arena is smaller than it can be"
    if flash.weights * 8 < record.parameters:
        yield f"flash: {flash.weights} bytes cannot hold {record.parameters} parameters"
    over = record.flash_bytes - record.board_flash_bytes
    if not max(0, over) <= record.over_flash_bytes <= max(0, over + ALIGNMENT):
        yield "over_flash_bytes is not what flash_bytes exceeds the board's flash by"
    if record.fits != (not record.over_flash_bytes and not record.over_ram_bytes):
        yield "fits does not agree with over_flash_bytes and over_ram_bytes"
    if record.fits and record.ram_bytes > record.board_ram_bytes:
        yield "ram_bytes exceeds the board's RAM"


def _cycles(record: Record) -> Iterator[str]:
    """Cycles lie within what the arithmetic allows, and layers add up to them; what fits no such core has none."""
    if record.cycles is None or record.cycles_low is None or record.cycles_high is None:
        return
    if not record.cycles_low <= record.cycles <= record.cycles_high:
        yield "cycles does not lie between cycles_low and cycles_high"
    if unknown := set(record.macs) - set(FASTEST_CYCLES_PER_MAC):
        yield f"macs: no kind {min(unknown)!r}"
        return
    least = sum(FASTEST_CYCLES_PER_MAC[kind] * count for kind, count in record.macs.items())
    most = SLOWEST_CYCLES_PER_MAC * sum(record.macs.values())
    if not least <= record.cycles <= most:
        yield f"cycles: {record.cycles} for {sum(record.macs.values())} MACs; possible are {least:.0f} to {most:.0f}"
    layers = sum(layer.cycles for layer in record.layers)
    if not 0.5 * record.cycles_low <= layers <= 1.05 * record.cycles_high:
        yield f"layers: they take {layers} cycles together, the inference {record.cycles}"
    if record.cycles_expected and record.cycles_flash is None:
        yield "cycles_expected is of emulated boards whose cycles_flash is known"
    if record.cycles_flash is not None:
        yield from _flash(record, record.cycles_flash)
    if record.verified_inputs < 1:
        yield "verified_inputs: no output was checked"


def _flash(record: Record, cycles: int) -> Iterator[str]:
    """Who waits for a flash takes longer; and layers say so too."""
    if record.link != "emulator":
        yield "cycles_flash is of emulated boards"
    if cycles < (record.cycles or 0):
        yield f"cycles_flash: {cycles} are less than the cycles, {record.cycles}"
    if (ends := record.cycles_expected) and not ends[0] <= cycles <= ends[1]:
        yield f"cycles_expected: {cycles} cycles do not lie between {ends[0]} and {ends[1]}"
    if any(layer.cycles_flash is None or layer.cycles_flash < layer.cycles for layer in record.layers):
        yield "layers: one has no cycles_flash, or less than its cycles"


def _provenance(record: Record) -> Iterator[str]:
    """Digests are digests, the command is that of this cell, and it was not made in the future."""
    if record.link == "emulator" and record.toolchain.split()[:1] not in (["zig"], ["gcc"]):
        yield f"toolchain: {record.toolchain!r} is none of zig and gcc with a version"
    if record.energy_uj is not None and record.link == "emulator":
        yield "energy_uj: an emulated board takes none"
    if not re.fullmatch("[0-9a-f]{64}", record.model_digest) or not re.fullmatch("[0-9a-f]{32}", record.cell):
        yield "model_digest and cell must be 64 and 32 hexadecimal digits"
    words = shlex.split(record.command)[2:]
    stated = {"--task": record.task, "--recipe": record.recipe, "--board": record.board}
    stated |= {"--seed": str(record.seed), "--fold": str(record.fold), "--training": record.training_changes}
    stated |= {"--effort": f"{record.effort or EFFORT:g}", "--budget": record.budget}
    given = {"--training": "", "--budget": "", "--effort": f"{EFFORT:g}"} | dict(
        zip(words[::2], words[1::2], strict=False)
    )
    for option, value in stated.items():
        if given.get(option) != value:
            yield f"command: its {option} is {given.get(option)}, the record's {value}"
    if "--validation" in words:
        yield "command: it measures on training data (--validation)"
    created = None
    with suppress(ValueError):
        created = datetime.fromisoformat(record.times.created)
    if created is None or created.tzinfo is None or created > datetime.now(UTC) + _CLOCK_SKEW:
        yield f"times.created {record.times.created} is no time of the past with its zone"

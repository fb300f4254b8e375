# SPDX-License-Identifier: Apache-2.0
"""Contract tests: what every contribution must hold to, in the project or not."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kilobench.contracts import (
    Board,
    Contribution,
    Core,
    DataUnavailable,
    Method,
    Network,
    Split,
    Task,
    Training,
    UserError,
    silent,
)
from kilobench.lines import one_line, reason
from kilobench.plugins.registry import Entry, Registry, load_registry
from kilobench.scratch import temporary_folder

Check = tuple[str, Callable[[], None]]


def report(registry: Registry, target: str) -> int:
    """Run the checks of a name, or of everything that a file contributes; returns 1 if one fails."""
    path = Path(target).resolve()
    found = [
        registry.loaded(kind, entry.name)
        for kind, table in registry.entries.items()
        for entry in list(table.values())
        if entry.name == target
        or (entry.point is None and path in (entry.path.resolve(), *entry.path.resolve().parents))
    ]
    if not found:
        raise UserError(f"nothing is called {target!r}, and no contribution comes from it (kilobench list shows all)")
    failed = 0
    for entry in found:
        for name, check in checks(entry):
            try:
                check()
                print(f"ok      {entry.name}: {name}")
            except DataUnavailable as error:
                print(f"skipped {entry.name}: {name}: {one_line(str(error))}")
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # SystemExit as well
                failed += 1
                print(f"FAILED  {entry.name}: {name}: {reason(error)}")
    return 1 if failed else 0


def checks(entry: Entry) -> Iterator[Check]:
    """The checks of one entry, by name; a check raises AssertionError, or DataUnavailable where its data is not to be had."""
    value = entry.value
    if isinstance(value, Path) and value.suffix == ".py":
        from kilobench.commands import opcheck

        yield from opcheck.checks(entry.name)
        yield "is described", lambda: _true(bool(entry.summary), "the docstring's first line is empty")
        return
    yield "can be imported", lambda: _true(not entry.broken, entry.broken)
    if isinstance(value, type):
        yield "is described", lambda: _described(value)
        if issubclass(value, Method):
            yield "makes the same model twice, which lowers", lambda: _method(value())
        elif issubclass(value, Network):
            yield "builds a network that lowers", lambda: _network(value())
        elif issubclass(value, Task):
            yield "loads as described", lambda: _task(value())
    elif isinstance(value, Board):
        yield "has sane sizes", lambda: _board(value)
    elif isinstance(value, Core) and value.timing:
        yield "can be emulated", lambda: _core(value)


def _true(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _described(cls: type[Contribution]) -> None:
    _true(bool((cls.__doc__ or "").strip().split("\n")[0]), "the docstring's first line is empty")
    _true(bool(cls.reference), "reference is empty")


_STEPS = 4


class _TinyTask(Task):
    """Random images in two classes that differ in brightness."""

    name = "tiny"
    kind = "image"
    network = "resnet8[width=8]"
    training = Training(epochs=1)

    @property
    def class_count(self) -> int:
        return 2

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return 1, 8, 8

    def load(self, fold: int, cache: Path, progress: Any) -> Split:
        import numpy as np

        y = np.arange(128) % 2
        x = np.random.default_rng(0).normal(size=(128, 1, 8, 8)) / 4 + y[:, None, None, None] - 0.5
        clipped = np.clip(x, -1, 1).astype(np.float32)
        return Split(clipped[:96], y[:96], clipped[96:], y[96:], ("dark", "bright"), "tiny")


def _method(method: Method) -> None:
    from kilobench.compile.lower import lower
    from kilobench.learn.moduletree import describe
    from kilobench.learn.train import TrainingJob, seed_everything

    task = _TinyTask()
    network: Network = load_registry().get("networks", task.network)
    split = task.load(0, Path(), silent)
    digests = []
    for _ in range(2):
        seed_everything(0)
        model = network.build(task.input_shape, 2, 0)
        model = TrainingJob(split, task, seed=0, progress=silent, steps=_STEPS).train(model, lr=1e-3)
        job = TrainingJob(split, task, seed=0, progress=silent, steps=_STEPS if method.effort else 0)
        model = method.apply(model, job)
        _true(job.done == job.steps, f"it trained for {job.done} of its {job.steps} steps: shares must add up to 1")
        describe(model)  # raises CellError for what no file can hold
        graph = lower(model, task.input_shape)
        _true(graph.tensors[graph.output].shape == (1, 1, 2), "the output's shape changed")
        digests.append(graph.digest())
    _true(digests[0] == digests[1], "two runs with one seed give different models")


def _network(network: Network) -> None:
    from kilobench.compile.lower import lower
    from kilobench.learn.moduletree import describe

    for shape, rate in (((1, 1, 6400), 8000), ((3, 32, 32), 0)):
        try:
            model = network.build(shape, 4, rate)
        except UserError:
            continue
        describe(model)
        graph = lower(model, shape)
        _true(graph.tensors[graph.output].shape == (1, 1, 4), f"for input {shape} the output has not 4 classes")
        return
    raise AssertionError("it takes neither audio of 1 x 1 x 6400 nor images of 3 x 32 x 32")


def _task(task: Task) -> None:
    with temporary_folder() as folder:
        first, again = (task.load(0, folder, silent) for _ in range(2))
    _true(first.digest == again.digest, "loading twice gives different digests")
    _true(len(first.classes) == task.class_count, "the number of classes differs from class_count")
    _true(first.test_x.shape[1:] == task.input_shape, f"test inputs have shape {first.test_x.shape[1:]}")
    for name in ("train", "test"):
        x, y = getattr(first, f"{name}_x"), getattr(first, f"{name}_y")
        _true(len(x) == len(y) and str(x.dtype) == "float32", f"{name}: one label per float32 input is wanted")
        _true(set(y.tolist()) == set(range(task.class_count)), f"{name}: not every class occurs")
        _true(float(abs(x).max()) <= 1, f"{name}: values lie outside [-1, 1]")
    whole = first.test_x if first.test_clips is None else first.test_clips
    _true(whole.shape[:3] == first.test_x.shape[:3] and whole.shape[3:] == first.train_x.shape[3:], "odd test clips")
    _true(first.train_groups is None or len(first.train_groups) == len(first.train_y), "one group per training input")
    train = {hash(row.tobytes()) for row in first.train_x}
    _true(not any(hash(row.tobytes()) in train for row in whole), "a test input also is a training input")


def _board(board: Board) -> None:
    _true(8_000_000 <= board.clock_hz <= 1_000_000_000, f"a clock of {board.clock_hz} Hz")
    _true(16 << 10 <= board.flash.bytes <= 16 << 20, f"{board.flash.bytes} bytes of flash")
    _true(4 << 10 <= board.ram_bytes <= 16 << 20, f"{board.ram_bytes} bytes of RAM")
    _true(board.ram[0].bytes == max(region.bytes for region in board.ram), "the first RAM region is not the largest")


_MACROS = {"dsp": "__ARM_FEATURE_DSP", "fpu": "__ARM_FP"}
"""What compilers define for a feature of the instruction set."""


def _core(core: Core) -> None:
    """The emulator has its CPU model, its timing table can be loaded, and its flags give the features that it has."""
    from kilobench.device.emulator import cpu_model
    from kilobench.device.timing import table
    from kilobench.toolchain import zig

    cpu_model(core)
    table(core.timing)
    lines = []
    for feature, macro in _MACROS.items():
        has = feature in core.features
        wrong = f"the flags give {'no ' if has else ''}{feature}, the features {'do' if has else 'do not'}"
        lines.append(f"#if{'n' if has else ''}def {macro}\n#error {wrong}\n#endif\n")
    with temporary_folder() as folder:
        source = folder / "features.c"
        source.write_text("".join(lines))
        zig(
            "cc",
            *shlex.split(core.flags["zig"]),
            "-c",
            str(source),
            output=folder / "features.o",
            what="a file with its flags",
        )

# SPDX-License-Identifier: Apache-2.0
"""Contract tests: what every contribution must hold to, in the project or not."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from kilobench.boards import Board, Core
from kilobench.contracts import (
    CellError,
    Contribution,
    Cost,
    DataUnavailable,
    Method,
    Network,
    Shape,
    Split,
    Task,
    Unsuited,
    UserError,
    silent,
)
from kilobench.lines import one_line, reason
from kilobench.plugins.registry import Entry, Registry
from kilobench.plugins.suites import ModelSuite, Suite
from kilobench.scratch import temporary_folder

if TYPE_CHECKING:
    from torch import nn

    from kilobench.compile.graph import Graph
    from kilobench.learn.stage import Settings

Check = tuple[str, Callable[[], None]]
RUNS = "runs a program"
"""The check of boards that takes seconds."""


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
        for name, check in checks(entry, registry):
            try:
                check()
                print(f"ok      {entry.name}: {name}")
            except (DataUnavailable, Unsuited) as error:
                print(f"skipped {entry.name}: {name}: {one_line(str(error))}")
            except KeyboardInterrupt:
                raise
            except (AssertionError, UserError, CellError) as error:
                failed += 1
                print(f"FAILED  {entry.name}: {name}: {one_line(str(error))}")
            except BaseException as error:  # SystemExit as well
                failed += 1
                print(f"FAILED  {entry.name}: {name}: {reason(error)}")
    return 1 if failed else 0


def checks(entry: Entry, registry: Registry) -> Iterator[Check]:
    """The checks of one entry, by name; a check raises DataUnavailable where its data is not to be had, else says what is wrong.

    What a run does with a contribution is done here by the code of the run.
    """
    value, kind = entry.value, next(kind for kind, table in registry.entries.items() if entry in table.values())
    if isinstance(value, Path):
        from kilobench.commands import opcheck

        yield from opcheck.checks(entry.name)
        yield "is described", lambda: _true(bool(entry.summary), "the docstring's first line is empty")
        return
    yield "can be imported", lambda: _true(not entry.broken, entry.broken)
    if isinstance(value, type):
        yield "is described", lambda: _described(value)
        made = partial(registry.get, kind, entry.name)
        if issubclass(value, Method):
            yield "makes the same model twice, which lowers", lambda: _method(made(), registry)
            yield "makes a model without training, for its size", lambda: _untrained(made(), registry)
        elif issubclass(value, Network):
            yield "builds a network that trains and lowers", lambda: _network(made(), registry)
        elif issubclass(value, Task):
            yield "has a network", lambda: _task_network(made(), registry)
            yield "loads as described", lambda: _task(made())
    elif isinstance(value, Board):
        yield "has sane sizes", lambda: _board(value)
        if value.core.timing:
            yield RUNS, lambda: _runs(value)
    elif isinstance(value, Core) and value.timing:
        yield "can be emulated", lambda: _core(value)
    elif isinstance(value, Suite | ModelSuite):
        yield "names what there is", lambda: _suite(value, registry)


def _true(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _described(cls: type[Contribution]) -> None:
    _true(bool((cls.__doc__ or "").strip().split("\n")[0]), "the docstring's first line is empty")
    _true(bool(cls.reference), "reference is empty")


_STEPS = 4


class _Tiny(Task):
    """Random images in classes that differ in brightness."""

    name = "tiny"
    kind: ClassVar[Literal["audio", "image"]] = "image"
    network = "resnet8[width=8]"
    shape: ClassVar[Shape] = (1, 8, 8)
    classes: ClassVar[int] = 2

    @property
    def class_count(self) -> int:
        return self.classes

    @property
    def input_shape(self) -> Shape:
        return self.shape

    def load(self, fold: int, cache: Path, progress: Any) -> Split:
        import numpy as np

        from kilobench.data.arrays import as_pixels

        y = np.arange(128) % self.classes
        x = np.random.default_rng(0).normal(size=(128, *self.shape)) / 4 + y[:, None, None, None] / self.classes - 0.5
        images = as_pixels(x.astype(np.float32))
        return Split(images[:96], y[:96], images[96:], y[96:], tuple(map(str, range(self.classes))), "tiny")


class _TinyPictures(_Tiny):
    name = "tiny-pictures"
    shape = (3, 32, 32)
    classes = 4


class _TinySounds(_Tiny):
    name = "tiny-sounds"
    kind = "audio"
    sample_rate = 8000
    shape = (1, 1, 6400)
    classes = 4


class _TinyMachine(_Tiny):
    name = "tiny-machine"
    objective = "reconstruction"
    shape = (8, 1, 5)


def _settings(task: Task, network: Network) -> Settings:
    from kilobench.learn.stage import Settings

    return Settings(task, network, task.training, seed=0, threads=2, device="cpu")


def _stage(settings: Settings, method: Method | None, before: nn.Module | None, registry: Registry) -> nn.Module:
    """What a run makes, of the model before, in a few steps; stored and loaded again, as it is between two steps of a run."""
    from kilobench.compile.lower import lower_for
    from kilobench.learn.modelfile import load_model, save_model
    from kilobench.learn.stage import make_stage
    from kilobench.measuring.cost import cost

    def costs(model: nn.Module, board: str) -> Cost:
        return cost(lower_for(settings.task, model), registry.get("boards", board), "zig")

    split = settings.task.load(0, Path(), silent)
    steps = _STEPS if method is None or method.effort else 0
    with temporary_folder() as folder:
        arguments = (split, method, steps, before, None, folder, costs, None, None, silent)
        save_model(make_stage(settings, *arguments), folder / "model", {})
        return load_model(folder / "model")[0]


def _lowered(model: nn.Module, task: Task) -> Graph:
    """As a run lowers it, with the outputs that the task wants."""
    from kilobench.compile.lower import lower_for

    graph = lower_for(task, model)
    made, wanted = graph.tensors[graph.output].shape, (1, 1, task.outputs)
    _true(made == wanted, f"for input {task.input_shape} the output is {made}, not {wanted}")
    return graph


def _method(method: Method, registry: Registry) -> None:
    task = _Tiny()
    settings = _settings(task, registry.get("networks", task.network))
    digests = []
    for _ in range(2):
        made = _stage(settings, method, _stage(settings, None, None, registry), registry)
        digests.append(_lowered(made, task).digest())
    _true(digests[0] == digests[1], "two runs with one seed give different models")


def _untrained(method: Method, registry: Registry) -> None:
    from kilobench.learn.stage import untrained
    from kilobench.learn.untrained import finished

    task = _Tiny()
    if not method.boards:  # what measures candidates is not sized for a budget
        _lowered(finished(untrained(_settings(task, registry.get("networks", task.network))), [method], task), task)


def _network(network: Network, registry: Registry) -> None:
    from kilobench.learn.stage import untrained

    for task in (_TinySounds(), _TinyPictures(), _TinyMachine()):
        settings = _settings(task, network)
        try:
            untrained(settings)
        except UserError:
            continue
        _lowered(_stage(settings, None, None, registry), task)
        return
    raise AssertionError(
        "it takes neither audio of 1 x 1 x 6400 nor images of 3 x 32 x 32, and gives back no inputs of 8 x 1 x 5"
    )


def _task_network(task: Task, registry: Registry) -> None:
    from kilobench.learn.stage import untrained

    _lowered(untrained(_settings(task, registry.get("networks", task.network))), task)


def _task(task: Task) -> None:
    from kilobench.data.loading import load

    with temporary_folder() as folder:
        first, again = (load(task, 0, folder, silent) for _ in range(2))
    _true(first.digest == again.digest, "loading twice gives different digests")
    whole = first.test_x if first.test_clips is None else first.test_clips
    train = {hash(row.tobytes()) for row in first.train_x}
    _true(not any(hash(row.tobytes()) in train for row in whole), "a test input also is a training input")


def _board(board: Board) -> None:
    _true(8_000_000 <= board.clock_hz <= 1_000_000_000, f"a clock of {board.clock_hz} Hz")
    _true(16 << 10 <= board.flash.bytes <= 16 << 20, f"{board.flash.bytes} bytes of flash")
    _true(4 << 10 <= board.ram_bytes <= 16 << 20, f"{board.ram_bytes} bytes of RAM")
    _true(board.ram[0].bytes == max(region.bytes for region in board.ram), "the first RAM region is not the largest")


def _runs(board: Board) -> None:
    from torch import nn

    from kilobench.measuring.cost import cost

    task = _Tiny()
    costs = cost(_lowered(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval(), task), board, "zig")
    over = f"{costs.over_flash_bytes} bytes of flash and {costs.over_ram_bytes} of RAM"
    _true(
        costs.over_flash_bytes == costs.over_ram_bytes == 0,
        f"a network of 130 weights takes more than it has: by {over}",
    )


def _suite(suite: Suite | ModelSuite, registry: Registry) -> None:
    from kilobench.runs.suite import check

    check(suite, registry)


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

# SPDX-License-Identifier: Apache-2.0
"""The command ``kilobench``. Nothing slow is imported before the arguments have been checked."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from kilobench import start
from kilobench.arguments import KINDS, parser
from kilobench.boards import Board, Core
from kilobench.commands.options import known_boards, registry_of, require_cache, require_writable
from kilobench.contracts import EFFORT, CellError, Training, UserError
from kilobench.extras import missing, needed, require
from kilobench.lines import one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 something failed, 2 wrong input, 130 interrupted."""
    if arguments is None:
        start.use_utf8()
    start.open_streams()
    try:
        if arguments is None:
            start.interrupt_once()
        return _done(arguments)
    except UserError as error:
        start.tell(str(error))
        return 2
    except CellError as error:
        start.tell(str(error))
        return 1
    except KeyboardInterrupt:
        start.tell("interrupted; finished stages are kept, the same command goes on")
        return 130
    except BrokenPipeError:  # as of | head: whoever reads it has seen enough
        start.give_up_output()
        return 0
    except OSError as error:
        start.give_up_output()
        start.tell(f"{error.filename or 'standard output, or a file'}: {error.strerror or error}")
        return 2
    finally:
        if arguments is None:
            start.ended()


def _done(arguments: Sequence[str] | None) -> int:
    """Do the command, until all that it says is written."""
    try:
        options = parser().parse_args(arguments)
        start.require_folder()
        if getattr(options, "allow_partial", False):
            os.environ["KILOBENCH_ALLOW_PARTIAL"] = "1"  # read by data.partial_allowed, in worker processes too
        code = _COMMANDS[options.command](options)
    except SystemExit:  # of --help
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def _run(options: argparse.Namespace) -> int:
    require("train", "kilobench run")
    from kilobench.commands.running import run_models, run_suite, suite_of
    from kilobench.plugins.loading import undisturbed
    from kilobench.plugins.suites import ModelSuite

    registry = registry_of(options)
    with undisturbed():
        suite = suite_of(options, registry)
    return (
        run_models(suite, registry, options) if isinstance(suite, ModelSuite) else run_suite(suite, registry, options)
    )


def _tune(options: argparse.Namespace) -> int:
    require("train", "kilobench tune")
    from kilobench.plugins.budget import parse_budget
    from kilobench.screen import console as screen

    began = monotonic()
    registry, console, budget = registry_of(options), screen(), parse_budget(options.budget, options.board)
    require_writable("--output", options.output)
    require_cache()
    suite = _tuned_suite(options)
    console.print(suite.title, style="bold", markup=False, highlight=False, soft_wrap=True)
    from kilobench.commands import tune  # imports torch, which takes seconds

    return tune.run(suite, budget, registry, options, console, began)


def _tuned_suite(options: argparse.Namespace) -> Any:
    """Of one cell, whose recipe and network are to be found."""
    from kilobench.plugins.suites import Suite
    from kilobench.progress import clock

    return Suite(
        title=f"{options.task} on {options.board}, {options.budget}, in {clock(options.seconds)}",
        tasks=(options.task,),
        recipes=(),
        boards=(options.board,),
        seeds=(options.seed,),
        folds=(options.fold,),
        training=options.training,
        effort=EFFORT if options.effort is None else options.effort,
        budgets=(options.budget,),
    )


def _log(options: argparse.Namespace) -> int:
    from kilobench.runs.run import failure_log

    print(failure_log(options.cell) or "nothing has failed")
    return 0


def _list(options: argparse.Namespace) -> int:
    registry = registry_of(options)
    for kind in (options.kind,) if options.kind else KINDS:
        print(f"{kind}:")
        width = max((len(name) for name in registry.entries[kind]), default=0)
        for name, entry in sorted(registry.entries[kind].items()):
            print(f"  {one_line(name):{width}}  {entry.summary}")
    return 0


def _show(options: argparse.Namespace) -> int:
    from kilobench.plugins.spec import nearest, parameters
    from kilobench.plugins.suites import Suite

    registry = registry_of(options)
    if options.name == "operators":
        from kilobench.commands.operators import report

        return report({core.name: core for core in (e.value for e in registry.entries["cores"].values()) if core})
    found = [(kind, registry.loaded(kind, options.name)) for kind in KINDS if options.name in registry.entries[kind]]
    if not found:
        names = [name for table in registry.entries.values() for name in table]
        raise UserError(f"nothing is called {options.name!r}{nearest(options.name, names)} (see kilobench list)")
    for kind, entry in found:
        print(f"{kind.removesuffix('s')} {entry.name}  ({entry.path})")
        if entry.broken:
            print(f"BROKEN: {entry.broken}")
        elif isinstance(entry.value, Board | Core):
            for field in dataclasses.fields(entry.value):
                value = getattr(entry.value, field.name)
                print(f"  {field.name}: {value.name if isinstance(value, Core) else value}")
        elif isinstance(entry.value, Suite | Path):
            print(entry.path.read_text().rstrip())
        elif entry.value is not None:
            print(f"\n{inspect.getdoc(entry.value)}\n\nreference: {entry.value.reference}")
            for number, change in enumerate(entry.value.changes, 2):
                print(f"version {number}: {change}")
            for name, training in getattr(entry.value, "trainings", {}).items():
                settings = (
                    f"{key}={value}" for key, value in vars(training).items() if value != getattr(Training, key)
                )
                print(f"training {name}: {', '.join(settings)}")
            for name, (kind_, default) in parameters(entry.value).items():
                described = getattr(kind_, "__name__", str(kind_).removeprefix("typing."))
                described = " | ".join(kind_.__args__) if described == "Literal" else described
                print(f"  {name}: {described} = {default}")
    return 0


def _data(options: argparse.Namespace) -> int:
    from kilobench.commands import datasets

    registry = registry_of(options)
    if options.action == "list":
        return datasets.list_sets(registry)
    if options.action == "import":
        return datasets.import_path(registry, options.path)
    return (datasets.fetch if options.action == "fetch" else datasets.verify)(registry, options.name)


def _boards(options: argparse.Namespace) -> int:
    from kilobench.commands.attached import report

    return report(known_boards(options), options.words)


def _emulate(options: argparse.Namespace) -> int:
    from kilobench.report.models import is_model

    board: Board = registry_of(options, modules=()).get("boards", options.board)
    firmware: Path = options.firmware
    subject = _subject(firmware, options) if is_model(firmware) else None
    if subject is None and (options.benchmark or options.rounding):
        raise UserError(f"{firmware} is no model's file; --as and --rounding say how the firmware of a model is built")
    from kilobench.commands.terminal import emulate, firmware_of

    if subject is not None:
        require_cache()
        firmware = firmware_of(subject, board)
    return emulate(firmware, board, pty=options.pty)


def _subject(file: Path, options: argparse.Namespace) -> Any:
    """A model's file, as one of MLPerf Tiny's benchmarks if that is wanted."""
    from kilobench.report.models import load_subject

    subject = load_subject(file, options.rounding)
    if not options.benchmark:
        return subject
    from kilobench.report.benchmark import as_benchmark

    return as_benchmark(subject, options.benchmark)


def _latency(options: argparse.Namespace) -> int:
    from kilobench.commands.latency import report

    return report(options.port, options.inferences)


def _calibrate(options: argparse.Namespace) -> int:
    from kilobench.commands.calibrate import run, usual_models
    from kilobench.screen import console as screen

    board = registry_of(options, modules=()).get("boards", options.board)
    file: Path = options.file or Path(f"calibration-{board.name}.json")
    require_writable("--file", file.parent)
    require_cache()
    return run(options.model or usual_models(options.output / "records"), board, options.on, file, screen())


def _doctor(options: argparse.Namespace) -> int:
    from kilobench.commands.doctor import report

    return report()


def _test(options: argparse.Namespace) -> int:
    require("train", "kilobench test")
    from kilobench.commands.contract import report

    if Path(options.name).suffix and Path(options.name).is_file():  # what has no ending may be called as a method is
        options.plugins.append(options.name)
    require_cache()
    return report(registry_of(options), options.name)


def _leaderboard(options: argparse.Namespace) -> int:
    from kilobench.mlperf.page import mlperf_pages
    from kilobench.paths import contributions_dir
    from kilobench.render import render
    from kilobench.results.store import Store

    store = Store(options.output / "records")
    records = store.read_all()
    if not records:
        raise UserError(f"{store.folder} holds no records; kilobench run makes some")
    site = options.output / "site"
    if site.exists() and not (site / "assets" / "explore.js").exists():
        raise UserError(f"{site} is no site of kilobench and would be replaced; move it, or choose another --output")
    whole = not missing("pages")
    others = mlperf_pages(options.output, records)
    written = render(
        records,
        options.output,
        known_boards(options),
        too_large=store.read_too_large(),
        unsuited=store.read_unsuited(),
        others=others,
        costs=store.read_costs(),
        plots=whole,
        site=whole,
        documentation=contributions_dir() / "docs",
    )
    if not written:
        raise UserError(f"{store.folder} holds no records of accuracies; pages show no others")
    made = [path for path in written if path.suffix == ".md"]
    print(f"{len(made)} pages of {len(records)} records: {options.output / 'README.md'}")
    drawn = f"with interaction: {site / 'index.html'}"
    print(drawn if whole else needed("pages", "drawing plots and the site anew"))
    return 0


def _measure(options: argparse.Namespace) -> int:
    from kilobench.commands.measure import Products, measure
    from kilobench.contracts import Budget
    from kilobench.data.labelled import read_labels
    from kilobench.measuring.recording import Where
    from kilobench.report.limits import parse_limits
    from kilobench.report.measuring import chosen
    from kilobench.screen import console as screen

    boards = chosen(registry_of(options, modules=()), options.board or [options.usual_board], options.on, options.power)
    limits = Budget("") if options.fail_if_over is None else parse_limits(options.fail_if_over)
    subject = _subject(options.model, options)
    labelled = None if options.inputs is None else read_labels(options.inputs)
    products = Products(options.html, options.keep, options.output if subject.published else None)
    for option, folder in (
        ("--output", products.records),
        ("--html", products.html and products.html.parent),
        ("--keep", products.keep),
    ):
        if folder is not None:
            require_writable(option, folder)
    require_cache()
    places = [Where(board, options.on, options.toolchain, options.power) for board in boards]
    return measure(subject, places, limits, products, screen(), labelled)


def _export(options: argparse.Namespace) -> int:
    from kilobench.commands.export import export
    from kilobench.report.models import load_subject

    registry_of(options, modules=())  # finds operators of plug-ins
    subject = load_subject(options.model, options.rounding)
    files = export(subject, options.to)
    print(f"{len(files)} files in {options.to}: see {options.to / 'README.md'}")
    return 0


def _submit(options: argparse.Namespace) -> int:
    from kilobench.results.submit import submit
    from kilobench.screen import console as screen

    keep = not options.check and not options.whole
    if keep:
        require_writable("--output", options.output)
    console = screen()
    outcome = submit(options.folder, options.output, registry_of(options), console, keep=keep, whole=options.whole)
    if options.report:
        options.report.write_text(outcome.report + "\n")
    console.print(outcome.report, highlight=False, markup=False, soft_wrap=True)
    if outcome.refused:
        raise UserError(f"{len(outcome.refused)} refused; nothing was written")
    return 0


def _remeasure(options: argparse.Namespace) -> int:
    if not options.check:
        require("train", "kilobench remeasure")
    from kilobench.commands import remeasure
    from kilobench.report.measuring import ALL
    from kilobench.results.store import Store
    from kilobench.screen import console as screen

    registry, console = registry_of(options), screen()
    everywhere = options.board == ALL
    chosen = {"task": options.task, "recipe": options.recipe, "board": None if everywhere else options.board}
    store = Store(options.output / "records")
    plan = remeasure.plan(store, registry, again=options.again, everywhere=everywhere, **chosen)
    if options.check:
        return remeasure.check(plan, console)
    require_writable("--output", options.output)
    require_cache()
    return remeasure.remeasure(plan, registry, options.workers, console)


def _verify(options: argparse.Namespace) -> int:
    require("train", "kilobench verify")
    from kilobench.commands.verify import verify
    from kilobench.results.store import Store
    from kilobench.screen import console as screen

    require_cache()
    return verify(
        Store(options.output / "records"),
        registry_of(options),
        screen(),
        workers=options.workers,
        count=options.sample,
        task=options.task,
        recipe=options.recipe,
        board=options.board,
    )


def _compare(options: argparse.Namespace) -> int:
    from kilobench.results.compare import compare

    page, worse = compare(options.a, options.b, options.records, options.task, options.board)
    print(page)
    return 1 if worse and options.fail_if_worse else 0


def _advise(options: argparse.Namespace) -> int:
    from kilobench.contracts import Budget
    from kilobench.plugins.budget import parse_budget, quantity
    from kilobench.results.advise import advise

    given = (
        ("latency_ms", options.max_latency, "milliseconds"),
        ("flash_bytes", options.max_flash, "bytes"),
        ("ram_bytes", options.max_ram, "bytes"),
    )
    limits = parse_budget(options.budget, options.board) if options.budget else Budget(options.board)
    limits = dataclasses.replace(
        limits, **{name: quantity(text, kind) for name, text, kind in given if text is not None}, board=options.board
    )
    most_uj = inf if options.max_energy is None else quantity(options.max_energy, "microjoules")
    print(advise(limits, options.task, options.records, known_boards(options), most_uj))
    return 0


def _new(options: argparse.Namespace) -> int:
    require("train", "kilobench new")
    from kilobench.commands.scaffold import create

    path = create(options.kind, options.name, options.to)
    print(f"{path}\ntry it: kilobench --plugins {options.to} test {options.name}")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "tune": _tune,
    "log": _log,
    "list": _list,
    "show": _show,
    "data": _data,
    "boards": _boards,
    "emulate": _emulate,
    "latency": _latency,
    "calibrate": _calibrate,
    "doctor": _doctor,
    "test": _test,
    "leaderboard": _leaderboard,
    "measure": _measure,
    "export": _export,
    "submit": _submit,
    "remeasure": _remeasure,
    "verify": _verify,
    "compare": _compare,
    "advise": _advise,
    "new": _new,
}

# SPDX-License-Identifier: Apache-2.0
"""The command ``kilobench``. Nothing slow is imported before the arguments have been checked."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from kilobench import start
from kilobench.arguments import KINDS, parser
from kilobench.contracts import EFFORT, Board, CellError, Core, UserError
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


def _registry(options: argparse.Namespace, modules: Sequence[str] | None = None) -> Any:
    """What there is; see load_registry for ``modules``: commands that need boards alone run no code of plug-ins."""
    from kilobench.plugins.registry import load_registry

    return load_registry(options.plugins, modules)


def _run(options: argparse.Namespace) -> int:
    require("train", "kilobench run")
    from kilobench.plugins.loading import undisturbed
    from kilobench.plugins.suites import ModelSuite

    registry = _registry(options)
    with undisturbed():
        suite = _suite(options, registry)
    return (
        _run_models(suite, registry, options) if isinstance(suite, ModelSuite) else _run_suite(suite, registry, options)
    )


def _suite(options: argparse.Namespace, registry: Any) -> Any:
    """What is to be run; raises UserError where the arguments do not say it, or name what there is not."""
    from kilobench.plugins.suites import ModelSuite, Suite
    from kilobench.runs.suite import check, load_suite

    single = {"--task": options.task, "--recipe": options.recipe, "--board": options.board}
    missing = [name for name, value in single.items() if not value]
    if options.suite and len(missing) < 3:
        raise UserError("give a suite, or --task, --recipe and --board, not both")
    if options.suite:
        given = Path(options.suite)
        suite = load_suite(
            given if given.suffix in (".yaml", ".yml") else registry.find("suites", options.suite).path, registry
        )
    elif missing:
        raise UserError(f"{missing[0]} is missing; a run needs a suite, or --task, --recipe and --board")
    else:
        suite = Suite(
            title=f"{options.task} {options.recipe} {options.board}",
            tasks=(options.task,),
            recipes=(options.recipe,),
            boards=(options.board,),
            seeds=(options.seed,),
            folds="all" if options.fold == "all" else (options.fold,),
            network=options.network,
            training=options.training,
        )
    if isinstance(suite, ModelSuite):
        for option in ("network", "training", "effort", "budget", "validation"):
            if getattr(options, option):
                raise UserError(f"{options.suite} trains nothing: --{option} is for other suites")
        return suite
    suite = dataclasses.replace(
        suite,
        validation=options.validation or suite.validation,
        effort=suite.effort if options.effort is None else options.effort,
        budgets=suite.budgets if options.budget is None else (options.budget,),
    )
    check(suite, registry)
    return suite


def _run_models(suite: Any, registry: Any, options: argparse.Namespace) -> int:
    from kilobench.commands.reports import run
    from kilobench.measuring.recording import Where
    from kilobench.report.measuring import chosen
    from kilobench.screen import console as screen

    boards = chosen(registry, suite.boards, options.on, options.power)
    folder = options.output / Path(options.suite).stem
    if not options.dry_run:
        _require_writable("--output", folder)
        _require_cache()
    places = [Where(board, options.on, options.toolchain, options.power) for board in boards]
    return run(suite, places, folder, screen(), dry=options.dry_run)


def _run_suite(suite: Any, registry: Any, options: argparse.Namespace) -> int:
    from kilobench.commands import forecast, outcome
    from kilobench.results.store import Store
    from kilobench.runs.plan import check_link
    from kilobench.runs.run import run_cells, work_for
    from kilobench.screen import console as screen

    for board in (boards := [registry.get("boards", name) for name in suite.boards]):
        check_link(board, options.on, options.power)
    if options.on.startswith("serial") and not options.ray:
        _check_real_boards(boards, options.on)
    if not suite.validation and not options.dry_run:
        _require_writable("--output", options.output)
    console = screen()
    console.print(suite.title, style="bold", markup=False, highlight=False, soft_wrap=True)
    cells, too_large, unsuited = _planned(suite, registry, options, console)
    work = work_for(cells, retry_failed=options.retry_failed)
    work.unsuited += unsuited
    if options.dry_run:
        forecast.show(work, options.workers, console)
        outcome.tell_lines([*too_large, *work.unsuited], console)
        return 0
    console.print(forecast.summary(work, options.workers), highlight=False, soft_wrap=True)
    if work.missing:
        _require_cache()
        _check_emulated_boards(cells)
    store = None if suite.validation else Store(options.output / "records")
    if store is not None:
        for row in too_large:
            store.write_too_large(row.row())
    done = run_cells(work, _executor(registry, options, work.units), store, console)
    if store is not None:
        for one in done.unsuited:
            store.write_unsuited(one.row())
    try:
        outcome.report(done, store, options.output, _known_boards(options), console)
        outcome.tell_lines([*too_large, *done.unsuited], console)
    finally:
        outcome.tell_failed(done, console)
    return 1 if done.failed or done.skipped else 0


def _tune(options: argparse.Namespace) -> int:
    require("train", "kilobench tune")
    from kilobench.plugins.budget import parse_budget
    from kilobench.screen import console as screen

    began = monotonic()
    registry, console, budget = _registry(options), screen(), parse_budget(options.budget, options.board)
    _require_writable("--output", options.output)
    _require_cache()
    suite = _tuned_suite(options)
    console.print(suite.title, style="bold", markup=False, highlight=False, soft_wrap=True)
    from kilobench.commands import tune  # imports torch, which takes seconds
    from kilobench.runs.halving import Search, lengths
    from kilobench.runs.intime import SharedExecutor

    space = tune.space(suite, options.network, options.recipe, registry)
    rungs = lengths(registry.get("tasks", options.task).training, options.training, options.rungs)
    tune.introduce(space, suite, rungs, console)
    if options.dry_run:
        tune.show_space(space, console)
        return 0
    point = _points_of(registry, options)
    _check_tuning(suite, point, registry, console)
    left = options.seconds - (monotonic() - began)
    executor = SharedExecutor(partial(_executor, registry, options), options.workers, left)
    search = Search(suite, space.candidates, rungs, registry, point, executor, console, options.retry_failed)
    found = search.run()
    tune.report(found, space, budget, console)
    tune.require_something(found, budget, options.budget)
    tune.conclude(found, search.whole(found.best), console, runs=bool(executor.reserved))
    if not executor.reserved:
        return 0
    best, title = found.best, f"{options.task} {found.best.recipe} {options.board}"
    suite = dataclasses.replace(suite, title=title, recipes=(best.recipe,), network=best.network)
    return _run_suite(suite, registry, options)


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


def _points_of(registry: Any, options: argparse.Namespace) -> Callable[[Any], Any]:
    """What gives the point of a suite of one cell, as it is to be run."""
    from kilobench.learn.accelerator import device
    from kilobench.runs.plan import points

    how = options.on, options.toolchain, options.threads, options.power, options.device or device()
    return lambda suite: points(suite, registry, *how)[0]


def _check_tuning(suite: Any, point: Callable[[Any], Any], registry: Any, console: Any) -> None:
    """What would fail in the end fails before any size is searched: data, fold, board."""
    from kilobench.data.loading import load
    from kilobench.paths import cache_dir
    from kilobench.plugins.loading import undisturbed
    from kilobench.progress import shown
    from kilobench.runs.plan import check_link, plan

    for board in suite.boards:
        check_link(registry.get("boards", board), "emulator", "")
    with shown("data", console) as progress, undisturbed():
        _fetch(suite, registry, progress)
        plan([point(dataclasses.replace(suite, recipes=("full",), validation=True))], registry, progress)
        load(registry.get("tasks", suite.tasks[0]), suite.folds[0], cache_dir() / "data", progress, held_out=True)


def _planned(suite: Any, registry: Any, options: argparse.Namespace, console: Any) -> tuple[Any, Any, Any]:
    """The cells of a suite, once sizes have been found for its budgets; what no size of keeps one, and what suits no network.

    Raises UserError where nothing is left to do.
    """
    from kilobench.learn.accelerator import device
    from kilobench.plugins.loading import undisturbed
    from kilobench.progress import shown
    from kilobench.runs import sizing
    from kilobench.runs.plan import plan, points

    with shown("data", console) as progress, undisturbed():
        if not options.dry_run:
            _fetch(suite, registry, progress)
        how = options.on, options.toolchain, options.threads, options.power, options.device or device()
        wanted = points(suite, registry, *how)
        searches = sizing.sizes(wanted, registry)
    reasons: dict[str, str] = {}
    if (unknown := sizing.unknown(searches)).units:
        _require_cache()
        reasons = sizing.search(unknown, partial(_executor, registry, options), console)
    with shown("data", console) as progress, undisturbed():
        fitting, too_large, unsuited = sizing.sized(wanted, searches, reasons)
        if too_large and not fitting:
            raise UserError(too_large[0].line)
        return plan(fitting, registry, progress), too_large, unsuited


def _fetch(suite: Any, registry: Any, progress: Any) -> None:
    """Get data that is not here, as its contents tell results apart; where it is not to be had, its cells fail."""
    from kilobench.data.sources import fetched
    from kilobench.paths import cache_dir

    for task in suite.tasks:
        for source in registry.get("tasks", task).sources():
            if source.url:
                with suppress(UserError):
                    fetched(source, cache_dir() / "data", progress)


def _check_real_boards(boards: Sequence[Board], link: str) -> None:
    """What would fail in the end fails before anything is trained."""
    from kilobench.device.arduino import require_platform
    from kilobench.device.ports import find_port

    for board in boards:
        require_platform(board)
        if link == "serial":
            find_port(board)


def _check_emulated_boards(cells: Any) -> None:
    """Likewise; only where there is something to do, as the emulator takes its time to load."""
    from kilobench.device.emulator import cpu_model

    for core in {cell.board.core.name: cell.board.core for cell in cells if cell.point.link == "emulator"}.values():
        cpu_model(core)


def _require_cache() -> None:
    from kilobench.files import writable
    from kilobench.paths import cache_dir

    if not writable(cache_dir()):
        raise UserError(f"no files can be written to the cache {cache_dir()}; KILOBENCH_CACHE names another folder")


def _require_writable(option: str, folder: Path) -> None:
    """What would fail in the end fails before anything is made."""
    from kilobench.files import writable

    if not writable(folder):
        raise UserError(f"no files can be written to {option} {folder}; choose another folder")


def _executor(registry: Any, options: argparse.Namespace, units: Any) -> Any:
    from kilobench.plugins.names import imported
    from kilobench.runs.executors import GIB, InProcess, Limits, Processes
    from kilobench.runs.work import Workshop

    limits = Limits(float(options.time_limit), options.memory_limit * GIB)
    if options.ray and units:
        from kilobench.runs.ray_executor import RayExecutor

        return RayExecutor(options.ray, limits, registry.plugins)
    if options.workers or imported() or any(unit.plugins for unit in units.values()):
        return Processes(options.workers or 1, limits, registry.plugins)
    return InProcess(Workshop(registry))


def _log(options: argparse.Namespace) -> int:
    from kilobench.runs.run import failure_log

    print(failure_log(options.cell) or "nothing has failed")
    return 0


def _list(options: argparse.Namespace) -> int:
    registry = _registry(options)
    for kind in (options.kind,) if options.kind else KINDS:
        print(f"{kind}:")
        width = max((len(name) for name in registry.entries[kind]), default=0)
        for name, entry in sorted(registry.entries[kind].items()):
            print(f"  {one_line(name):{width}}  {entry.summary}")
    return 0


def _show(options: argparse.Namespace) -> int:
    from kilobench.plugins.spec import nearest, parameters
    from kilobench.plugins.suites import Suite

    registry = _registry(options)
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
            for name, (kind_, default) in parameters(entry.value).items():
                described = getattr(kind_, "__name__", str(kind_).removeprefix("typing."))
                described = " | ".join(kind_.__args__) if described == "Literal" else described
                print(f"  {name}: {described} = {default}")
    return 0


def _data(options: argparse.Namespace) -> int:
    from kilobench.commands import datasets

    registry = _registry(options)
    if options.action == "list":
        return datasets.list_sets(registry)
    if options.action == "import":
        return datasets.import_path(registry, options.path)
    return (datasets.fetch if options.action == "fetch" else datasets.verify)(registry, options.name)


def _known_boards(options: argparse.Namespace) -> dict[str, Board]:
    """By name; no code of plug-ins runs for them."""
    entries = _registry(options, modules=()).entries["boards"]
    return {name: entry.value for name, entry in sorted(entries.items()) if isinstance(entry.value, Board)}


def _boards(options: argparse.Namespace) -> int:
    from kilobench.commands.attached import report

    return report(_known_boards(options), options.words)


def _emulate(options: argparse.Namespace) -> int:
    from kilobench.report.models import is_model

    board: Board = _registry(options, modules=()).get("boards", options.board)
    firmware: Path = options.firmware
    subject = _subject(firmware, options) if is_model(firmware) else None
    if subject is None and (options.benchmark or options.rounding):
        raise UserError(f"{firmware} is no model's file; --as and --rounding say how the firmware of a model is built")
    from kilobench.commands.terminal import emulate, firmware_of

    if subject is not None:
        _require_cache()
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

    board = _registry(options, modules=()).get("boards", options.board)
    file: Path = options.file or Path(f"calibration-{board.name}.json")
    _require_writable("--file", file.parent)
    _require_cache()
    return run(options.model or usual_models(options.output / "records"), board, options.on, file, screen())


def _doctor(options: argparse.Namespace) -> int:
    from kilobench.commands.doctor import report

    return report()


def _test(options: argparse.Namespace) -> int:
    require("train", "kilobench test")
    from kilobench.commands.contract import report

    if Path(options.name).suffix and Path(options.name).is_file():  # what has no ending may be called as a method is
        options.plugins.append(options.name)
    _require_cache()
    return report(_registry(options), options.name)


def _leaderboard(options: argparse.Namespace) -> int:
    from kilobench.mlperf.page import mlperf_pages
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
        _known_boards(options),
        too_large=store.read_too_large(),
        unsuited=store.read_unsuited(),
        others=others,
        costs=store.read_costs(),
        plots=whole,
        site=whole,
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

    boards = chosen(_registry(options, modules=()), options.board or [options.usual_board], options.on, options.power)
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
            _require_writable(option, folder)
    _require_cache()
    places = [Where(board, options.on, options.toolchain, options.power) for board in boards]
    return measure(subject, places, limits, products, screen(), labelled)


def _export(options: argparse.Namespace) -> int:
    from kilobench.commands.export import export
    from kilobench.report.models import load_subject

    _registry(options, modules=())  # finds operators of plug-ins
    subject = load_subject(options.model, options.rounding)
    files = export(subject, options.to)
    print(f"{len(files)} files in {options.to}: see {options.to / 'README.md'}")
    return 0


def _submit(options: argparse.Namespace) -> int:
    from kilobench.results.submit import submit
    from kilobench.screen import console as screen

    keep = not options.check and not options.whole
    if keep:
        _require_writable("--output", options.output)
    console = screen()
    outcome = submit(options.folder, options.output, _registry(options), console, keep=keep, whole=options.whole)
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

    registry, console = _registry(options), screen()
    everywhere = options.board == ALL
    chosen = {"task": options.task, "recipe": options.recipe, "board": None if everywhere else options.board}
    store = Store(options.output / "records")
    plan = remeasure.plan(store, registry, again=options.again, everywhere=everywhere, **chosen)
    if options.check:
        return remeasure.check(plan, console)
    _require_writable("--output", options.output)
    _require_cache()
    return remeasure.remeasure(plan, registry, options.workers, console)


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
    print(advise(limits, options.task, options.records, _known_boards(options), most_uj))
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
    "compare": _compare,
    "advise": _advise,
    "new": _new,
}

# SPDX-License-Identifier: Apache-2.0
"""``kilobench run``: what is asked for, and how it is done. Nothing slow is imported before that has been checked."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from kilobench.boards import Board
from kilobench.commands.options import known_boards, require_cache, require_writable
from kilobench.contracts import UserError


def suite_of(options: argparse.Namespace, registry: Any) -> Any:
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


def run_models(suite: Any, registry: Any, options: argparse.Namespace) -> int:
    """Measure the model files of a suite; returns the exit code."""
    from kilobench.commands.reports import run
    from kilobench.measuring.recording import Where
    from kilobench.report.measuring import chosen
    from kilobench.screen import console as screen

    boards = chosen(registry, suite.boards, options.on, options.power)
    folder = options.output / Path(options.suite).stem
    if not options.dry_run:
        require_writable("--output", folder)
        require_cache()
    places = [Where(board, options.on, options.toolchain, options.power) for board in boards]
    return run(suite, places, folder, screen(), dry=options.dry_run)


def run_suite(suite: Any, registry: Any, options: argparse.Namespace) -> int:
    """Do what there is to do of a suite's cells, and make the pages; returns the exit code."""
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
        require_writable("--output", options.output)
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
        require_cache()
        _check_emulated_boards(cells)
    store = None if suite.validation else Store(options.output / "records")
    if store is not None:
        for row in too_large:
            store.write_too_large(row.row())
    done = run_cells(work, executor_of(registry, options, work.units), store, console)
    if store is not None:
        for one in done.unsuited:
            store.write_unsuited(one.row())
    try:
        outcome.report(done, store, options.output, known_boards(options), console)
        outcome.tell_lines([*too_large, *done.unsuited], console)
    finally:
        outcome.tell_failed(done, console)
    return 1 if done.failed or done.skipped else 0


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
            fetch(suite, registry, progress)
        how = options.on, options.toolchain, options.threads, options.power, options.device or device()
        wanted = points(suite, registry, *how)
        searches = sizing.sizes(wanted, registry)
    reasons: dict[str, str] = {}
    if (unknown := sizing.unknown(searches)).units:
        require_cache()
        reasons = sizing.search(unknown, partial(executor_of, registry, options), console)
    with shown("data", console) as progress, undisturbed():
        fitting, too_large, unsuited = sizing.sized(wanted, searches, reasons)
        if too_large and not fitting:
            raise UserError(too_large[0].line)
        return plan(fitting, registry, progress), too_large, unsuited


def fetch(suite: Any, registry: Any, progress: Any) -> None:
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


def executor_of(registry: Any, options: argparse.Namespace, units: Any) -> Any:
    """What does some units of work as the options say."""
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

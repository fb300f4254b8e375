# SPDX-License-Identifier: Apache-2.0
"""``kilobench tune``: what it tries, and what it says of what it found."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic

from rich.console import Console

from kilobench.commands.running import executor_of, fetch, run_suite
from kilobench.contracts import Budget, CellError, Cost, Task, UserError
from kilobench.data.loading import load
from kilobench.learn.accelerator import device
from kilobench.learn.stage import check_model
from kilobench.lines import reason
from kilobench.measuring.fitting import smallest_text
from kilobench.measuring.recording import Where, command
from kilobench.paths import cache_dir
from kilobench.plugins.loading import undisturbed
from kilobench.plugins.registry import Registry
from kilobench.plugins.suites import Suite
from kilobench.progress import shown
from kilobench.results.contest import steps_of
from kilobench.results.tuning import table
from kilobench.runs.halving import Found, Search, lengths, ranked
from kilobench.runs.intime import SharedExecutor
from kilobench.runs.plan import Cell, Point, check_link, plan, points
from kilobench.runs.space import Candidate, candidates, default_networks, default_recipes
from kilobench.runs.suite import check


@dataclass(frozen=True)
class Space:
    """What is to be tried, in this order; ``unsuited``: networks that are not for the task, and why."""

    candidates: list[Candidate]
    networks: list[str]
    recipes: list[str]
    unsuited: dict[str, str]

    @property
    def line(self) -> str:
        """How many of what."""
        return f"{len(self.candidates)} candidates: {len(self.networks)} networks x {len(self.recipes)} recipes"


def run(
    suite: Suite, budget: Budget, registry: Registry, options: argparse.Namespace, console: Console, began: float
) -> int:
    """Search for the recipe and network of a suite of one cell, and run the best where time is left; ``began`` is when, by the
    clock of ``monotonic``, its time began."""
    tried = space(suite, options.network, options.recipe, registry)
    rungs = lengths(registry.get("tasks", suite.tasks[0]), options.training, options.rungs)
    introduce(tried, suite, rungs, console)
    if options.dry_run:
        show_space(tried, console)
        return 0
    point = _points_of(registry, options)
    _check_data(suite, point, registry, console)
    left = options.seconds - (monotonic() - began)
    executor = SharedExecutor(partial(executor_of, registry, options), options.workers, left)
    search = Search(suite, tried.candidates, rungs, registry, point, executor, console, options.retry_failed)
    found = search.run()
    report(found, tried, budget, console)
    require_something(found, budget, options.budget)
    conclude(found, search.whole(found.best), console, runs=bool(executor.reserved))
    if not executor.reserved:
        return 0
    best, title = found.best, f"{options.task} {found.best.recipe} {options.board}"
    return run_suite(replace(suite, title=title, recipes=(best.recipe,), network=best.network), registry, options)


def _points_of(registry: Registry, options: argparse.Namespace) -> Callable[[Suite], Point]:
    """What gives the point of a suite of one cell, as it is to be run."""
    how = options.on, options.toolchain, options.threads, options.power, options.device or device()
    return lambda suite: points(suite, registry, *how)[0]


def _check_data(suite: Suite, point: Callable[[Suite], Point], registry: Registry, console: Console) -> None:
    """What would fail in the end fails before any size is searched: board, data, fold."""
    for board in suite.boards:
        check_link(registry.get("boards", board), "emulator", "")
    with shown("data", console) as progress, undisturbed():
        fetch(suite, registry, progress)
        one = point(replace(suite, recipes=("full",), validation=True))
        plan([one], registry, progress)
        load(registry.get("tasks", one.task), one.fold, cache_dir() / "data", progress, held_out=True)


def space(suite: Suite, networks: Sequence[str] | None, recipes: Sequence[str] | None, registry: Registry) -> Space:
    """Of the ``networks`` and ``recipes`` that were asked for, else of all that there are.

    Raises UserError for names that there are not, and for networks asked for that are not for the task of the ``suite``.
    """
    task: Task = registry.get("tasks", suite.tasks[0])
    if task.objective != "classes":
        raise UserError(f"tune: all that {task.name} trains with is usual, so that no part of it can be held out")
    found = list(networks or default_networks(task, registry))
    usual, varied = (list(recipes), []) if recipes else default_recipes(registry, suite.effort)
    check(replace(suite, recipes=(*usual, *varied)), registry)
    why = {network: problem for network in found if (problem := _unsuited(network, task, registry))}
    if networks and why:
        network, problem = next(iter(why.items()))
        raise UserError(f"--network {network}: {problem}")
    suited = [network for network in found if network not in why]
    everything = candidates(suited, [*usual, *varied], first=len(usual), seed=suite.seeds[0])
    return Space(everything, suited, [*usual, *varied], why)


def _unsuited(network: str, task: Task, registry: Registry) -> str:
    """Why a network is none for a task; empty if it is. Raises UserError for a network that there is not."""
    built = registry.get("networks", network)
    try:
        with undisturbed():
            check_model(built.build(task.network_shape, task.outputs, task.sample_rate), task, "a network")
    except (CellError, UserError) as error:
        return str(error)
    except Exception as error:  # whatever a plug-in's code raises
        return reason(error)
    return ""


def introduce(found: Space, suite: Suite, rungs: Sequence[str], console: Console) -> None:
    """How many candidates there are, and how they are trained."""
    told = ", ".join(rung or "the whole training" for rung in rungs)
    _say(console, f"{found.line}; {len(rungs)} rungs, each {suite.effort:g} trainings of: {told}")


def show_space(found: Space, console: Console) -> None:
    """All candidates, as of ``--dry-run``."""
    for number, candidate in enumerate(found.candidates, 1):
        _say(console, f"{number:4}  {candidate.label}")


def report(found: Found, space: Space, budget: Budget, console: Console) -> None:
    """The table, what was left out and why, and what is not known."""
    rungs = [{candidate.label: rung[candidate] for candidate in ranked(rung)} for rung in found.rungs]
    for line in ["", *table(rungs)] if any(rungs) else []:
        _say(console, line)
    tried = {*found.too_large, *found.left_out, *(candidate for rung in found.rungs for candidate in rung)}
    if not found.complete:
        _say(console, f"the time was over: {len(tried)} of {len(space.candidates)} candidates were tried")
    over = {one: f"too large: {large.smallest.exceeds(budget)}" for one, large in found.too_large.items()}
    if lines := _reasons(space.unsuited | {one.label: why for one, why in (over | found.left_out).items()}):
        _say(console, "left out:")
    for line in lines:
        _say(console, f"  {line}")


def _reasons(why: Mapping[str, str]) -> list[str]:
    """A line for each reason."""
    of: dict[str, list[str]] = {}
    for name, problem in why.items():
        of.setdefault(problem, []).append(name)
    return [f"{'; '.join(names)}: {problem}" for problem, names in of.items()]


def require_something(found: Found, budget: Budget, text: str) -> None:
    """Raises UserError where nothing keeps the budget, naming what comes nearest, or nothing was trained."""
    if found.reached >= 0:
        return
    if not found.too_large or len(found.left_out) > len(found.too_large):
        problem = next(iter(found.left_out.values()), "")
        raise UserError(
            f"nothing was trained: {problem}" if problem else "the time was over before anything was trained"
        )
    candidate, nearest = min(found.too_large.items(), key=lambda item: _excess(item[1].smallest, budget))
    small = nearest.smallest
    raise UserError(
        f"none of {len(found.too_large)} candidates keeps {text}; the nearest is {candidate.label}: {smallest_text(small)}, "
        f"which is too much {small.exceeds(budget)}"
    )


def _excess(cost: Cost, budget: Budget) -> float:
    """How many times what it may be the worst of its figures is."""
    limits = (
        (cost.flash_bytes, min(budget.flash_bytes, max(1, cost.flash_bytes - cost.over_flash_bytes))),
        (cost.ram_bytes, min(budget.ram_bytes, max(1, cost.ram_bytes - cost.over_ram_bytes))),
        (cost.latency_ms, budget.latency_ms),
    )
    return max(taken / limit for taken, limit in limits)


def conclude(found: Found, cell: Cell, console: Console, *, runs: bool) -> None:
    """The best, and the command that makes its record, which ``runs`` now or is to be run."""
    record, point = found.rungs[found.reached][found.best], cell.point
    held_out = f"{100 * record.quality.mean:.1f} % of held-out training data, by which it was chosen"
    shorter = "" if found.reached == len(found.rungs) - 1 else f", trained for {steps_of(record)} steps alone"
    _say(console, f"\nbest: {found.best.label}: {held_out}{shorter}")
    _say(console, command(cell.model.arguments, Where(cell.board, point.link, point.toolchain, point.power)))
    once = "which trains it on all training data and measures it on the test fold, of which the search has seen nothing"
    _say(console, f"{once}:\n" if runs else f"{once}; there was no time left for it")


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)

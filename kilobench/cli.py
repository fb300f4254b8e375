"""The command ``kilobench``. Nothing slow is imported before the arguments have been checked."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from kilobench.api import Board, CellError, UserError


class _Parser(argparse.ArgumentParser):
    """Errors in one line."""

    def error(self, message: str) -> NoReturn:
        if "invalid choice" in message:
            from kilobench.spec import nearest

            wrong = message.split("invalid choice: ")[1].split(" ")[0].strip("'")
            message = (
                f"no command or kind {wrong!r}{nearest(wrong, [*_COMMANDS, *_KINDS, *_DATA])} (see kilobench --help)"
            )
        self.exit(2, f"kilobench: {message}\n")


_DATA = ("list", "fetch", "verify", "import")
_KINDS = ("tasks", "networks", "methods", "boards", "suites")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 something failed, 2 wrong input, 130 interrupted."""
    options = _parser().parse_args(arguments)
    if options.plugins:
        # Worker processes read the variable.
        known = [entry for entry in os.environ.get("KILOBENCH_PLUGINS", "").split(os.pathsep) if entry]
        added = [str(Path(plugin).resolve()) for plugin in options.plugins]
        os.environ["KILOBENCH_PLUGINS"] = os.pathsep.join(dict.fromkeys(known + added))
    if getattr(options, "allow_partial", False):
        os.environ["KILOBENCH_ALLOW_PARTIAL"] = "1"  # read by data.partial_allowed, in worker processes too
    try:
        return _COMMANDS[options.command](options)
    except UserError as error:
        print(f"kilobench: {error}", file=sys.stderr)
        return 2
    except CellError as error:
        print(f"kilobench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("kilobench: interrupted; finished stages are kept, the same command goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "kilobench", description="Benchmarks neural networks on microcontrollers: accuracy, flash, RAM, cycles."
    )
    parser.add_argument("--version", action="version", version=f"kilobench {version('kilobench')}")
    parser.add_argument(
        "--plugins", action="append", default=[], metavar="PATH", help="folder or file with contributions"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_run_arguments(
        commands.add_parser("run", help="train, compress, build, run on boards, and write records and pages")
    )
    log = commands.add_parser("log", help="why a cell failed, and what it wrote")
    log.add_argument("cell", nargs="?", default="", help="beginning of its key; without one all failures are listed")
    listing = commands.add_parser("list", help="what there is")
    listing.add_argument("kind", nargs="?", choices=_KINDS)
    show = commands.add_parser("show", help="one contribution: what it is, parameters, reference")
    show.add_argument("name")
    sets = commands.add_parser("data", help="data sets: which there are, getting, verifying and importing them")
    actions = sets.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser)
    actions.add_parser("list", help="all of them: where, how large, licence, how to get them")
    for action, text in (("fetch", "download and verify one"), ("verify", "read all of it again; say what is wrong")):
        actions.add_parser(action, help=text).add_argument("name", help="task, as in 'esc50[classes=20]', or folder")
    importing = actions.add_parser("import", help="link a folder, or unpack an archive, as a publisher made it")
    importing.add_argument("path", type=Path)
    _allow_partial(importing)
    commands.add_parser("boards", help="known boards, those attached, and what is installed for them")
    emulating = commands.add_parser("emulate", help="run a firmware on an emulated board, to be talked to")
    emulating.add_argument("firmware", type=Path, help="ELF file")
    emulating.add_argument("--board", required=True)
    emulating.add_argument(
        "--pty", action="store_true", help="behind a pseudo-terminal, whose path is printed; else on standard input"
    )
    timing = commands.add_parser("latency", help="time inferences of any firmware that speaks the MLPerf Tiny protocol")
    timing.add_argument("--port", required=True)
    timing.add_argument("--inferences", type=_threads, default=10, metavar="N", help="in a round (10)")
    commands.add_parser("doctor", help="what is installed, what is missing, and the mend")
    test = commands.add_parser("test", help="contract tests of one contribution")
    test.add_argument("name", help="name, or file of a plug-in")
    _output(commands.add_parser("leaderboard", help="make the pages and the site from the records"))
    _comparing(commands)
    new = commands.add_parser("new", help="a working file to start from")
    new.add_argument("kind", choices=("method", "task", "board"))
    new.add_argument("name")
    new.add_argument("--to", type=Path, default=Path("plugins"), help="folder of plug-ins (default: plugins)")
    return parser


def _comparing(commands: Any) -> None:
    """The commands that read records."""
    comparing = commands.add_parser("compare", help="two recipes, or two files or folders of records, on one page")
    comparing.add_argument("a", metavar="A", help="recipe, as in int8, or a record's file, or a folder of records")
    comparing.add_argument("b", metavar="B", help="what to compare with it, of the same kind")
    comparing.add_argument("--fail-if-worse", action="store_true", help="exit code 1 if B is worse in anything")
    advising = commands.add_parser("advise", help="which recipes fit a board and limits, best first")
    for parser, required in ((comparing, False), (advising, True)):
        parser.add_argument("--task", required=required, help="as in esc10")
        parser.add_argument("--board", required=required)
        parser.add_argument(
            "--records", type=Path, default=Path("leaderboard/records"), help="folder (default: leaderboard/records)"
        )
    advising.add_argument("--max-latency", metavar="TIME", help="as in 200ms")
    for memory in ("flash", "ram"):
        advising.add_argument(f"--max-{memory}", metavar="SIZE", help="as in 256KiB, if less than the board has")


def _add_run_arguments(run: argparse.ArgumentParser) -> None:
    run.add_argument("suite", nargs="?", help="name of a suite or a YAML file")
    run.add_argument("--task", help="for a single cell, as in 'fsdd[classes=5]'")
    run.add_argument("--recipe", help="methods joined by +, as in prune+int8")
    run.add_argument("--board")
    run.add_argument("--network", help="another network than the task's own")
    run.add_argument("--training", default="", metavar="KEY=VALUE,...", help="changes to it, as in epochs=40,mix=0.5")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--fold", type=_fold, default=0, metavar="N|all")
    run.add_argument("--on", default="emulator", metavar="LINK", help="how boards are run: emulator, or serial[:PORT]")
    run.add_argument("--power", default="", metavar="METER", help="in a real board's supply: ppk2[:PORT]")
    run.add_argument("--toolchain", choices=("zig", "gcc"), default="zig")
    run.add_argument(
        "--threads", type=_threads, default=2, metavar="N", help="that train (2); results differ in the last bits"
    )
    run.add_argument(
        "--validation",
        action="store_true",
        help="measure on a fifth of the training data instead of the test fold, to choose parameters; writes no records",
    )
    _allow_partial(run)
    run.add_argument("--dry-run", action="store_true", help="show what would be done, and about how long it takes")
    run.add_argument("--retry-failed", action="store_true", help="try again what failed before")
    run.add_argument(
        "--workers", type=_number, default=1, metavar="N", help="processes that work at a time (1); 0: all in this one"
    )
    run.add_argument(
        "--ray", nargs="?", const="auto", metavar="ADDRESS", help="work on a Ray cluster (auto: the one of this host)"
    )
    run.add_argument("--time-limit", type=_number, default=12 * 3600, metavar="SECONDS", help="of one step (12 hours)")
    run.add_argument("--memory-limit", type=_number, default=0, metavar="GIB", help="of one worker (none)")
    _output(run)


def _fold(text: str) -> int | str:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'all'")
    return text if text == "all" else int(text)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def _threads(text: str) -> int:
    if not _number(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _allow_partial(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-partial", action="store_true", help="go on where a data set lacks files, and mark the record so"
    )


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path("leaderboard"), help="folder (default: leaderboard)")


def _run(options: argparse.Namespace) -> int:
    from kilobench.registry import load_registry
    from kilobench.suite import Suite, load_suite

    registry = load_registry()
    single = {"--task": options.task, "--recipe": options.recipe, "--board": options.board}
    missing = [name for name, value in single.items() if not value]
    if options.suite and len(missing) < 3:
        raise UserError("give a suite, or --task, --recipe and --board, not both")
    if options.suite:
        given = Path(options.suite)
        suite = load_suite(given if given.suffix == ".yaml" else registry.find("suites", options.suite).path, registry)
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
        suite.check(registry)
    if options.validation:
        suite = dataclasses.replace(suite, validation=True)
    return _run_suite(suite, registry, options)


def _run_suite(suite: Any, registry: Any, options: argparse.Namespace) -> int:
    from rich.console import Console

    from kilobench import forecast
    from kilobench.plan import plan
    from kilobench.run import run_cells, work_for
    from kilobench.store import Store

    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(suite.title, style="bold", markup=False, highlight=False, soft_wrap=True)
    cells = plan(suite, registry, options.on, options.toolchain, options.threads, options.power)
    work = work_for(cells, retry_failed=options.retry_failed)
    if options.on.startswith("serial") and not options.ray:
        _check_real_boards(cells)
    if options.dry_run:
        forecast.show(work, options.workers, console)
        return 0
    console.print(forecast.summary(work, options.workers), highlight=False, soft_wrap=True)
    store = None if suite.validation else Store(options.output / "records")
    outcome = run_cells(work, _executor(registry, options, work), store, console)
    _report(outcome, store, options.output, console)
    return 1 if outcome.failed or outcome.skipped else 0


def _check_real_boards(cells: Any) -> None:
    """What would fail in the end fails before anything is trained."""
    from kilobench.device.arduino import require_platform
    from kilobench.device.attached import find_port

    for board, link in {cell.board.name: (cell.board, cell.point.link) for cell in cells}.values():
        require_platform(board)
        if link == "serial":
            find_port(board)


def _executor(registry: Any, options: argparse.Namespace, work: Any) -> Any:
    from kilobench.executors import GIB, InProcess, Limits, Processes

    limits = Limits(float(options.time_limit), options.memory_limit * GIB)
    if options.ray and work.missing:
        from kilobench.ray_executor import RayExecutor

        return RayExecutor(options.ray, limits)
    return Processes(options.workers, limits) if options.workers else InProcess(registry)


def _report(outcome: Any, store: Any, output: Path, console: Any) -> None:
    """The table, the pages, and what failed."""
    from kilobench.render import render
    from kilobench.render.table import terminal

    if outcome.records:
        console.print(terminal(outcome.records))
    if store is None:
        console.print("validation part of the training data: no records, no pages", highlight=False)
    elif outcome.records:
        render(store.read_all(), output)
        console.print(f"pages: {output / 'README.md'}", highlight=False, soft_wrap=True)
    for word, cells in (("failed", outcome.failed), ("skipped, failed before", outcome.skipped)):
        for cell, failed in cells.values():
            log = f" (kilobench log {failed.key[:8]})" if failed.lasting else ""
            line = f"{word}: {cell.label}: {failed.reason}{log}"
            console.print(line, highlight=False, markup=False, soft_wrap=True, style="red")
    counts = f"{outcome.measured} measured, {outcome.cached} cached, {len(outcome.failed)} failed"
    skipped = f", {len(outcome.skipped)} skipped (--retry-failed tries them again)" if outcome.skipped else ""
    console.print(counts + skipped, highlight=False)


def _log(options: argparse.Namespace) -> int:
    from kilobench.run import failure_log

    print(failure_log(options.cell) or "nothing has failed")
    return 0


def _list(options: argparse.Namespace) -> int:
    from kilobench.registry import load_registry

    registry = load_registry()
    for kind in (options.kind,) if options.kind else _KINDS:
        print(f"{kind}:")
        width = max((len(name) for name in registry.entries[kind]), default=0)
        for name, entry in sorted(registry.entries[kind].items()):
            print(f"  {name:{width}}  {entry.summary}")
    return 0


def _show(options: argparse.Namespace) -> int:
    from kilobench.registry import load_registry
    from kilobench.spec import nearest, parameters

    registry = load_registry()
    found = [(kind, registry.loaded(kind, options.name)) for kind in _KINDS if options.name in registry.entries[kind]]
    if not found:
        names = [name for table in registry.entries.values() for name in table]
        raise UserError(f"nothing is called {options.name!r}{nearest(options.name, names)} (see kilobench list)")
    for kind, entry in found:
        print(f"{kind.removesuffix('s')} {entry.name}  ({entry.path})")
        if entry.broken:
            print(f"BROKEN: {entry.broken}")
        elif isinstance(entry.value, Board):
            for field in dataclasses.fields(entry.value):
                print(f"  {field.name}: {getattr(entry.value, field.name)}")
        elif isinstance(entry.value, Path):
            print(entry.value.read_text().rstrip())
        elif entry.value is not None:
            print(f"\n{inspect.getdoc(entry.value)}\n\nreference: {entry.value.reference}")
            for name, (kind_, default) in parameters(entry.value).items():
                described = getattr(kind_, "__name__", str(kind_).removeprefix("typing."))
                described = " | ".join(kind_.__args__) if described == "Literal" else described
                print(f"  {name}: {described} = {default}")
    return 0


def _data(options: argparse.Namespace) -> int:
    from kilobench import datasets
    from kilobench.registry import load_registry

    registry = load_registry()
    if options.action == "list":
        return datasets.list_sets(registry)
    if options.action == "import":
        return datasets.import_path(registry, options.path)
    return (datasets.fetch if options.action == "fetch" else datasets.verify)(registry, options.name)


def _boards(options: argparse.Namespace) -> int:
    from kilobench.device.attached import report
    from kilobench.registry import load_registry

    entries = load_registry().entries["boards"]
    return report({name: entry.value for name, entry in sorted(entries.items()) if isinstance(entry.value, Board)})


def _emulate(options: argparse.Namespace) -> int:
    from kilobench.registry import load_registry

    board: Board = load_registry().get("boards", options.board)
    from kilobench.device.terminal import emulate

    return emulate(options.firmware, board, pty=options.pty)


def _latency(options: argparse.Namespace) -> int:
    from kilobench.device.latency import report

    return report(options.port, options.inferences)


def _doctor(options: argparse.Namespace) -> int:
    from kilobench.doctor import report

    return report()


def _test(options: argparse.Namespace) -> int:
    from kilobench.contract import report
    from kilobench.registry import load_registry

    path = Path(options.name)
    registry = load_registry([options.name] if path.exists() else [])
    return report(registry, options.name)


def _leaderboard(options: argparse.Namespace) -> int:
    from kilobench.render import render
    from kilobench.store import Store

    records = Store(options.output / "records").read_all()
    if not records:
        raise UserError(f"{options.output / 'records'} holds no records; kilobench run makes some")
    site = options.output / "site"
    if site.exists() and not (site / "assets" / "explore.js").exists():
        raise UserError(f"{site} is no site of kilobench and would be replaced; move it, or choose another --output")
    for path in render(records, options.output, site=True):
        print(path)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from kilobench.compare import compare

    page, worse = compare(options.a, options.b, options.records, options.task, options.board)
    print(page)
    return 1 if worse and options.fail_if_worse else 0


def _advise(options: argparse.Namespace) -> int:
    from kilobench.advise import Limits, advise, quantity

    given = (
        ("latency_ms", options.max_latency, "milliseconds"),
        ("flash_bytes", options.max_flash, "bytes"),
        ("ram_bytes", options.max_ram, "bytes"),
    )
    limits = Limits(**{name: quantity(text, kind) for name, text, kind in given if text is not None})
    print(advise(options.task, options.board, limits, options.records))
    return 0


def _new(options: argparse.Namespace) -> int:
    from kilobench.scaffold import create

    path = create(options.kind, options.name, options.to)
    print(f"{path}\ntry it: kilobench --plugins {options.to} test {options.name}")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "log": _log,
    "list": _list,
    "show": _show,
    "data": _data,
    "boards": _boards,
    "emulate": _emulate,
    "latency": _latency,
    "doctor": _doctor,
    "test": _test,
    "leaderboard": _leaderboard,
    "compare": _compare,
    "advise": _advise,
    "new": _new,
}

# SPDX-License-Identifier: Apache-2.0
"""The arguments of the command ``kilobench``."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from kilobench.lines import one_line
from kilobench.paths import LEADERBOARD

USUAL_BOARD = "nucleo_l4r5zi"
"""That models are measured on where none is named: the reference board of MLPerf Tiny."""
KINDS = ("tasks", "networks", "methods", "boards", "cores", "suites", "ops")


class _Parser(argparse.ArgumentParser):
    """Errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"kilobench: {one_line(message)}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """argparse asks this of every word that is one of several: the nearest is named, by whatever is wanted there."""
        if action.choices is not None and value not in action.choices:
            from kilobench.plugins.spec import nearest

            what = f"{action.option_strings[0]} is no" if action.option_strings else "no command or kind"
            known = list(action.choices)
            listed = f"; there are {', '.join(known)}" if action.option_strings else " (see kilobench --help)"
            raise argparse.ArgumentError(None, f"{what} {value!r}{nearest(value, known)}{listed}")


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = _Parser(
        "kilobench", description="Benchmarks neural networks on microcontrollers: accuracy, flash, RAM, cycles."
    )
    parser.add_argument("--version", action="version", version=f"kilobench {version('kilobench')}")
    parser.add_argument(
        "--plugins",
        action="append",
        default=[],
        metavar="PATH",
        help="folder or file with contributions (may be repeated)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_run_arguments(
        commands.add_parser("run", help="train, compress, build, run on boards, and write records and pages")
    )
    _tuning(commands)
    log = commands.add_parser("log", help="why a cell failed, and what it wrote")
    log.add_argument("cell", nargs="?", default="", help="beginning of its key; without one all failures are listed")
    listing = commands.add_parser("list", help="what there is")
    listing.add_argument("kind", nargs="?", choices=KINDS)
    show = commands.add_parser("show", help="one contribution: what it is, parameters, reference; or all operators")
    show.add_argument("name", help="name of a contribution, or operators")
    sets = commands.add_parser("data", help="data sets: which there are, getting, verifying and importing them")
    actions = sets.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser)
    actions.add_parser("list", help="all of them: where, how large, licence, how to get them")
    for action, text in (("fetch", "download and verify one"), ("verify", "read all of it again; say what is wrong")):
        actions.add_parser(action, help=text).add_argument("name", help="task, as in 'esc50[classes=20]', or folder")
    importing = actions.add_parser("import", help="link a folder, or unpack an archive, as a publisher made it")
    importing.add_argument("path", type=Path)
    _allow_partial(importing)
    knowing = commands.add_parser("boards", help="known boards, those attached, and what is installed for them")
    knowing.add_argument(
        "words", nargs="*", metavar="WORD", help="of a board's name, title, chip or core, as in m33 or stm32f4"
    )
    emulating = commands.add_parser("emulate", help="run a firmware on an emulated board, to be talked to")
    emulating.add_argument("firmware", type=Path, help="ELF file, or a model's file, whose firmware is built")
    emulating.add_argument("--board", required=True)
    _rounding(emulating)
    _benchmark(emulating)
    emulating.add_argument(
        "--pty", action="store_true", help="behind a pseudo-terminal, whose path is printed; else on standard input"
    )
    timing = commands.add_parser("latency", help="time inferences of any firmware that speaks the MLPerf Tiny protocol")
    timing.add_argument("--port", required=True)
    timing.add_argument("--inferences", type=_whole(1, 10**6), default=10, metavar="N", help="in a round (10)")
    _calibrating(commands)
    commands.add_parser("doctor", help="what is installed, what is missing, and the mend")
    test = commands.add_parser("test", help="contract tests of one contribution")
    test.add_argument("name", help="name, or file of a plug-in")
    _output(commands.add_parser("leaderboard", help="make the pages and the site from the records"))
    _of_models(commands)
    _contributing(commands)
    _comparing(commands)
    new = commands.add_parser("new", help="a working file to start from")
    new.add_argument("kind", choices=("method", "task", "network", "board"))
    new.add_argument("name")
    new.add_argument("--to", type=Path, default=Path("plugins"), help="folder of plug-ins (default: plugins)")
    return parser


def _calibrating(commands: Any) -> None:
    calibrating = commands.add_parser(
        "calibrate", help="cycles of a real board beside those that are modelled, by the state of its flash"
    )
    calibrating.add_argument(
        "model", type=Path, nargs="*", help="files (the fastest published one of every method of compression)"
    )
    calibrating.add_argument("--board", required=True)
    calibrating.add_argument("--on", default="serial", metavar="LINK", help="serial[:PORT] (serial)")
    calibrating.add_argument("--file", type=Path, metavar="FILE", help="to submit (calibration-BOARD.json)")
    _output(calibrating)


def _of_models(commands: Any) -> None:
    """The commands for model files, whoever made them."""
    measuring = commands.add_parser(
        "measure", help="what a model file takes on boards, layer by layer: .tflite, .onnx, .pt2, .safetensors"
    )
    measuring.add_argument(
        "model", type=Path, help="its file; of a published one, as in leaderboard/models, records are written too"
    )
    measuring.add_argument(
        "--board", action="append", metavar="NAME|all", help=f"may be repeated; all: every emulated one ({USUAL_BOARD})"
    )
    measuring.set_defaults(usual_board=USUAL_BOARD)
    _rounding(measuring)
    _benchmark(measuring)
    _where(measuring)
    measuring.add_argument(
        "--inputs", type=Path, metavar="DIR", help="labelled inputs as MLPerf Tiny's: y_labels.csv and a file for each"
    )
    measuring.add_argument("--html", type=Path, metavar="FILE", help="the report as a page, too")
    measuring.add_argument("--keep", type=Path, metavar="DIR", help="keep programs, C, and the report as JSON")
    measuring.add_argument(
        "--fail-if-over",
        metavar="LIMIT=SIZE,...",
        help="exit code 1 above a limit, as in flash=96KiB,ram=64KiB,latency=100ms",
    )
    _output(measuring)
    exporting = commands.add_parser("export", help="a model file as C for a project of your own")
    exporting.add_argument("model", type=Path, help="its file: .tflite, .onnx, .pt2, .safetensors")
    exporting.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    _rounding(exporting)


def _rounding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rounding",
        choices=("once", "tflite"),
        help="of int8 models of other tools: once, or as TensorFlow Lite Micro does, to the bit (default of .tflite)",
    )


def _benchmark(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as",
        dest="benchmark",
        choices=(
            "ic01",
            "kws01",
            "vww01",
            "ad01",
        ),  # kilobench.data.mlperf takes half as long to import as all of --help
        help="build firmware that MLPerf Tiny's runner takes for this benchmark of its",
    )


def _contributing(commands: Any) -> None:
    """The commands for what is published, or is to be."""
    submitting = commands.add_parser("submit", help="check the records and models of a folder, and put them into place")
    submitting.add_argument("folder", type=Path, help="as kilobench run --output makes it")
    _allow_partial(submitting)
    submitting.add_argument("--check", action="store_true", help="only check; write nothing")
    submitting.add_argument(
        "--whole",
        action="store_true",
        help="check a leaderboard that is to replace that of --output as it is; write nothing",
    )
    submitting.add_argument("--report", type=Path, metavar="FILE", help="what changes, as Markdown")
    _output(submitting)
    renewing = commands.add_parser(
        "remeasure", help="make the costs of published records anew from their models, as after a change of kernels"
    )
    _allow_partial(renewing)
    _published(renewing, board="only records of it; all: also what models take on all emulated boards")
    renewing.add_argument("--again", action="store_true", help="those made by the code of today, too")
    renewing.add_argument(
        "--check", action="store_true", help="only name those made by other code, by their keys; exit code 1 if any are"
    )
    verifying = commands.add_parser(
        "verify", help="predict with published models again, measure each on two boards, and list what differs"
    )
    verifying.set_defaults(allow_partial=True)  # a record says which inputs its data lacked
    _published(verifying, board="only records of it")
    verifying.add_argument(
        "--sample", type=_whole(1, 10**6), metavar="N", help="only N models, the same every time, spread over tasks"
    )


def _published(parser: argparse.ArgumentParser, board: str) -> None:
    """Which records are made again, and how."""
    for name in ("--task", "--recipe"):
        parser.add_argument(name, help="only records of it")
    parser.add_argument("--board", help=board)
    parser.add_argument(
        "--workers",
        type=_whole(0, 1024),
        default=os.cpu_count(),
        metavar="N",
        help="processes that work at a time (as many as there are cores); 0: all in this one",
    )
    _output(parser)


def _where(parser: argparse.ArgumentParser) -> None:
    """How a board is run."""
    parser.add_argument(
        "--on", default="emulator", metavar="LINK", help="how boards are run: emulator, or serial[:PORT]"
    )
    parser.add_argument("--power", default="", metavar="METER", help="in a real board's supply: ppk2[:PORT]")
    parser.add_argument("--toolchain", choices=("zig", "gcc"), default="zig")


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
    advising.add_argument(
        "--budget", metavar="LIMIT=SIZE,...", help="limits, as in flash=64KiB,ram=32KiB,latency=100ms"
    )
    advising.add_argument("--max-latency", metavar="TIME", help="as in 200ms")
    advising.add_argument(
        "--max-energy",
        metavar="ENERGY",
        help="of an inference, as in 500uJ: measured, or estimated from the data sheet",
    )
    for memory in ("flash", "ram"):
        advising.add_argument(f"--max-{memory}", metavar="SIZE", help="as in 256KiB, if less than the board has")


def _add_run_arguments(run: argparse.ArgumentParser) -> None:
    run.add_argument("suite", nargs="?", help="name of a suite or a YAML file")
    run.add_argument("--task", help="for a single cell, as in 'fsdd[classes=5]'")
    run.add_argument("--recipe", help="methods joined by +, as in prune+int8")
    run.add_argument("--board")
    run.add_argument("--network", help="another network than the task's own")
    run.add_argument(
        "--budget",
        metavar="LIMIT=SIZE,...",
        help="make the network as large as it allows, as in flash=64KiB,ram=32KiB,latency=100ms",
    )
    run.add_argument("--fold", type=_fold, default=0, metavar="N|all")
    _where(run)
    run.add_argument(
        "--validation",
        action="store_true",
        help="measure on a fifth of the training data instead of the test fold, to choose parameters; writes no records",
    )
    run.add_argument("--dry-run", action="store_true", help="show what would be done, and about how long it takes")
    _working(run)


def _tuning(commands: Any) -> None:
    tuning = commands.add_parser(
        "tune",
        help="find the recipe and network for a task, board and budget, on held-out training data, in a given time",
    )
    tuning.add_argument("--task", required=True, help="as in 'fsdd[classes=5]'")
    tuning.add_argument("--board", required=True)
    tuning.add_argument(
        "--budget", required=True, metavar="LIMIT=SIZE,...", help="as in flash=64KiB,ram=32KiB,latency=100ms"
    )
    for name, what in (("recipe", "methods joined by +"), ("network", "a network")):
        tuning.add_argument(f"--{name}", action="append", help=f"{what} to try; may be repeated (all that there are)")
    time = tuning.add_mutually_exclusive_group(required=True)
    for unit, seconds in (("minutes", 60), ("hours", 3600)):
        time.add_argument(f"--{unit}", dest="seconds", type=_seconds(seconds), metavar="N", help="that it may take")
    tuning.add_argument(
        "--rungs",
        type=_whole(1, 9),
        default=3,
        metavar="N",
        help="lengths of training, each three times the one before, up to the task's (3)",
    )
    tuning.add_argument("--fold", type=_whole(0, 10**6), default=0, metavar="N", help="whose training data is used (0)")
    tuning.add_argument("--toolchain", choices=("zig", "gcc"), default="zig")
    tuning.add_argument("--dry-run", action="store_true", help="show what would be tried, in this order")
    tuning.set_defaults(on="emulator", power="")
    _working(tuning)


def _working(parser: argparse.ArgumentParser) -> None:
    """How networks are trained, and who does the work."""
    parser.add_argument(
        "--training",
        default="",
        metavar="[NAME,]KEY=VALUE,...",
        help="changes to it, as in epochs=40,mix=0.5, or study,epochs=40",
    )
    parser.add_argument(
        "--effort",
        type=_effort,
        metavar="N",
        help="that every recipe is trained in all, in trainings of the task (2.6)",
    )
    parser.add_argument("--seed", type=_whole(0, (1 << 32) - 1), default=0)
    parser.add_argument(
        "--threads", type=_whole(1, 256), default=2, metavar="N", help="that train (2); results differ in the last bits"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="that trains (cuda where there is one)")
    _allow_partial(parser)
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed before")
    parser.add_argument(
        "--workers",
        type=_whole(0, 1024),
        default=1,
        metavar="N",
        help="processes that work at a time (1); 0: all in this one, if there are no plug-ins",
    )
    parser.add_argument(
        "--ray", nargs="?", const="auto", metavar="ADDRESS", help="work on a Ray cluster (auto: the one of this host)"
    )
    parser.add_argument(
        "--time-limit", type=_whole(1, 10**9), default=12 * 3600, metavar="SECONDS", help="of one step (12 hours)"
    )
    parser.add_argument("--memory-limit", type=_whole(0, 10**6), default=0, metavar="GIB", help="of one worker (none)")
    _output(parser)


def _seconds(unit: int) -> Callable[[str], float]:
    """What reads a length of time in units of so many seconds."""

    def read(text: str) -> float:
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) is None or not float(text):
            raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
        return float(text) * unit

    return read


def _whole(low: int, high: int) -> Callable[[str], int]:
    """What reads a whole number of a range."""

    def read(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,18}", text) is None or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return read


def _fold(text: str) -> int | str:
    return text if text == "all" else _whole(0, 10**6)(text)


def _effort(text: str) -> float:
    """Of any size: what an effort may be, suites say as well."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of trainings") from None


def _allow_partial(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-partial", action="store_true", help="go on where a data set lacks files, and mark the record so"
    )


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path(LEADERBOARD), help=f"folder (default: {LEADERBOARD})")

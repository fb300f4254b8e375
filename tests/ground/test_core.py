# SPDX-License-Identifier: Apache-2.0
"""The core without any extra, and on a system that has nothing of POSIX alone: here what is missing cannot be imported."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kilobench.extras import EXTRAS
from kilobench.keys import measuring_code, versions
from kilobench.measuring.evaluate import EvaluatedModel, load_model_file
from kilobench.measuring.recording import Where, record_of
from kilobench.plugins.registry import load_registry
from kilobench.results.packed import unpacked
from kilobench.toolchain import zig

ROOT = Path(__file__).parents[2]
MODEL = next(ROOT.glob("leaderboard/models/88538424838b0260*"))
BOARD = "nucleo_l476rg"
NOT_CORE = (
    *(module for modules in EXTRAS.values() for module in modules),
    "scipy",
    "torchvision",
    "joblib",
    "playwright",
)
POSIX = ("fcntl", "pty", "termios", "tty", "resource", "pwd", "grp", "syslog")
OF_POSIX = {
    "os": "O_DIRECTORY O_PATH fchdir fork forkpty getpgid getuid killpg mkfifo openpty sched_getaffinity setpgid setsid",
    "signal": "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGSYS SIGTRAP SIGUSR1 SIG_BLOCK pthread_sigmask setitimer",
}
"""What the modules have on POSIX alone, as Python's documentation says, but for what its own library asks for here."""
WITHOUT = """
import sys
for name in {modules!r}:
    sys.modules[name] = None
"""
PORTABLE = """
import os, shutil, signal, subprocess, tempfile, warnings
warnings.filterwarnings("ignore", "only soft file lock")
for module, names in {names!r}.items():
    for name in names.split():
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)
def refused(*arguments, **options):
    raise OSError("A required privilege is not held by the client")
os.symlink = refused
"""
RUN = """
from kilobench.cli import main
code = main({arguments!r})
assert not [name for name in {modules!r} if sys.modules.get(name)]
sys.exit(code)
"""


def core(*arguments: str | Path, portable: bool = False, given: str = "") -> subprocess.CompletedProcess[str]:
    """A command in a process that can import nothing but the core."""
    modules = [*NOT_CORE, *(POSIX if portable else ())]
    words = list(map(str, arguments))
    begin = WITHOUT.format(modules=modules) + (PORTABLE.format(names=OF_POSIX) if portable else "")
    code = begin + RUN.format(arguments=words, modules=modules)
    return subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, text=True, cwd=ROOT, check=False
    )


def said(*arguments: str | Path, portable: bool = False, given: str = "") -> str:
    """What a command prints that succeeds."""
    done = core(*arguments, portable=portable, given=given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def model() -> EvaluatedModel:
    with unpacked(MODEL) as file:
        return load_model_file(file)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A folder with the record of a published model, made by the core."""
    folder = tmp_path_factory.mktemp("core")
    assert "record: " in said("measure", MODEL, "--board", BOARD, "--output", folder)
    return folder


def record_in(folder: Path) -> dict[str, object]:
    (path,) = folder.rglob("*.json")
    found: dict[str, object] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize(
    "arguments", [["list"], ["show", "xnor"], ["show", BOARD], ["data", "list"], ["boards"]], ids=" ".join
)
def test_what_there_is_is_told(arguments: list[str]) -> None:
    assert "BROKEN" not in said(*arguments)


def test_records_are_read(tmp_path: Path) -> None:
    task = ["--task", "digits", "--board", BOARD]
    assert "int8" in said("advise", *task, "--budget", "flash=64KiB")
    assert "prune+int8" in said("compare", "int8", "prune+int8", *task)
    shutil.copytree(ROOT / "leaderboard/records/digits", tmp_path / "records/digits")
    told = said("leaderboard", "--output", tmp_path)
    assert told.endswith("drawing plots and the site anew needs an extra: python -m pip install 'kilobench[pages]'\n")
    assert (
        (tmp_path / "README.md").is_file() and (tmp_path / "rows.csv").is_file() and not (tmp_path / "plots").exists()
    )


def test_doctor_says_which_extras_are_there() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "kilobench", "doctor"], capture_output=True, text=True, check=False
    ).stdout
    assert all(f" extra {extra} " in told for extra in EXTRAS)


def test_a_record_made_by_the_core_is_that_of_whoever_trains(
    measured: Path, model: EvaluatedModel, tmp_path: Path
) -> None:
    board = load_registry(modules=()).get("boards", BOARD)
    again, _ = record_of(model, Where(board), tmp_path)
    there, here = record_in(measured), json.loads(again.model_dump_json(by_alias=True))
    where = {"versions", "git_commit", "times"}
    assert {name for name, value in there.items() if value != here[name]} <= where


def test_no_key_of_a_measurement_depends_on_an_extra() -> None:
    from kilobench.closure import code

    found = code("kilobench.measuring.recording", "kilobench.measuring.emulator").packages
    assert not {"torch", "scikit-learn", "scipy", "pandas"} & found.keys()
    assert measuring_code("emulator") and "torch" in versions()


def test_firmware_is_emulated(model: EvaluatedModel, tmp_path: Path) -> None:
    board = load_registry(modules=()).get("boards", BOARD)
    _, program = record_of(model, Where(board), tmp_path)
    assert "m-" in said("emulate", program, "--board", BOARD, given="name%")


def test_what_cannot_be_checked_is_claimed(measured: Path) -> None:
    told = said("submit", measured, "--check", "--output", measured.parent / "none")
    assert "claimed" in told and "verified" not in told.replace("--", "")
    assert "measured again; recipe and accuracy not checked, which needs an extra" in told


@pytest.mark.parametrize(
    "arguments", [["run", "quickstart"], ["test", "xnor"], ["new", "method", "mine"]], ids=" ".join
)
def test_training_says_what_it_needs(arguments: list[str]) -> None:
    done = core(*arguments)
    wanted = f"kilobench: kilobench {arguments[0]} needs an extra: python -m pip install 'kilobench[train]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", wanted)


def test_a_model_is_measured_without_anything_of_posix_alone(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is compiled before: locks, links, processes and files are those of the other system throughout."""
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path / "cache"))
    said("measure", MODEL, "--board", BOARD, "--output", tmp_path / "out", portable=True)
    here, there = record_in(measured), record_in(tmp_path / "out")
    assert {name for name, value in here.items() if value != there[name]} <= {"times"}
    assert not list(tmp_path.rglob("*.part*"))


@pytest.mark.parametrize("arguments", [["list"], ["show", "xnor"], ["data", "list"], ["doctor"]], ids=" ".join)
def test_other_commands_need_nothing_of_posix_alone(arguments: list[str]) -> None:
    done = core(*arguments, portable=True)
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("target", ["x86_64-windows-gnu", "aarch64-windows-gnu", "aarch64-macos", "aarch64-linux-gnu"])
def test_what_counts_cycles_is_compiled_for_other_systems(target: str, tmp_path: Path) -> None:
    """It is run on none of them here."""
    library = tmp_path / "hook"
    flags = ["-target", target, "-O2", "-shared", "-fPIC", "-nostdlib", "-Wall", "-Wextra", "-Werror"]
    zig("cc", *flags, str(ROOT / "kilobench/device/block_hook.c"), output=library, what="the hook")
    assert b"kb_counter_begin" in library.read_bytes()


def test_a_pseudo_terminal_is_asked_for_in_vain(model: EvaluatedModel, tmp_path: Path) -> None:
    board = load_registry(modules=()).get("boards", BOARD)
    _, program = record_of(model, Where(board), tmp_path)
    done = core("emulate", program, "--board", BOARD, "--pty", portable=True)
    assert (done.returncode, done.stderr) == (
        2, "kilobench: this system has no pseudo-terminals; without --pty the board is on standard input\n",
    )  # fmt: skip

# SPDX-License-Identifier: Apache-2.0
"""Every verb of the command line in every surrounding, each in a copy of this process (fork) that has imported all already.

A script: prints JSON, ``{surrounding: {verb: [exit code, standard output, standard error]}}``.
"""

import fcntl
import gc
import io
import json
import os
import pwd
import struct
import sys
import termios
import warnings
from collections.abc import Callable
from pathlib import Path

from kilobench.arguments import parser
from kilobench.cli import main
from kilobench.plugins.registry import load_registry
from kilobench.results.store import Store
from tests.results.records import record

DIGITS = ["--task", "digits", "--board", "nucleo_l476rg"]
VERBS = {
    "run": ["run", *DIGITS, "--recipe", "full", "--dry-run"],
    "tune": ["tune", *DIGITS, "--budget", "flash=32KiB", "--minutes", "1", "--network", "nothing"],
    "log": ["log"],
    "list": ["list"],
    "show": ["show", "xnor"],
    "data": ["data", "list"],
    "boards": ["boards"],
    "emulate": ["emulate", "nothing.elf", "--board", "nucleo_l476rg"],
    "calibrate": ["calibrate", "--board", "nucleo_l476rg", "--on", "serial:nothing"],
    "latency": ["latency", "--port", "nothing"],
    "doctor": ["doctor"],
    "test": ["test", "quickstart"],
    "leaderboard": ["leaderboard", "--output", "nothing"],
    "measure": ["measure", "nothing.safetensors", "--board", "nucleo_l476rg"],
    "export": ["export", "nothing.safetensors", "--to", "c"],
    "submit": ["submit", "results", "--check"],
    "remeasure": ["remeasure", "--check", "--output", "nothing"],
    "verify": ["verify", "--output", "nothing"],
    "compare": ["compare", "int8", "xnor", "--records", "results/records"],
    "advise": ["advise", "--task", "fsdd[classes=5]", "--board", "nucleo_l476rg", "--records", "results/records"],
    "new": ["new", "method", "mine", "--to", "plugins"],
}
"""Cheap ones: for most, what there is to do is very little, or nothing; none computes by threads: copies lack them."""
ODD = 'it\'s: 100% #1; "a" & $b ü\tc'


def closed(*numbers: int) -> Callable[[Path], None]:
    """Standard streams, as a process finds them that is started without."""

    def close(folder: Path) -> None:
        for number in numbers:
            os.close(number)
            setattr(sys, ("stdin", "stdout", "stderr")[number], None)

    return close


def encoded(encoding: str) -> Callable[[Path], None]:
    return lambda folder: open_streams(encoding)


def open_streams(encoding: str) -> None:
    """Standard output and error, as the interpreter opens them."""
    sys.stdout, sys.stderr = (open(n, "w", encoding=encoding, closefd=False) for n in (1, 2))  # noqa: SIM115


def variable(name: str, value: str) -> Callable[[Path], None]:
    return lambda folder: os.environ.update({name: value.format(folder=folder)})


def full(folder: Path) -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def removed(folder: Path) -> None:
    (folder / "removed").mkdir()
    os.chdir(folder / "removed")
    (folder / "removed").rmdir()


def nobody(folder: Path) -> None:
    """A user without a name and a home."""
    for name in ("HOME", "KILOBENCH_CACHE"):
        os.environ.pop(name, None)

    def missing(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    pwd.getpwuid = missing


def narrow(folder: Path) -> None:
    """A terminal of 40 columns."""
    terminal, screen = os.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    copy = os.dup(1)
    if os.fork():  # this one goes on, and ends when the other has read all that it wrote
        os.dup2(screen, 1)
        os.close(terminal)
        os.close(screen)
        open_streams("utf-8")
        return
    os.close(screen)
    while True:
        try:
            os.write(copy, os.read(terminal, 1 << 16))
        except OSError:
            os._exit(0)


def namesakes(folder: Path) -> None:
    """Folders that are called as what there is."""
    for entries in load_registry().entries.values():
        for name in entries:
            (folder / name).mkdir(exist_ok=True)


SURROUNDINGS: dict[str, Callable[[Path], None]] = {
    "plain": lambda folder: None,
    "no standard output": closed(1),
    "no streams": closed(0, 1, 2),
    "full output": full,
    "ascii": encoded("ascii"),
    "no folder": removed,
    "no user": nobody,
    "40 columns": narrow,
    "namesakes": namesakes,
    "warnings": lambda folder: warnings.simplefilter("error"),
    "nothing where it is said": lambda folder: os.environ.update(PATH="", TMPDIR="/nonexistent", KILOBENCH_DATA="/no"),
    "cache in a file": variable("KILOBENCH_CACHE", "{folder}/file"),
    "cache nowhere": variable("KILOBENCH_CACHE", "/proc/nowhere"),
    "cache of odd name": variable("KILOBENCH_CACHE", f"{{folder}}/{ODD}"),
    "plug-ins of odd name": variable("KILOBENCH_PLUGINS", f"{{folder}}/{ODD.replace(':', '')}"),
}


def surrounded(verb: str, surrounding: str, folder: Path) -> list[object]:
    """Exit code, output and errors; 120 is Python's own code where it cannot write what is left in the end."""
    folder.mkdir()
    (folder / "file").touch()
    (folder / ODD.replace(":", "")).mkdir()
    for recipe in ("int8", "xnor"):
        Store(folder / "results" / "records").write(record(recipe))
    files = [folder.with_name(f"{folder.name}.{name}") for name in ("out", "err")]
    end, held = os.pipe()  # by the copy, and by those that it makes of itself
    if not (child := os.fork()):
        os.close(end)
        for number, file in enumerate(files, 1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
        open_streams("utf-8")
        os.chdir(folder)
        SURROUNDINGS[surrounding](folder)
        code = run(VERBS[verb])
        try:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
        except OSError:
            code = 120
        os._exit(code)
    os.close(held)
    _, status = os.waitpid(child, 0)
    os.read(end, 1)  # nothing, once all of them have ended
    os.close(end)
    return [os.waitstatus_to_exitcode(status), *(file.read_text("latin-1") for file in files)]


def run(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as error:
        return int(error.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1


def survey(folder: Path) -> dict[str, dict[str, list[object]]]:
    os.environ |= {"KILOBENCH_CACHE": str(folder / "cache"), "KILOBENCH_PLUGINS": "", "HOME": str(folder)}
    os.chdir(folder)
    shown, sys.stdout = sys.stdout, io.StringIO()
    for arguments in VERBS.values():
        run(arguments)  # imports all that it needs
    sys.stdout = shown
    gc.freeze()
    places = {name: folder / str(number) for number, name in enumerate(SURROUNDINGS)}
    for place in places.values():
        place.mkdir()
    return {
        surrounding: {verb: surrounded(verb, surrounding, place / verb) for verb in VERBS}
        for surrounding, place in places.items()
    }


def verbs() -> list[str]:
    """All that there are."""
    return [name for action in parser()._actions for name in (action.choices or ())]


if __name__ == "__main__":
    print(json.dumps(survey(Path(sys.argv[1]))))

# SPDX-License-Identifier: Apache-2.0
"""How a command begins, whatever it is started in: streams that are closed, full or of another encoding; no folder; Ctrl-C."""

from __future__ import annotations

import codecs
import io
import locale
import os
import signal
import sys
import threading
import unicodedata
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from kilobench.contracts import UserError
from kilobench.lines import one_line

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_PLAIN = {"–": "-", "—": "-", "◆": "*", "×": "x", "…": "...", "µ": "u", "≥": ">=", "°": " degrees "}
"""What stands for signs of ours where an encoding lacks them; of other letters the accents go, and the rest is ``?``."""
_AGAIN = 0.01
"""Seconds until an interrupt comes again."""


def use_utf8() -> None:
    """Begin again in Python's UTF-8 mode, which every Python from 3.15 on is in, where the locale has another encoding.

    So files are read and written as UTF-8 everywhere; what goes to the terminal is still in its own encoding.
    """
    other = codecs.lookup(locale.getencoding()).name != "utf-8" and not sys.flags.utf8_mode
    if other and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.environ.setdefault("PYTHONIOENCODING", getattr(sys.stdout, "encoding", "utf-8"))
        command = [sys.executable, *sys.orig_argv[1:]]
        if os.name == "nt":  # where execv lets the shell go on at once
            import subprocess

            sys.exit(subprocess.run(command, check=False).returncode)
        os.execv(sys.executable, command)


def open_streams() -> None:
    """Let the three standard streams be there, and writing to them never fail for want of a character."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False, encoding="utf-8"))  # noqa: SIM115
    codecs.register_error("kilobench", _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="kilobench")


def require_folder() -> None:
    """Raise UserError where the current folder has been removed: no relative path means anything then."""
    try:
        os.getcwd()
    except OSError:
        raise UserError("the current folder is not there any more; cd to another") from None


def interrupt_once() -> None:
    """Let the first Ctrl-C end what goes on, and those after it, or after the end (``ended``), not disturb how it ends.

    It comes again where it met code whose exceptions nobody can catch: what C calls back, as the emulator does, or finalisers.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
        sys.unraisablehook = _unraisable
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def ended() -> None:
    """What is left is done in no time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def tell(problem: str) -> None:
    """One line to standard error, if that can be written."""
    with suppress(OSError):
        print(f"kilobench: {one_line(problem)}", file=sys.stderr, flush=True)


def give_up_output() -> None:
    """Let nothing more go to standard output: what it cannot take would be told once more when the process ends."""
    with suppress(io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupted(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _unraisable(lost: UnraisableHookArgs) -> None:
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
    else:
        signal.signal(signal.SIGINT, _interrupted)
        threading.Timer(_AGAIN, _interrupt).start()


def _interrupt() -> None:
    """The main thread, even where it waits in a system call."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(char: str) -> str:
    letters = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    return _PLAIN.get(char) or letters or "?"

# SPDX-License-Identifier: Apache-2.0
"""Every option and argument of every command against values that mean nothing: one bounded line, nothing trained."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from kilobench.arguments import parser
from kilobench.cli import main

HOSTILE = ["", "nan", "-1", "9" * 400, "a" * 5000, "a\x1b[31mb\nc", "x[", "../x"]
SINGLE = {"--task": "digits", "--recipe": "full", "--board": "nucleo_l476rg"}
NEEDED = {
    "run": ["--dry-run"],
    "emulate": [__file__],
    "measure": [__file__],
    "compare": ["full", "int8"],
    "latency": [],
}
"""Besides a command's own options that it requires."""
MAY_BE = {
    ("boards", "words", "nan"),  # in Nano
    ("boards", "words", "-1"),
    ("run", "--training", ""), ("run", "--power", ""), ("run", "--device", ""), ("run", "suite", ""), ("log", "cell", ""),
    ("new", "name", "nan"),
}  # fmt: skip
"""What means nothing is asked for."""
FREE = {"--output", "--report", "--to", "--records", "--ray", "folder"}
"""Paths, which may be any, and what only a cluster can answer."""


def commands() -> Iterator[tuple[str, argparse.Action]]:
    subparsers = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in subparsers.choices.items():
        for action in command._actions:
            takes_value = action.nargs != 0 and not isinstance(action, argparse._SubParsersAction)
            if takes_value and action.dest != "help" and not FREE & {*action.option_strings, action.dest}:
                yield name, action


def arguments(command: str, action: argparse.Action, value: str) -> list[str]:
    """A right command line but for one value."""
    subparsers = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    words = [command, *NEEDED.get(command, [])]
    options = dict(SINGLE) if command == "run" else {}
    for other in subparsers.choices[command]._actions:
        if other.required and other.option_strings:
            options[other.option_strings[0]] = SINGLE.get(other.option_strings[0], "1")
    if action.option_strings:
        options[action.option_strings[0]] = value
        return words + [f"{name}={given}" for name, given in options.items()]
    if command == "run":
        return ["run", "--dry-run", "--", value]
    asked = [other for other in subparsers.choices[command]._actions if not other.option_strings]
    usual = {"kind": "method", "action": "verify"}
    given = [
        value if other.dest == action.dest else usual.get(other.dest, "x")
        for other in asked
        if other.required or other.dest == action.dest
    ]
    return [command, *(f"{name}={text}" for name, text in options.items()), "--", *given]


@pytest.mark.parametrize(
    ("command", "action"), [pytest.param(*pair, id=f"{pair[0]}-{pair[1].dest}") for pair in commands()]
)
def test_what_means_nothing_is_refused_in_a_line(
    command: str,
    action: argparse.Action,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path / "cache"))
    for value in HOSTILE:
        try:
            code = main(arguments(command, action, value))
        except SystemExit as error:
            code = error.code  # type: ignore[assignment]
        told = capsys.readouterr().err.removesuffix("\n")
        name = action.option_strings[0] if action.option_strings else action.dest
        assert code in (1, 2) or (command, name, value) in MAY_BE, (command, name, value, told)
        if code:
            assert told.startswith("kilobench: ") and told.isprintable() and len(told) <= 1020, told
    assert not (tmp_path / "cache" / "models").exists()

# SPDX-License-Identifier: Apache-2.0
"""Whatever a command is started in, it works, or says in one line why not."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.commands.surroundings import SURROUNDINGS, VERBS, verbs

Outcome = dict[str, dict[str, tuple[int, str, str]]]
OTHERWISE = {"full output", "no folder", "no user", "cache in a file", "cache nowhere"}
"""Surroundings in which a verb may end otherwise than usually."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    command = [sys.executable, "-m", "tests.commands.surroundings", str(tmp_path_factory.mktemp("surroundings"))]
    root = Path(__file__).parents[2]
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment |= {"PYTHONPATH": str(root), "TERM": "xterm"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: Outcome = json.loads(done.stdout)
    return found


def test_every_verb_is_surveyed() -> None:
    assert sorted(VERBS) == sorted(verbs())


@pytest.mark.parametrize("surrounding", SURROUNDINGS)
@pytest.mark.parametrize("verb", VERBS)
def test_it_works_or_says_why_in_one_line(verb: str, surrounding: str, outcome: Outcome) -> None:
    code, printed, problem = outcome[surrounding][verb]
    usual = outcome["plain"][verb]
    assert code in (0, 1, 2), printed + problem
    for sign in ("Traceback", "Exception ignored", "Errno", "Error:"):
        assert sign not in printed + problem
    told = [line for line in problem.splitlines() if line.startswith("kilobench: ")]
    if code == 2 and surrounding != "no streams":
        assert len(told) == 1 and problem.splitlines()[-1] == told[0]
    if surrounding not in OTHERWISE:
        assert code == usual[0], problem


def test_without_signs_of_ours_nothing_is_lost(outcome: Outcome) -> None:
    usual = outcome["plain"]["advise"][1].encode("latin-1").decode()
    plain = outcome["ascii"]["advise"][1]
    assert {"–", "µ", "°"} < {*usual}
    for sign, instead in (("–", "-"), ("µ", "u"), ("°", " degrees ")):
        usual = usual.replace(sign, instead)
    assert plain == usual


def test_a_narrow_terminal_gets_the_whole_table(outcome: Outcome) -> None:
    """Its lines are wrapped, which is said."""
    usual = outcome["plain"]["boards"][1].encode("latin-1").decode()
    narrow = outcome["40 columns"]["boards"][1].encode("latin-1").decode()
    assert "columns, wrapped: the terminal has 40" in narrow and "…" not in narrow
    assert Counter("".join(usual.split())) <= Counter(narrow)


def test_output_that_cannot_be_written_is_told(outcome: Outcome) -> None:
    for verb, (code, printed, problem) in outcome["full output"].items():
        if outcome["plain"][verb][1]:
            assert (code, printed) == (2, ""), verb
            assert problem == "kilobench: standard output, or a file: No space left on device\n"


def test_a_locale_without_utf_8_changes_no_file(tmp_path: Path) -> None:
    """Python's own streams and files are then in ASCII: a suite's title and a plug-in's text come through all the same."""
    (tmp_path / "s.yaml").write_text(
        "title: Größe\ntasks: [digits]\nrecipes: [full]\nboards: [nucleo_l476rg]\n", encoding="utf-8"
    )
    settings = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "KILOBENCH_CACHE": str(tmp_path / "c")}
    command = [sys.executable, "-m", "kilobench", "run", str(tmp_path / "s.yaml"), "--dry-run"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}
    done = subprocess.run(command, env=environment | settings, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"Grosse\n") or done.stdout.startswith(b"Gro?e\n")

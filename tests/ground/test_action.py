# SPDX-License-Identifier: Apache-2.0
"""action.yml: what it says holds, and what it runs does its work, as far as that can be told without GitHub."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.report.subjects import graph_file, small, two_outputs

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "action.yml").read_text()
ACTION: dict[str, Any] = yaml.safe_load(TEXT)
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
MEASURE = next(step for step in STEPS if step.get("id") == "measure")


def test_every_input_is_used_and_every_use_is_an_input() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert set(re.findall(r"inputs\.([\w-]+)", TEXT)) == set(ACTION["inputs"])
    for name, value in ACTION["inputs"].items():
        assert value["description"] and (value.get("required") or "default" in value), name


def test_other_actions_are_those_of_the_workflows() -> None:
    pinned = {
        use
        for file in (ROOT / ".github/workflows").glob("*.yml")
        for use in re.findall(r"uses: (.*)", file.read_text())
    }
    assert set(re.findall(r"uses: (.*)", TEXT)) <= pinned


def test_nothing_of_a_pull_request_is_pasted_into_a_script() -> None:
    scripts = [step["run"] for step in STEPS if "run" in step]
    assert len(scripts) == 4 and all("${{" not in script for script in scripts)
    assert all(step["shell"] == "bash" for step in STEPS if "run" in step)


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A clone whose head has another model than its origin."""
    (origin := tmp_path / "origin").mkdir()
    git(origin, "init", "--quiet")
    graph_file(origin, small(), "my model")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", "base")
    git(tmp_path, "clone", "--quiet", str(origin), "head")
    graph_file(tmp_path / "head", two_outputs("int8"), "my model")
    (tmp_path / "bin").mkdir()
    for name, words in (("kilobench", "-m kilobench"), ("python", "")):
        (program := tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def measured(place: Path, **values: str) -> tuple[int, dict[str, str]]:
    """Exit code and outputs of the step that measures."""
    settings = dict.fromkeys(MEASURE["env"], "") | {
        "MODEL": "my model.safetensors",
        "BOARDS": "nucleo_l476rg raspberry_pi_pico",
        "WORK": str(place / "work"),
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GITHUB_OUTPUT": str(place / "output"),
        "GITHUB_STEP_SUMMARY": str(place / "summary"),
    }
    assert set(MEASURE["env"]) == {"MODEL", "BOARDS", "ROUNDING", "LIMITS", "BASE", "WORK"}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", MEASURE["run"]]
    done = subprocess.run(command, cwd=place / "head", env=os.environ | settings | values, check=False)
    lines = (place / "output").read_text().splitlines()
    return done.returncode, dict(line.split("=", 1) for line in lines)


def test_it_compares_with_the_base(place: Path) -> None:
    base = git(place / "origin", "rev-parse", "HEAD")
    code, outputs = measured(place, BASE=base, LIMITS="flash=1KiB")
    assert code == 0 and outputs["code"] == "1" and Path(outputs["report"]).is_file()
    summary = (place / "summary").read_text()
    assert summary.startswith("### my model.safetensors") and "The model changed" in summary
    assert re.search(r"\| nucleo_l476rg \| [\d.]+ \([+-]", summary) or "raspberry_pi_pico" in summary


def test_without_a_base_the_figures_stand_alone(place: Path) -> None:
    code, outputs = measured(place)
    assert code == 0 and outputs["code"] == "0"
    assert "The base has no such model" in (place / "summary").read_text()


def test_what_cannot_be_measured_ends_it(place: Path) -> None:
    (place / "head" / "my model.safetensors").write_bytes(b"nothing")
    code, outputs = measured(place)
    assert code == 2 and outputs["code"] == "2"

# SPDX-License-Identifier: Apache-2.0
"""Workflows and issue forms: they can be read, and name what there is."""

import re
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github").rglob("*.yml"))


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "workflows"], ids=lambda path: path.stem)
def test_workflows_use_commands_and_environments_that_there_are(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] and all(job["timeout-minutes"] for job in workflow["jobs"].values())
    text = path.read_text()
    environments = (ROOT / "tox.ini").read_text()
    assert all(f"[testenv:{name}]" in environments for name in re.findall(r"tox run -e (\w+)", text))
    commands = (ROOT / "kilobench" / "cli.py").read_text()
    assert all(f'"{name}": _' in commands for name in re.findall(r"run: kilobench (\w+)", text))
    assert all((ROOT / name).is_file() for name in re.findall(r"bash (\S+)", text))


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "ISSUE_TEMPLATE"], ids=lambda path: path.stem)
def test_issue_forms_are_complete(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    if path.stem == "config":
        return
    assert {"name", "description", "title", "labels", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)


def test_every_suite_is_an_environment() -> None:
    """Each of its own name, so that none is given another's suite."""
    parser = ConfigParser(interpolation=None)
    parser.read(ROOT / "tox.ini")
    (section,) = (name for name in parser.sections() if name.startswith("testenv:bench-{"))
    suites = {path.stem for path in (ROOT / "benchmarks").glob("*.yaml")}
    assert set(section.partition("{")[2].rstrip("}").split(",")) == suites
    commands = parser[section]["commands"].strip().splitlines()
    assert set(commands) == {f"{name}: kilobench run {name} {{posargs}}" for name in suites} and len(commands) == len(
        suites
    )


def test_there_is_a_form_for_everything_that_is_contributed() -> None:
    assert {path.stem for path in FILES} >= {"method", "task", "board", "result"}

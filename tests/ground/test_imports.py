# SPDX-License-Identifier: Apache-2.0
"""The import rules of docs/architecture.md."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "kilobench"
CONTRIBUTIONS = [path for kind in ("methods", "tasks", "networks") for path in sorted((ROOT / kind).glob("*.py"))]
ABOVE_ALL = ("__init__", "__main__", "contrib")
"""The package itself, the way in, and the name under which contributions are imported."""
_KNOW_RECORDS = (
    "stats",
    "student",
    "rows",
    "table",
    "contest",
    "budgets",
    "headline",
    "longer",
    "claims",
    "study",
    "ratios",
)
"""Of results/: what makes tables."""


@cache
def order() -> list[str]:
    """Folders and modules of the engine from the top down, as docs/architecture.md draws the house."""
    house = (ROOT / "docs/architecture.md").read_text().split("```house\n")[1].split("```")[0]
    return [name.rstrip("/").removesuffix(".py") for line in house.splitlines() for name in line.split("  ")[0].split()]


def modules() -> dict[str, Path]:
    """All modules of the engine by dotted name without "kilobench."."""
    paths = (path.relative_to(ENGINE).with_suffix("") for path in sorted(ENGINE.rglob("*.py")))
    return {".".join(path.parts).removesuffix(".__init__"): (ENGINE / path).with_suffix(".py") for path in paths}


def imports(path: Path) -> Iterator[str]:
    """Whatever a file imports of the engine, at its top or in a function, by statement or by name in a call."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            text = ast.unparse(node.args[0]).lstrip("f").strip("'\"")
            if text.startswith("kilobench."):
                yield text.split("{")[0].rstrip(".")


def engine_imports(path: Path) -> set[str]:
    """The engine's modules that a file imports."""
    known = modules()
    found = set()
    for name in imports(path):
        if name.startswith("kilobench."):
            parts = name.removeprefix("kilobench.").split(".")
            inside = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
            found.add(next((module for module in inside if module in known), parts[0]))
    return found


def test_the_house_has_every_room() -> None:
    rooms = {name.split(".")[0] for name in modules()} - set(ABOVE_ALL)
    assert set(order()) == rooms
    assert len(order()) == len(rooms)


@pytest.mark.parametrize("name", sorted(set(modules()) - set(ABOVE_ALL)))
def test_imports_run_downwards_only(name: str) -> None:
    place = order().index(name.split(".")[0])
    for found in engine_imports(modules()[name]):
        assert order().index(found.split(".")[0]) >= place, f"{name} imports {found}, which is above it"


def test_no_modules_import_each_other() -> None:
    known = modules()
    graph = {name: {f for f in engine_imports(path) if f != name} for name, path in known.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle


@pytest.mark.parametrize("path", CONTRIBUTIONS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_contributions_import_the_api_alone(path: Path) -> None:
    allowed = re.compile(rf"api\b|contrib\.{path.parent.name}\._")
    found = {name.removeprefix("kilobench.") for name in imports(path) if name.startswith("kilobench.")}
    assert not [name for name in found if not allowed.match(name)]


def test_nothing_imports_a_contribution_statically() -> None:
    for path in ENGINE.rglob("*.py"):
        assert not [name for name in imports(path) if name.startswith("kilobench.contrib.")], path


@pytest.mark.parametrize(
    "path",
    [
        *(ENGINE / f"results/{name}.py" for name in _KNOW_RECORDS),
        *(ENGINE / "render").glob("*.py"),
    ],
    ids=lambda p: p.name,
)
def test_render_and_statistics_know_only_records(path: Path) -> None:
    known = {"record", "plugins.spec", "plugins.budget"}  # these two: what texts in records mean
    known |= {f"results.{name}" for name in _KNOW_RECORDS}
    known |= {"results.energy", "results.elsewhere"}  # know of boards what they are given
    assert not {name for name in engine_imports(path) if not name.startswith("render")} - known


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["show", "xnor"], ["data", "--help"]])
def test_listing_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, kilobench.cli\n"
        f"try: kilobench.cli.main({arguments!r})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pydantic', 'rich', 'altair', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"

"""The import rules of docs/architecture.md."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_api_imports_nothing_of_kilobench() -> None:
    assert not [name for name in imports(ROOT / "kilobench/api.py") if name.startswith("kilobench")]


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("methods/*.py")) + sorted(ROOT.glob("tasks/*.py")), ids=lambda p: p.name
)
def test_contributions_import_only_the_api(path: Path) -> None:
    assert {name for name in imports(path) if name.startswith("kilobench")} <= {"kilobench.api"}


def test_nothing_imports_a_contribution_statically() -> None:
    for path in (ROOT / "kilobench").rglob("*.py"):
        assert not [name for name in imports(path) if name.startswith("kilobench.contrib")], path


@pytest.mark.parametrize(
    "path", [ROOT / "kilobench/stats.py", *(ROOT / "kilobench/render").glob("*.py")], ids=lambda p: p.name
)
def test_render_and_stats_know_only_records(path: Path) -> None:
    known = ("kilobench.record", "kilobench.render", "kilobench.stats")
    assert not [name for name in imports(path) if name.startswith("kilobench") and not name.startswith(known)]


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

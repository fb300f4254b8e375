# SPDX-License-Identifier: Apache-2.0
"""What SECURITY.md says: nothing in the package runs code from data, and installed plug-ins sleep until they are named."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kilobench.cli import main
from kilobench.contracts import UserError
from kilobench.plugins.registry import load_registry
from kilobench.results.store import Store
from kilobench.yamlfile import read_mapping
from tests.results.records import record

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("kilobench", "methods", "tasks", "hardware", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}


def called(call: ast.Call) -> str:
    return ast.unparse(call.func)


def given(call: ast.Call, name: str) -> object:
    """The constant that an argument is, else None."""
    return next(
        (word.value.value for word in call.keywords if word.arg == name and isinstance(word.value, ast.Constant)), None
    )


def findings(tree: ast.AST) -> Iterator[str]:
    """Everything in a source file through which data could become code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            names = [module, *(alias.name for alias in node.names)]
            yield from (f"import {name}" for name in names if name.split(".")[0] in RUNS_CODE)
        if not isinstance(node, ast.Call):
            continue
        name, last = called(node), called(node).rpartition(".")[2]
        if name in ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp"):
            yield name
        if given(node, "shell") is True:
            yield "a shell"
        if name == "torch.load" and given(node, "weights_only") is not True:
            yield "torch.load without weights_only"
        if name.startswith("yaml.") and last in ("load", "load_all", "full_load", "unsafe_load"):
            yield name
        if name in ("np.load", "numpy.load") and given(node, "allow_pickle") is not False:
            yield "np.load without allow_pickle=False"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_code_from_data(path: Path) -> None:
    assert list(findings(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from torch.serialization import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, yaml.SafeLoader)",
        "yaml.unsafe_load(text)",
        "eval(text)",
        "np.load(path, allow_pickle=True)",
        "np.load(path)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_test_finds_what_it_looks_for(text: str) -> None:
    assert list(findings(ast.parse(text)))


# Installed plug-ins


PACKAGE = """
import os
from pathlib import Path
Path(os.environ["LOADED"]).write_text("loaded")
from kilobench.api import Method, Task
class Mine(Method):
    "Does nothing."
    name = "mine"
    apply = None
class Set(Task):
    "Of nothing."
    name = "set"
    kind = "image"
    network = "resnet8"
    class_count, input_shape, load = 2, (1, 8, 8), None
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is there once the code of an installed package has run."""
    site, loaded = tmp_path / "site", tmp_path / "loaded"
    info = site / "mine_pkg-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "mine_pkg.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-pkg\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[kilobench.methods]\nmine = mine_pkg:Mine\nother = mine_pkg\nbad = no_such_module\n"
        "[kilobench.tasks]\nset = mine_pkg\n"
    )
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("LOADED", str(loaded))
    monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{ROOT}")
    monkeypatch.delitem(sys.modules, "mine_pkg", raising=False)
    return loaded


@pytest.mark.parametrize(
    "arguments", [["list"], ["show", "xnor"], ["data", "list"], ["test", "nucleo_l476rg"], ["doctor"]], ids=" ".join
)
def test_an_installed_plug_in_is_listed_and_not_run(arguments: list[str], installed: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "kilobench", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if arguments == ["list"]:
        assert re.search(r"^  mine +not loaded: of the package mine-pkg 1\.2$", done.stdout, re.MULTILINE)
    assert not installed.exists()


def test_an_installed_plug_in_runs_when_it_is_asked_for_by_name(installed: Path) -> None:
    registry = load_registry()
    registry.get("methods", "xnor")
    assert not installed.exists()
    assert registry.get("methods", "mine").name == "mine" and installed.exists()
    assert registry.entries["methods"]["mine"].summary == "Does nothing."
    with pytest.raises(UserError, match="mine_pkg cannot be used: it has no method called 'other'"):
        registry.get("methods", "other")
    with pytest.raises(UserError, match="no_such_module cannot be used: ModuleNotFoundError"):
        registry.get("methods", "bad")
    assert registry.get("tasks", "set").name == "set"


def test_show_and_test_ask_by_name(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "mine"]) == 0
    assert "Does nothing." in capsys.readouterr().out
    assert main(["data", "verify", "set"]) == 2
    assert "set has no data to get" in capsys.readouterr().err
    assert main(["test", "bad"]) == 1
    assert "FAILED  bad: can be imported" in capsys.readouterr().out


# YAML


def laughs(depth: int) -> str:
    lines = ["a0: &a0 [ha, ha]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, depth)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (laughs(60), "a suite has no anchors, aliases and merges"),
        ("title: " + "x" * 70_000, "a suite of more than 65536 bytes"),
        ("[" * 60_000, "a suite is not nested more than 10 deep"),
        (
            "title: !!python/object/apply:os.system ['false']",
            "a suite names no types, as 'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        ("title: \xff", "cannot be read as YAML"),
        ('title: "two\\nlines"', "is not one line of text"),
        ('{deep: [{key: "\\e[2J"}]}', "is not one line of text"),
        ("1: x", "a suite is a mapping"),
        ("", "a suite is a mapping"),
    ],
)
def test_yaml_is_small_plain_and_one_mapping(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as caught:
        read_mapping(path, "a suite")
    assert message in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: nucleo_l476rg", "name: ../../x", "a board's name is of lower-case letters"),
        ("clock_hz: 80000000", "clock_hz: fast", "clock_hz: 'fast' is not a whole number from 1000000 to"),
        ("core: cortex-m4f", "core: [cortex-m4f]", "no core"),
    ],
)
def test_boards_are_checked_for_types(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = load_registry().find("boards", "nucleo_l476rg").path.read_text()
    assert old in text
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "x.yaml").write_text(text.replace(old, new))
    assert message in load_registry([str(tmp_path)]).entries["boards"]["x"].broken


def test_an_empty_suite_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "empty.yaml").write_text("")
    assert main(["--plugins", str(tmp_path), "list", "suites"]) == 0
    assert "  empty " in capsys.readouterr().out


# Records


@pytest.mark.parametrize(
    "changes",
    [
        {"network": ".."},
        {"task": "../../x"},
        {"recipe": "full`<script>alert(1)</script>"},
        {"board": "x|y"},
        {"task": "[free](http://example.org)"},
        {"toolchain": "zig <img src=x>"},
        {"command": "kilobench run --task digits; rm -rf ~"},
        {"command": "kilobench run --task $(rm -rf ~)"},
        {"command": "rm -rf ~"},
        {"command": "kilobench run 'unfinished"},
        {"training_changes": "a\nb"},
    ],
    ids=str,
)
def test_records_with_harmful_texts_are_refused(changes: dict[str, str], tmp_path: Path) -> None:
    path = Store(tmp_path).write(record())
    text = path.read_text()
    values = record().model_dump(by_alias=True)
    path.write_text(json.dumps(values | changes))
    with pytest.raises(UserError, match=f"no valid record: {next(iter(changes))}: ") as caught:
        Store(tmp_path).read_all()
    assert "\n" not in str(caught.value)
    path.write_text(text.replace('"cycles": 8000000', '"cycles": NaN'))
    with pytest.raises(UserError, match="no valid record"):
        Store(tmp_path).read_all()


def test_records_of_any_size_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    with path.open("wb") as file:
        file.truncate(1 << 25)
    with pytest.raises(UserError, match="it has more than 16777216 bytes"):
        Store(tmp_path).read_all()

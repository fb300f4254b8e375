# SPDX-License-Identifier: Apache-2.0
"""What changes which key: a copy of the project is edited, and its keys are asked for anew."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from kilobench.closure import code, digest_of
from kilobench.keys import COSTING, EVALUATING, MEASURING, TRAINING

ROOT = Path(__file__).parents[2]
KEYS = """
import json, sys
from kilobench.plugins.registry import load_registry
from kilobench.runs.plan import plan, points
from kilobench.plugins.suites import Suite
options = json.loads(sys.argv[1])
suite = Suite("t", (options.get("task", "digits"),), (options.get("recipe", "int8"),), ("nucleo_l476rg",),
              validation=options.get("validation", False), budgets=(options.get("budget", "none"),))
arguments = [options.get("toolchain", "zig"), 2, "", options.get("device", "cpu")]
registry = load_registry()
(cell,) = plan(points(suite, registry, options.get("link", "emulator"), *arguments), registry)
keys = {"train": cell.model.stages[0].key, "stage": cell.model.stages[-1].key,
        "evaluate": cell.model.evaluation_key, "measure": cell.key}
print(json.dumps(keys))
"""
"""Prints keys."""
ALL = {"train", "stage", "evaluate", "measure"}
METHOD = "from kilobench.api import Method\nclass Mine(Method):\n    'Mine.'\n    name, reference = 'mine', 'none'\n"
APPLY = "    def apply(self, model, job):\n        return model\n"


def keys(project: Path, plugins: Path | None = None, path: Path | None = None, **options: object) -> dict[str, str]:
    environment = os.environ | {"PYTHONPATH": str(project), "KILOBENCH_PLUGINS": str(plugins or "")}
    if path is not None:
        environment["PATH"] = f"{path}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-c", KEYS, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=project)
    assert done.returncode == 0, done.stderr
    result: dict[str, str] = json.loads(done.stdout)
    return result


@cache
def unedited(project: Path, options: str) -> dict[str, str]:
    return keys(project, **json.loads(options))


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def edited(project: Path, name: str, edit: Callable[[str], str], **options: object) -> set[str]:
    """The keys that an edit of a file changes; the file is put back."""
    before, file = unedited(project, json.dumps(options)), project / name
    text = file.read_text()
    assert edit(text) != text
    file.write_text(edit(text))
    try:
        return changed(before, keys(project, **options))  # type: ignore[arg-type]
    finally:
        file.write_text(text)


def code_added(text: str) -> str:
    return f"{text}\nADDED = 1\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kilobench/learn/train.py", ALL),
        ("kilobench/learn/stage.py", ALL),
        ("kilobench/learn/moduletree.py", ALL),
        ("kilobench/data/splits.py", ALL),
        ("kilobench/data/loading.py", ALL),
        ("tasks/digits.py", ALL),
        ("networks/resnet.py", ALL),
        ("networks/_residual.py", ALL),
        ("kilobench/learn/quantise.py", ALL - {"train"}),
        ("methods/int8.py", ALL - {"train"}),
        ("kilobench/compile/simulate.py", {"evaluate", "measure"}),
        ("kilobench/compile/emit.py", {"evaluate", "measure"}),
        ("kilobench/measuring/evaluate.py", {"evaluate", "measure"}),
        ("hardware/kernels/conv2d_s8.c", {"evaluate", "measure"}),
        ("kilobench/device/emulator.py", {"measure"}),
        ("kilobench/measuring/recording.py", {"measure"}),
        ("hardware/firmware/main.c", {"measure"}),
        ("hardware/firmware/crc32.c", {"evaluate", "measure"}),
        ("hardware/platformio/builder/main.py", {"measure"}),
        ("kilobench/device/timing/cortex_m4.py", {"measure"}),
        ("kilobench/device/block_hook.c", {"measure"}),
        ("kilobench/compile/ops/add.py", {"evaluate", "measure"}),
        ("kilobench/learn/pruning.py", set()),
        ("methods/prune.py", set()),
        ("tasks/fsdd.py", set()),
        ("networks/acdnet.py", set()),
        ("kilobench/cli.py", set()),
        ("kilobench/commands/latency.py", set()),
        ("kilobench/results/stats.py", set()),
        ("kilobench/render/markdown.py", set()),
        ("kilobench/runs/executors.py", set()),
        ("kilobench/device/arduino.py", set()),
        ("kilobench/measuring/serial.py", set()),
    ],
)
def test_an_edit_changes_what_it_can_change(name: str, expected: set[str], project: Path) -> None:
    added = (lambda text: f"{text}\nint added;\n") if name.endswith(".c") else code_added
    assert edited(project, name, added) == expected


def test_comments_doc_strings_and_layout_change_nothing(project: Path) -> None:
    def reworded(text: str) -> str:
        first, rest = text.split('"""', 2)[0], text.split('"""', 2)[2]
        return f'{first}"""Other words."""{rest}\n\n# A comment\n'

    assert edited(project, "kilobench/learn/train.py", reworded) == set()
    for c in ("hardware/kernels/conv2d_s8.c", "hardware/kernels/kb_dsp.h", "kilobench/device/block_hook.c"):
        assert edited(project, c, lambda text: f"/* another\n   first */\n\n{text}\n    // and last\n") == set()


def test_what_looks_like_a_comment_is_none_within_a_string(tmp_path: Path) -> None:
    of = []
    for number, text in enumerate(('"/* a */" /* b */', '"/* c */"', "'\"' /* \" */ d", "'\"' d", 'e // "', "e")):
        (file := tmp_path / str(number) / "x.c").parent.mkdir()
        file.write_text(text)
        of.append(digest_of([file.rename(tmp_path / "x.c")]))
    assert [of[0] == of[1], of[2] == of[3], of[4] == of[5]] == [False, False, True]


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("hardware/boards/nucleo_l476rg.yaml", "title: ", "title: Another ", set()),
        ("hardware/boards/nucleo_l476rg.yaml", "0483:374B", "0483:374C", set()),
        ("hardware/boards/nucleo_l476rg.yaml", "  ma: 10", "  ma: 11", set()),
        ("hardware/boards/nucleo_l476rg.yaml", "platform: ststm32@", "platform: ststm32@1", set()),
        ("hardware/platformio/boards/emulated.json", "Emulated board", "Another", {"measure"}),
        ("hardware/boards/nucleo_l476rg.yaml", "clock_hz: 8", "clock_hz: 7", {"measure"}),
        ("hardware/cores/cortex-m4f.yaml", "title: ", "title: Another ", set()),
        ("hardware/cores/cortex-m4f.yaml", "-mcpu=cortex_m4", "-mtune=cortex_m4 -mcpu=cortex_m4", {"measure"}),
        ("hardware/cores/cortex-m7.yaml", "features: ", "features: [fpu] #", set()),
        ("hardware/firmware/ports/arduino/counter.h", "#", "int a;\n#", set()),
        ("hardware/firmware/ports/emulated/port.c", "#", "int a;\n#", {"measure"}),
    ],
)
def test_boards_and_ports_count_where_they_are_used(
    name: str, old: str, new: str, expected: set[str], project: Path
) -> None:
    assert edited(project, name, lambda text: text.replace(old, new, 1)) == expected


def test_the_arduino_port_counts_for_real_boards(project: Path) -> None:
    name = "hardware/firmware/ports/arduino/counter.h"
    assert edited(project, name, lambda text: f"int a;\n{text}", link="serial") == {"measure"}
    assert edited(project, "kilobench/device/arduino.py", code_added, link="serial") == {"measure"}
    newer = lambda text: text.replace("platform: ststm32@", "platform: ststm32@1")  # noqa: E731
    assert edited(project, "hardware/boards/nucleo_l476rg.yaml", newer, link="serial") == {"measure"}
    assert edited(project, "kilobench/device/emulator.py", code_added, link="serial") == set()


def test_a_method_that_measures_depends_on_how_it_does(project: Path, tmp_path: Path) -> None:
    """As one does that makes a network as large as a budget allows."""
    how = {"recipe": "prune", "budget": "64KiB"}
    assert edited(project, "kilobench/device/emulator.py", code_added, **how) == ALL - {"train"}
    assert edited(project, "kilobench/compile/emit.py", code_added, **how) == ALL - {"train"}
    assert edited(project, "kilobench/device/emulator.py", code_added, recipe="prune") == {"measure"}
    compiler(tmp_path, "12.2.1")
    gcc, zig = (keys(project, path=tmp_path, toolchain=name, **how) for name in ("gcc", "zig"))
    assert changed(gcc, zig) == ALL - {"train"}


def compiler(folder: Path, version: str) -> None:
    """A gcc that says its version."""
    (folder / "arm-none-eabi-gcc").write_text(f"#!/bin/sh\necho {version}\n")
    (folder / "arm-none-eabi-gcc").chmod(0o755)


def test_the_version_of_gcc_counts(project: Path, tmp_path: Path) -> None:
    compiler(tmp_path, "12.2.1")
    before = keys(project, path=tmp_path, toolchain="gcc")
    compiler(tmp_path, "13.3.1")
    assert changed(before, keys(project, path=tmp_path, toolchain="gcc")) == {"measure"}


def test_the_device_and_a_validation_part_count(project: Path) -> None:
    assert changed(keys(project), keys(project, device="cuda")) == ALL
    assert changed(keys(project), keys(project, validation=True)) == ALL


def test_partial_data_that_is_allowed_but_not_there_changes_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(project)
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    assert keys(project) == before


def plugins(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_plug_in_is_its_own_file_whatever_else_has_its_name(project: Path, tmp_path: Path) -> None:
    task = (ROOT / "tasks/digits.py").read_text().replace('"digits"', '"mine"')
    plugins(tmp_path, methods__mine=METHOD + APPLY, tasks__mine=task)
    before = keys(project, tmp_path, task="mine", recipe="mine")
    plugins(tmp_path, methods__mine=METHOD + APPLY + "CHANGED = 1\n")
    after = keys(project, tmp_path, task="mine", recipe="mine")
    assert changed(before, after) == ALL - {"train"}
    plugins(tmp_path, tasks__mine=task + "\nCHANGED = 1\n")
    assert changed(after, keys(project, tmp_path, task="mine", recipe="mine")) == ALL


@pytest.mark.parametrize("statement", ["from . import helper", "import helper"])
def test_what_a_plug_in_imports_counts(statement: str, project: Path, tmp_path: Path) -> None:
    method = f"{METHOD}    def apply(self, model, job):\n        {statement}\n        return helper.same(model)\n"
    plugins(tmp_path, methods__mine=method, methods___unused="", methods__helper="import deeper\nsame = deeper.same\n")
    plugins(tmp_path, methods__deeper="def same(model):\n    return model\n")
    before = keys(project, tmp_path, recipe="mine")
    plugins(tmp_path, methods__deeper="def same(model):\n    return model.eval()\n")
    assert changed(before, keys(project, tmp_path, recipe="mine")) == ALL - {"train"}
    plugins(tmp_path, methods___unused="CHANGED = 1\n")
    assert changed(before, keys(project, tmp_path, recipe="mine")) == ALL - {"train"}


def test_closures_hold_what_they_should_and_no_more() -> None:
    training = code(*TRAINING)
    rooms = {name.split("/")[1] for name in training.files}
    assert not rooms & {"compile", "device", "measuring", "results", "runs", "render", "commands", "cli.py"}
    assert {"torch", "numpy", "safetensors"} <= set(training.packages)
    assert "kilobench/compile/simulate.py" in code(*EVALUATING).files
    assert {"capstone", "unicorn", "platformio"} <= set(code(*MEASURING, "kilobench.measuring.emulator").packages)
    assert {"capstone", "unicorn", "platformio"} <= set(code(*COSTING).packages)


def test_cached_sounds_depend_on_their_tools() -> None:
    words = code(ROOT / "tasks/spoken_words.py")
    assert {"espeakng-loader", "soxr", "numpy"} <= set(words.packages)
    assert "kilobench/data/audio.py" in words.files
    assert "torch-pruning" in code(ROOT / "methods/prune.py").packages
    assert "scikit-learn" in code(ROOT / "tasks/digits.py").packages


def test_what_is_imported_by_a_name_made_at_run_time_is_known() -> None:
    """Such an import is no part of a closure, unless its name begins with that of the folder."""
    found = set()
    for path in (ROOT / "kilobench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
                name = node.args[0]
                made = name.values[0] if isinstance(name, ast.JoinedStr) else name
                if not isinstance(made, ast.Constant):
                    found.add(str(path.relative_to(ROOT / "kilobench")))
    assert found <= {
        "api.py",
        "measuring/recording.py",
        "plugins/registry.py",
        "plugins/loading.py",
        "learn/moduletree.py",
    }

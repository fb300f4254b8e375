# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

import pytest

from kilobench.contracts import UserError
from kilobench.plugins.cores import timing_label
from kilobench.plugins.names import module_name, outside
from kilobench.plugins.registry import load_registry
from kilobench.runs.suite import load_suite

METHOD = '''
from kilobench.api import Method
class {cls}(Method):
    """Does nothing."""
    name = "{name}"
    reference = "none"
    def apply(self, model, job):
        return model
'''


def test_contributions_have_one_importable_name() -> None:
    xnor = load_registry().find("methods", "xnor").value
    assert isinstance(xnor, type)
    assert xnor.__module__ == "kilobench.contrib.methods.xnor"


def test_plugins_are_found_in_folders_and_files(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "a.py").write_text(METHOD.format(cls="A", name="a"))
    (tmp_path / "b.py").write_text(METHOD.format(cls="B", name="b"))
    assert "a" in load_registry([str(tmp_path)]).entries["methods"]
    assert "b" in load_registry([str(tmp_path / "b.py")]).entries["methods"]


def test_duplicates_name_both_files_and_break_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(METHOD.format(cls="Mine", name="xnor"))
    registry = load_registry([str(tmp_path)])
    with pytest.raises(UserError, match=r"two methods are called 'xnor': .*xnor\.py and .*mine\.py"):
        registry.get("methods", "xnor")
    assert registry.get("methods", "prune").keep == 0.1


def test_a_broken_file_takes_no_name_from_others(tmp_path: Path) -> None:
    (tmp_path / "xnor.py").write_text("import nothing_of_this_name")
    registry = load_registry([str(tmp_path)])
    assert registry.get("methods", "xnor").name == "xnor"
    assert registry.entries["methods"][str(tmp_path / "xnor.py")].broken


def test_only_the_files_that_are_named_are_imported(tmp_path: Path) -> None:
    for name in ("named", "other"):
        (tmp_path / f"{name}.py").write_text(METHOD.format(cls="Mine", name=name))
    wanted = module_name(tmp_path / "named.py")
    registry = load_registry([str(tmp_path)], [wanted])
    assert registry.entries["methods"].keys() & {"named", "other"} == {"named"}
    assert module_name(tmp_path / "other.py") not in sys.modules
    assert outside([registry.get("methods", name) for name in ("named", "xnor")]) == (wanted,)


def test_a_separator_of_paths_may_be_in_one(tmp_path: Path) -> None:
    folder = tmp_path / "a:b c"
    folder.mkdir()
    (folder / "mine.py").write_text(METHOD.format(cls="Mine", name="mine"))
    assert load_registry([str(folder / "mine.py")]).get("methods", "mine").name == "mine"


def test_a_broken_plugin_is_listed_with_its_reason_and_breaks_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import nothing_of_this_name")
    registry = load_registry([str(tmp_path)])
    assert "No module named 'nothing_of_this_name'" in registry.entries["methods"]["bad"].summary
    assert registry.get("methods", "prune").keep == 0.1
    with pytest.raises(UserError, match="cannot be used: ModuleNotFoundError"):
        registry.get("methods", "bad")


def test_unknown_names_give_the_nearest() -> None:
    with pytest.raises(UserError, match="no method 'xnro'; nearest is 'xnor'"):
        load_registry().get("methods", "xnro")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: [digits]\nrecipes: [full]\nbords: [x]", "no key 'bords'; nearest is 'boards'"),
        ("title: t\ntasks: [digits]\nrecipes: [int8+prune]\nboards: [nucleo_l476rg]", "prune cannot follow int8"),
        ("title: t\ntasks: ['fsdd[classes=11]']\nrecipes: [full]\nboards: [nucleo_l476rg]", "from 2 to 10, not 11"),
        ("title: t\ntasks: [digits]\nrecipes: [full]\nboards: [nucleo_l476]", "nearest is 'nucleo_l476rg'"),
        ("title: t\ntasks: [digits]\nrecipes: [full]", "key 'boards' is missing"),
        ("title: t\ntasks: digits\nrecipes: [full]\nboards: [x]", "tasks: 'digits' is no list of texts"),
        ("- a", "a suite is a mapping"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_suites_are_checked(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load_suite(path, load_registry())
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_boards_are_checked(tmp_path: Path) -> None:
    (tmp_path / "boards").mkdir()
    good = Path(load_registry().find("boards", "nucleo_l476rg").path).read_text()
    (tmp_path / "boards" / "x.yaml").write_text(good.replace("nucleo_l476rg", "x").replace("clock_hz", "clock_khz"))
    assert "no key 'clock_khz'; nearest is 'clock_hz'" in load_registry([str(tmp_path)]).entries["boards"]["x"].broken


def test_estimated_cycles_are_told_apart() -> None:
    labels = {
        name: timing_label(load_registry().get("boards", name).core) for name in ("nucleo_l476rg", "nucleo_f767zi")
    }
    assert labels == {"nucleo_l476rg": "emulated cortex-m4", "nucleo_f767zi": "estimated cortex-m7"}


def test_a_file_given_twice_is_one_contribution(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(METHOD.format(cls="Mine", name="mine"))
    registry = load_registry([str(tmp_path), str(tmp_path / "mine.py")])
    assert registry.entries["methods"]["mine"].path == tmp_path / "mine.py"


def test_an_operator_is_listed_whatever_mark_its_file_begins_with(tmp_path: Path) -> None:
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops/marked.py").write_bytes('\ufeff"""Größer."""\r\n'.encode())
    assert load_registry([str(tmp_path)]).entries["ops"]["marked"].summary == "Größer."

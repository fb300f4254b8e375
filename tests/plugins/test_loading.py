# SPDX-License-Identifier: Apache-2.0
"""Plug-in files as modules: names that never meet, what is beside them, and what is left behind in the process (nothing)."""

import inspect
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from kilobench.plugins.loading import load_file, undisturbed
from kilobench.plugins.names import PLUGIN_PREFIX, module_name
from kilobench.plugins.registry import load_registry

METHOD = """
from kilobench.api import Method
{imports}
class Mine(Method):
    'Multiplies.'
    name = {name!r}
    factor: float = {factor}
    def apply(self, model, job):
        return model
"""
BARE = "import sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parent))\nimport helper\n"


def written(path: Path, imports: str = "", factor: str = "1.0", name: str = "mine") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(METHOD.format(imports=imports, factor=factor, name=name))
    return path


def test_files_of_one_stem_are_modules_of_their_own(tmp_path: Path) -> None:
    """As ``kilobench new method mine`` and ``kilobench new task mine`` make them."""
    for kind in ("method", "task", "network"):
        command = [sys.executable, "-m", "kilobench", "new", kind, "mine", "--to", str(tmp_path)]
        subprocess.run(command, check=True, capture_output=True)
    registry = load_registry([str(tmp_path)])
    for kind in ("methods", "tasks", "networks"):
        cls = type(registry.get(kind, "mine"))
        assert Path(inspect.getfile(cls)) == tmp_path / kind / "mine.py"
        assert cls.__module__ == module_name(tmp_path / kind / "mine.py")


@pytest.mark.parametrize(
    ("imports", "factor"),
    [("from . import helper", "helper.FACTOR"), ("from .helper import FACTOR", "FACTOR"), (BARE, "helper.FACTOR")],
)
def test_a_helper_is_that_of_the_folder(tmp_path: Path, imports: str, factor: str) -> None:
    files = [written(tmp_path / str(value) / "mine.py", imports, factor, f"mine-{value}") for value in (2, 3)]
    for file in files:
        (file.parent / "helper.py").write_text(f"FACTOR = {file.parent.name}.0\n")
    before = list(sys.path)
    registry = load_registry(list(map(str, files)))
    assert [registry.get("methods", f"mine-{value}").factor for value in (2, 3)] == [2.0, 3.0]
    assert sys.path == before and "helper" not in sys.modules


def test_a_relative_helper_is_a_module_of_the_plug_in(tmp_path: Path) -> None:
    (tmp_path / "_helper.py").write_text("FACTOR = 2.0\n")
    module = load_file(written(tmp_path / "mine.py", "from . import _helper"))
    assert vars(module)["_helper"].__name__ == f"{module.__package__}._helper"
    assert Path(vars(module)["_helper"].__file__) == tmp_path / "_helper.py"
    assert module.__package__.startswith(PLUGIN_PREFIX)


def test_no_compiled_file_stands_for_a_source(tmp_path: Path) -> None:
    """An edit of the same length within the same second is seen by the next process, in a helper as well."""
    path = written(tmp_path / "mine.py", "from .helper import FACTOR", "FACTOR")
    code = (
        "import sys; from kilobench.plugins.registry import load_registry\n"
        "print(load_registry(sys.argv[1:]).get('methods', 'mine').factor)"
    )
    for value in "23":
        (tmp_path / "helper.py").write_text(f"FACTOR = {value}.0\n")
        for file in (path, tmp_path / "helper.py"):
            os.utime(file, (1e9, 1e9))
        done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
        assert done.stdout == f"{value}.0\n"


def test_a_file_name_of_two_dots_is_refused(tmp_path: Path) -> None:
    registry = load_registry([str(written(tmp_path / "mine.v2.py"))])
    assert "has one dot" in registry.entries["methods"]["mine.v2"].broken


DISTURBING = """
import os, sys, tempfile, warnings
os.environ["OMP_NUM_THREADS"] = "7"
os.environ.pop("PATH")
sys.path.append("/nowhere")
os.chdir("/")
warnings.simplefilter("error")
print("said")
"""


def test_what_a_file_changes_around_it_is_put_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = dict(os.environ), list(sys.path), os.getcwd(), list(warnings.filters)
    load_file(written(tmp_path / "disturbing.py", DISTURBING))
    assert (dict(os.environ), list(sys.path), os.getcwd(), list(warnings.filters)) == before
    assert capsys.readouterr() == ("", "said\n")


def test_a_folder_that_is_gone_can_be_worked_in(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(gone)
        gone.rmdir()
        with undisturbed():
            os.chdir("/")

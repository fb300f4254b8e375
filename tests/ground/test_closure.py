# SPDX-License-Identifier: Apache-2.0
"""What the closure of a plug-in holds, whatever way it comes to it, and what it does not."""

import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from kilobench.closure import Code, digest_of
from kilobench.closure import code as cached_code
from kilobench.sources import code_has_changed


def code(file: Path) -> Code:
    return cached_code.__wrapped__(file)


def written(folder: Path, name: str, content: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(content)
    os.utime(path, ns=(before + 1, before + 1))


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import helper", "methods/helper.py"),
        ("from . import helper", "methods/helper.py"),
        ("from .helper import *", "methods/helper.py"),
        ("from .lib.helper import f", "methods/lib/helper.py"),
        ("import lib.helper", "methods/lib/__init__.py"),
        ("import helper", "methods/helper/__init__.py"),
        ("from . import helper", f"methods/helper{EXTENSION_SUFFIXES[0]}"),
        ("import numpy", "methods/numpy.py"),
        ("if not TYPE_CHECKING:\n    import helper", "methods/helper.py"),
        ("importlib.import_module('.helper', __package__)", "methods/helper.py"),
        ("importlib.import_module(name='helper')", "methods/helper.py"),
        ("importlib.import_module(f'{__package__}.helper')", "methods/helper.py"),
        ("importlib.import_module(f'help{1}')", "methods/help1.py"),
        ("importlib.import_module(NAME)", "methods/helper.py"),
        ("sys.path.insert(0, str(Path(__file__).parent / 'lib'))\nimport helper", "methods/lib/helper.py"),
        ("sys.path.insert(0, os.path.join(HERE, 'lib', 'x'))\nimport helper", "methods/lib/x/helper.py"),
        ("sys.path.insert(0, str(Path(__file__).parents[1] / 'lib'))\nimport helper", "lib/helper.py"),
        ("spec_from_file_location('h', HERE / 'odd name.py')", "methods/odd name.py"),
        ("Path(__file__).with_name('weights.npy').read_bytes()", "methods/weights.npy"),
        ("np.load(Path(__file__).parent / 'tables' / 'a.npy')", "methods/tables/a.npy"),
        ("open(os.path.join(os.path.dirname(__file__), '..', 'a.json'))", "a.json"),
    ],
)
def test_what_a_plug_in_uses_counts(source: str, used: str, tmp_path: Path) -> None:
    written(tmp_path, "methods/mine.py", source)
    written(tmp_path, used, "CHANGED = 0")
    before = code(tmp_path / "methods/mine.py")
    assert f"{Path(used).parent.name or tmp_path.name}/{Path(used).name}".removeprefix("/") in " ".join(before.files)
    written(tmp_path, used, "CHANGED = 1")
    assert code(tmp_path / "methods/mine.py").digest != before.digest


@pytest.mark.parametrize(
    ("source", "unused"),
    [
        ("import helper", "methods/other.py"),
        ("if TYPE_CHECKING:\n    import helper", "methods/helper.py"),
        ("'''weights.npy'''", "methods/weights.npy"),
        ("import json", "methods/json.py"),
    ],
)
def test_what_it_does_not_use_does_not(source: str, unused: str, tmp_path: Path) -> None:
    written(tmp_path, "methods/mine.py", source)
    written(tmp_path, unused, "CHANGED = 0")
    before = code(tmp_path / "methods/mine.py")
    written(tmp_path, unused, "CHANGED = 1")
    assert code(tmp_path / "methods/mine.py") == before


def test_a_package_counts_although_a_file_beside_has_its_name(tmp_path: Path) -> None:
    written(tmp_path, "torch_pruning.py", "import torch_pruning")
    assert "torch-pruning" in code(tmp_path / "torch_pruning.py").packages


def test_all_of_the_api_counts_where_all_is_imported(tmp_path: Path) -> None:
    written(tmp_path, "one.py", "from kilobench.api import Method")
    written(tmp_path, "all.py", "from kilobench.api import *")
    pruning = "kilobench/learn/pruning.py"
    assert pruning not in code(tmp_path / "one.py").files
    assert pruning in code(tmp_path / "all.py").files


def test_a_package_that_is_edited_where_it_lies_is_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``pip install --editable`` installs it."""
    site, source = tmp_path / "site", tmp_path / "source"
    written(source, "edited/__init__.py", "")
    written(source, "edited/deep.py", "CHANGED = 0")
    written(site, "edited-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: edited\nVersion: 1.0\n")
    written(site, "edited-1.0.dist-info/direct_url.json", '{"url": "file:///x", "dir_info": {"editable": true}}')
    monkeypatch.syspath_prepend(str(source))
    monkeypatch.syspath_prepend(str(site))
    written(tmp_path, "mine.py", "from edited.deep import f")
    before = code(tmp_path / "mine.py")
    assert before.packages == {"edited": "1.0"}
    written(source, "edited/deep.py", "CHANGED = 1")
    assert code(tmp_path / "mine.py").digest != before.digest


@pytest.mark.parametrize("content", [b"def (", b"\0", b"# \xff\n", b"\xef\xbb\xbfimport helper\r\n"])
def test_a_file_that_python_may_not_read_has_a_closure(content: bytes, tmp_path: Path) -> None:
    """What is wrong with it is told by what imports it."""
    (tmp_path / "mine.py").write_bytes(content)
    before = code(tmp_path / "mine.py").digest
    written(tmp_path, "mine.py", "import numpy")
    assert code(tmp_path / "mine.py").digest != before


def test_a_process_knows_when_its_code_has_changed(tmp_path: Path) -> None:
    written(tmp_path, "mine.py", "from . import helper\nimport numpy")
    written(tmp_path, "helper.py", "CHANGED = 0")
    written(tmp_path, "kernel.c", "int changed = 0;")
    code(tmp_path / "mine.py")
    digest_of([tmp_path / "kernel.c"])
    assert not code_has_changed()
    written(tmp_path, "helper.py", "CHANGED = 0  # that is, a comment")
    assert not code_has_changed()
    for name in ("helper.py", "kernel.c"):
        before = (tmp_path / name).read_text()
        written(tmp_path, name, before.replace("0", "1"))
        assert code_has_changed()
        written(tmp_path, name, before)
        assert not code_has_changed()
    (tmp_path / "kernel.c").unlink()
    assert code_has_changed()

# SPDX-License-Identifier: Apache-2.0
"""What was parsed is kept by content: parsed once, and again where the content, or the cache, is not as it was."""

import ast
from pathlib import Path

import pytest

from kilobench import sources
from kilobench.sources import Source, keep_parsed, read


@pytest.fixture
def parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The contents that are parsed, with a cache of their own."""
    contents: list[bytes] = []
    parse = ast.parse

    def seen(content: bytes, name: str) -> ast.Module:
        contents.append(content)
        return parse(content, name)

    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("kilobench.sources.ast.parse", seen)
    return contents


def in_a_new_process(file: Path) -> Source:
    """As one reads it that has read nothing yet."""
    sources._source.cache_clear()
    sources._kept.cache_clear()
    source = read(file)
    keep_parsed()
    return source


def test_a_file_is_parsed_once(parsed: list[bytes], tmp_path: Path) -> None:
    file, other = tmp_path / "a.py", tmp_path / "b.py"
    file.write_text("import numpy\nfrom . import helper\nwhere = 'weights.bin'\n")
    first = in_a_new_process(file)
    assert first.imports == ("numpy", ".helper") and "weights.bin" in first.texts
    other.write_bytes(file.read_bytes())
    assert in_a_new_process(file) == in_a_new_process(other) == first and len(parsed) == 1
    file.write_text("import numpy\n\n# as before, but for a comment\nfrom . import helper\nwhere = 'weights.bin'\n")
    assert in_a_new_process(file) == first and len(parsed) == 2
    file.write_text("import scipy\n")
    assert in_a_new_process(file).imports == ("scipy",) and in_a_new_process(other) == first and len(parsed) == 3


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: content.replace(b"numpy", b"scipy")])
def test_what_is_damaged_is_parsed_again(parsed: list[bytes], tmp_path: Path, damage: object) -> None:
    file = tmp_path / "a.py"
    file.write_text("import numpy\n")
    first = in_a_new_process(file)
    (kept,) = (tmp_path / "cache").rglob("*.json")
    kept.write_bytes(damage(kept.read_bytes()))  # type: ignore[operator]
    assert in_a_new_process(file) == first and len(parsed) == 2
    assert in_a_new_process(file) == first and len(parsed) == 2


def test_a_cache_that_cannot_be_written_is_done_without(parsed: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    file = tmp_path / "a.py"
    file.write_text("import numpy\n")
    assert in_a_new_process(file) == in_a_new_process(file) and len(parsed) == 2


def test_old_ones_make_room(parsed: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_MOST_KEPT", 2)
    files = [tmp_path / f"{index}.py" for index in range(3)]
    for index, file in enumerate(files):
        file.write_text(f"import m{index}\n")
        in_a_new_process(file)
    for file in files:
        in_a_new_process(file)
    assert len(parsed) == 3 + 3  # as each takes the place of the next

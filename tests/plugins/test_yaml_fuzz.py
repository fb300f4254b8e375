# SPDX-License-Identifier: Apache-2.0
"""Files of boards, cores and suites, mutated: each is taken, or refused in one line that names it."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kilobench.boards import Core
from kilobench.contracts import UserError
from kilobench.lines import one_line
from kilobench.plugins.boards import load_board
from kilobench.plugins.cores import load_core
from kilobench.plugins.registry import load_registry
from kilobench.plugins.suites import read_suite

ROOT = Path(__file__).parents[2]
CORES: dict[str, Core] = {name: entry.value for name, entry in load_registry().entries["cores"].items()}  # type: ignore[misc]
FILES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "board": ("hardware/boards/nucleo_l476rg.yaml", lambda path: load_board(path, CORES)),
    "core": ("hardware/cores/cortex-m33.yaml", load_core),
    "suite": ("benchmarks/quickstart.yaml", read_suite),
    "suite of models": ("benchmarks/mlperf-tiny.yaml", read_suite),
}
VALUES = [
    *(None, True, 0, -1, 1, 5, 1 << 31, 1 << 32, 1 << 64, 1.5, float("nan"), float("inf"), "", " ", "x", "a\nb", "\x1b[31m"),
    *("x" * 5000, "<b>", [], {}, [1], ["x"], [[]], {"x": 1}, {"x": {}}, {1: 2}, "0x10", "[", "../x", "none", "é"),
]  # fmt: skip
BYTES = [
    *(b"\0", b"\xff", b"\t", b"\xef\xbb\xbf", b"!!int ", b"!!binary ", b"&a ", b"*a", b"<<: {a: b}\n", b"? [a]: b\n", b"---\n"),
    *(b"{", b"]", b"'", b":", b"=", b"- ", b"%YAML 9.9\n", b"2001-99-99", b"0x" + b"f" * 6000, b"1:" * 400 + b"1.0"),
]  # fmt: skip


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Of every value inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in inside for place in ((*here, key), *places(item, (*here, key)))]


def mutated(text: str, draw: random.Random) -> bytes:
    """With a value exchanged, taken away or moved, or with some of its bytes changed."""
    content = text.encode()
    if draw.random() < 0.6:
        values = yaml.safe_load(text)
        *outer, last = draw.choice(places(values))
        holder = values
        for key in outer:
            holder = holder[key]
        match draw.randrange(4):
            case 0:
                del holder[last]
            case 1 if isinstance(holder, dict):
                holder[draw.choice(VALUES[12:18])] = holder.pop(last)
            case _:
                holder[last] = draw.choice(VALUES)
        content = yaml.dump(values, allow_unicode=True).encode()
    for _ in range(draw.choice((0, 0, 1, 3))):
        begin = draw.randrange(len(content))
        content = content[:begin] + draw.choice(BYTES) + content[begin + draw.choice((0, 0, 1, 20)) :]
    return content


@pytest.mark.parametrize("kind", FILES)
def test_a_mutated_file_is_taken_or_refused_in_a_line(kind: str, tmp_path: Path) -> None:
    name, read = FILES[kind]
    path, text, draw = tmp_path / "mine.yaml", (ROOT / name).read_text(), random.Random(kind)
    taken = 0
    for _ in range(300):
        path.write_bytes(mutated(text, draw))
        try:
            read(path)
        except UserError as error:
            assert str(error).startswith(f"{path}: ") and one_line(str(error)).isprintable()
        else:
            taken += 1
    assert 0 < taken < 200

# SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile .tflite files: a graph or one line, never a crash, a hang or much memory.

``python -m tests.compile.test_import_tflite_hostile 10000`` tries as many as are asked for.
"""

import resource
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain as chain_of
from itertools import pairwise
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tflite

from kilobench.compile.imports import load_model
from kilobench.compile.imports.flatfile import read
from kilobench.compile.imports.lowering import lower_program
from kilobench.compile.imports.tflite import load_tflite
from kilobench.compile.imports.tfliteimport import TfliteImport
from kilobench.contracts import UserError
from tests.compile import mlperf
from tests.compile.tflite_cases import CASES, Case, file_of
from tests.compile.tflite_files import Node, Value, model

SECONDS, MEGABYTES = 20, 2000
NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 4)


def seeds() -> list[bytes]:
    """Files that mutations are made of: all operators, and small networks where they are at hand."""
    files = [file_of(case, dtype) for case in CASES[::3] for dtype in ("int8", "float32")]
    if mlperf.there():
        files += [mlperf.path_of(name).read_bytes() for name in ("kws_ref_model", "str_ww_ref_model")]
    return files


def mutations(count: int, seed: int = 0) -> Iterator[bytes]:
    """Bits flipped, bytes and words set, parts cut off, doubled or swapped."""
    r, files = np.random.default_rng(seed), seeds()
    for _ in range(count):
        data = bytearray(files[int(r.integers(len(files)))])
        for _ in range(int(r.integers(1, 4))):
            place = int(r.integers(len(data)))
            kind = int(r.choice(6, p=(0.3, 0.2, 0.2, 0.2, 0.02, 0.08)))
            if kind == 0:
                data[place] ^= 1 << int(r.integers(8))
            elif kind == 1:
                data[place] = int(r.integers(256))
            elif kind in (2, 3) and place + 4 <= len(data):
                place -= place % 4
                old = struct.unpack_from("<I", data, place)[0]
                near = (old + int(r.integers(-8, 9))) % 2**32
                new = near if kind == 2 else int(r.choice(NUMBERS))
                struct.pack_into("<I", data, place, new)
            elif kind == 4:
                del data[place:]
            elif kind == 5:
                other = int(r.integers(len(data)))
                size = min(int(r.integers(1, 64)), len(data) - max(place, other))
                data[place : place + size] = data[other : other + size]
            if not data:
                break
        if len(data) >= 8:
            data[4:8] = b"TFL3"
        yield bytes(data)


def changed(count: int, seed: int = 0) -> Iterator[bytes]:
    """Well-formed files whose fields are not: shapes, options, constants, scales and zero points."""
    r = np.random.default_rng(seed)
    while count:
        case = CASES[int(r.integers(len(CASES)))]
        for _ in range(int(r.integers(1, 3))):
            case = with_a_change(case, r)
        try:
            with np.errstate(all="ignore"):
                data = file_of(case, ("int8", "float32")[int(r.integers(4)) == 0])
        except (TypeError, ValueError, IndexError, OverflowError, struct.error):
            continue  # nothing that a file can say
        yield data
        count -= 1


def with_a_change(case: Case, r: np.random.Generator) -> Case:
    """One field of a case has another value."""
    field = ("source", "made", "options", "constants", "grids")[int(r.integers(5))]
    value = getattr(case, field)
    if field in ("source", "made"):
        shape = list(value)
        place = int(r.integers(len(shape) + 1))
        if place == len(shape):
            shape = shape[1:] if r.integers(2) else [*shape, 2]
        else:
            shape[place] = int(r.choice((0, 1, 2, 3, 5, 1000, 2**20, 2**31 - 1, -1, shape[place] + 1)))
        value = tuple(shape)
    elif field == "options" and value is not None and value[1]:
        key = sorted(value[1])[int(r.integers(len(value[1])))]
        value = (value[0], value[1] | {key: int(r.choice((0, 1, 2, 3, 5, 127, -1, 2**31 - 1, -(2**31))))})
    elif field == "constants" and value and not isinstance(value[0], str):
        array = value[0].copy()
        numbers = (0, -1, 1, 5, 2**31 - 1, -(2**31)) if array.dtype == np.int32 else (0, np.nan, np.inf, 1e30, -1e-30)
        array.reshape(-1)[int(r.integers(array.size))] = r.choice(numbers)
        value = (array, *value[1:])
    elif field == "grids":
        scale = float(r.choice((0, 1e-45, 1e-38, 1e-30, 1e-9, 1.0, 1e9, 3e38, np.inf, np.nan, -1.0)))
        grid = scale, int(r.choice((0, -128, 127, 128, -129, 2**31)))
        value = (grid, value[1]) if r.integers(2) else (value[0], grid)
    return replace(case, **{field: value})


def outcome(data: bytes, rounding: str = "once") -> str:
    """What becomes of a file: "graph", or one line."""
    try:
        lower_program(load_tflite(data), "tflite" if rounding == "tflite" else "once")
    except UserError as error:
        text = str(error)
        assert "\n" not in text and text.isprintable() and len(text) < 2000, repr(text)
        return text
    return "graph"


def memory() -> float:
    """The most that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(4))
def test_changed_fields(seed: int) -> None:
    made = Counter()
    for index, data in enumerate(changed(150, seed)):
        made[outcome(data, ("once", "tflite")[index % 2]) == "graph"] += 1
    assert made[True] > 10 and made[False] > 50


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(4))
def test_mutated_files(seed: int) -> None:
    made = Counter()
    for index, data in enumerate(mutations(150, seed)):
        start = time.process_time()
        made[outcome(data, ("once", "tflite")[index % 2]) == "graph"] += 1
        assert time.process_time() - start < SECONDS
    assert made[True] > 10 and made[False] > 50


def test_every_cut(tmp_path: Path) -> None:
    """Of a small file."""
    data = file_of(CASES[0], "int8")
    for length in range(len(data)):
        assert outcome(data[:length]) != "graph" or length > len(data) - 64


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", b"\0" * 8, b"\0\0\0\0TFL3", b"\xff" * 64, b"\x08\0\0\0TFL3" + b"\xff" * 64]
)
def test_nothing_like_a_file(data: bytes) -> None:
    assert outcome(data) != "graph"


def test_a_folder_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "folder.tflite").mkdir()
    for name in ("folder.tflite", "none.tflite", "model.h5"):
        with pytest.raises(UserError, match=name):
            load_model(tmp_path / name)


# Bombs: small files that ask for much


def shared(tensors: int, length: int) -> bytes:
    """A file whose tensors all have one name, shape and vector of scales, as long as the file."""
    b = flatbuffers.Builder(0)
    name = b.CreateString("n" * length)
    shape = b.CreateNumpyVector(np.ones(4, np.int32))
    scales = b.CreateNumpyVector(np.ones(length, np.float32))
    zeros = b.CreateNumpyVector(np.zeros(length, np.int64))
    tflite.QuantizationParametersStart(b)
    tflite.QuantizationParametersAddScale(b, scales)
    tflite.QuantizationParametersAddZeroPoint(b, zeros)
    grid = tflite.QuantizationParametersEnd(b)
    tflite.TensorStart(b)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddName(b, name)
    tflite.TensorAddQuantization(b, grid)
    tensor = tflite.TensorEnd(b)
    b.StartVector(4, tensors, 4)
    for _ in range(tensors):
        b.PrependUOffsetTRelative(tensor)
    vector = b.EndVector()
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, vector)
    graph = tflite.SubGraphEnd(b)
    tflite.BufferStart(b)
    buffer = tflite.BufferEnd(b)
    vectors = []
    for table in (graph, buffer):
        b.StartVector(4, 1, 4)
        b.PrependUOffsetTRelative(table)
        vectors.append(b.EndVector())
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddSubgraphs(b, vectors[0])
    tflite.ModelAddBuffers(b, vectors[1])
    b.Finish(tflite.ModelEnd(b), b"TFL3")
    return bytes(b.Output())


def test_parts_that_many_tables_share() -> None:
    start = time.process_time()
    with pytest.raises(UserError, match="its parts are larger than it is"):
        read(shared(20000, 10**6))
    assert time.process_time() - start < 5


def chain(kind: str, count: int, shape: tuple[int, ...]) -> bytes:
    values = [Value(f"t{i}", shape, "float32") for i in range(count + 1)]
    nodes = [Node(kind, (f"t{i}",), (f"t{i + 1}",)) for i in range(count)]
    return model(values, nodes, ["t0"], [f"t{count}"])


def wide(count: int, size: int) -> bytes:
    """Many layers that share one weight."""
    weight = Value("w", (size, size), "int8", (0.1,), (0,), 0, np.ones((size, size), np.int8))
    values = [weight] + [Value(f"t{i}", (1, size), "int8", (0.1,), (0,)) for i in range(count + 1)]
    options = ("FullyConnectedOptions", {})
    nodes = [Node("FULLY_CONNECTED", (f"t{i}", "w"), (f"t{i + 1}",), options) for i in range(count)]
    return model(values, nodes, ["t0"], [f"t{count}"])


BOMBS = {
    "a long chain": (chain("LOGISTIC", 1900, (1, 4)), "operators"),
    "more than that": (chain("LOGISTIC", 2100, (1, 4)), "2100 operators"),
    "large maps": (chain("LOGISTIC", 100, (1, 1000, 1000, 12)), "bytes"),
    "a map too large": (chain("RELU", 1, (1, 2**15, 2**15, 2**10)), "of more values than"),
    "shared weights": (wide(400, 1000), "needs parameters of"),
    "much work": (chain("LOGISTIC", 1, (1, 8000, 1000, 2)), "graph"),
}


@pytest.mark.parametrize("what", BOMBS)
def test_bombs(what: str) -> None:
    data, text = BOMBS[what]
    start, before = time.process_time(), memory()
    assert text in outcome(data)
    assert time.process_time() - start < SECONDS and memory() - before < MEGABYTES


def test_thousands_of_tensors_of_one_name() -> None:
    """Each gets another one, in little time; TensorFlow Lite knows tensors by number."""
    file = read(chain("RELU", 1, (1, 4)))
    one = file.tensors[0]
    file.tensors.extend([one] * 20000)
    reader, start = TfliteImport(file), time.process_time()
    names = {reader.value(place).name for place in range(len(file.tensors))}
    assert len(names) == len(file.tensors) and time.process_time() - start < 2


def test_operators_in_a_circle() -> None:
    values = [Value(name, (1, 4), "float32") for name in ("x", "a", "b")]
    nodes = [Node("ADD", ("x", "b"), ("a",), ("AddOptions", {})), Node("RELU", ("a",), ("b",))]
    assert "nothing before it makes" in outcome(model(values, nodes, ["x"], ["b"]))


def test_names_that_are_no_names() -> None:
    """They reach no C, and no terminal as they are."""
    names = ["x", 'a"; system("true"); //', "\x1b[31mred", "ü" * 300, "", "a/b:0", "../../x"]
    values = [Value(name, (1, 4), "float32") for name in names]
    nodes = [Node("LOGISTIC", (a,), (b,)) for a, b in pairwise(names) if a and b]
    del nodes[3:]
    graph = lower_program(load_tflite(model(values, nodes, ["x"], [names[3]])))
    assert all(op.name.replace("_", "").replace(".", "").isascii() and len(op.name) <= 200 for op in graph.ops)


if __name__ == "__main__":
    counts: Counter[str] = Counter()
    slowest, begin = 0.0, time.time()
    count, seed = (int(argument) for argument in (*sys.argv[1:], "0")[:2])
    for number, one in enumerate(chain_of(mutations(count // 2, seed), changed(count - count // 2, seed))):
        start = time.process_time()
        counts["graph" if outcome(one, ("once", "tflite")[number % 2]) == "graph" else "line"] += 1
        slowest = max(slowest, time.process_time() - start)
    print(f"{dict(counts)} in {time.time() - begin:.0f} s, the slowest {slowest:.2f} s, {memory():.0f} MB")

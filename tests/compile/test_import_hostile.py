# SPDX-License-Identifier: Apache-2.0
"""Files that nobody exported: whatever is in a .onnx or .pt2, it becomes a graph or one line, soon and in little memory."""

from __future__ import annotations

import io
import os
import random
import resource
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="reads .onnx files")

import onnx

from kilobench.compile.imports import exported
from kilobench.compile.imports import onnx as imported
from kilobench.compile.imports.lowering import lower_program
from kilobench.compile.imports.onnxwalk import OPERATORS
from kilobench.compile.imports.program import Program
from kilobench.contracts import UserError
from tests.compile.importednets import NETWORKS, inputs, made, onnx_file
from tests.compile.onnxfiles import model, numbers, saved

TRIES = int(os.environ.get("KILOBENCH_FUZZ_GRAPHS", "120"))
SECONDS, BYTES = 10, 2**31
"""For one file, and of this process."""


def survives(load: Callable[[bytes], Program], path: Path) -> str:
    """What was said of a file; nothing if it made a graph."""
    began, said = time.perf_counter(), ""
    try:
        lower_program(load(path.read_bytes()))
    except UserError as error:
        said = str(error)
        assert said and "\n" not in said and said.isprintable() and len(said) < 1500
    assert time.perf_counter() - began < SECONDS
    return said


def mutated(data: bytes, chance: random.Random) -> bytes:
    """With a few bytes changed, left out, repeated or moved."""
    result = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        place = chance.randrange(len(result))
        kind = chance.randrange(5)
        if kind == 0:
            result[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif kind == 1:
            result[place : place + chance.choice((1, 4, 100))] = b""
        elif kind == 2:
            result[place:place] = bytes(chance.randrange(256) for _ in range(chance.choice((1, 4, 9))))
        elif kind == 3:
            result[place : place + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\0\0\x80\x7f"))
        else:
            other = chance.randrange(len(result))
            result[place : place + 16] = result[other : other + 16]
        if not result:
            return b"x"
    return bytes(result)


def small(name: str, folder: Path) -> bytes:
    return onnx_file(name, folder).read_bytes()


@pytest.mark.parametrize("name", ["two_outputs", "tcn", "quantised"])
def test_mutated_onnx_files(name, tmp_path):
    if name == "quantised":
        grids = {"s": np.float32(0.1), "z": np.int8(3), "w": np.ones((3, 4, 2, 2), np.int8), "b": np.ones(3, np.int32)}
        body = (
            "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) e = DequantizeLinear(w, s) f = DequantizeLinear(b, s)"
            " c = Conv(d, e, f) r = Relu(c) o = QuantizeLinear(r, s, z) y = DequantizeLinear(o, s, z)"
        )
        data = model(body, grids).SerializeToString()
    else:
        data = small(name, tmp_path)
    chance, path, lines = random.Random(name), tmp_path / "mutated.onnx", 0
    for _ in range(TRIES):
        path.write_bytes(mutated(data, chance))
        lines += survives(imported.load_onnx, path) != ""
    assert TRIES / 10 < lines < TRIES
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < BYTES


def rewired(proto: Any, chance: random.Random) -> Any:
    """A copy of a model with a few names, kinds, numbers, shapes or attributes exchanged: it parses."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    graph = result.graph
    names = [name for node in graph.node for name in (*node.input, *node.output)] + ["x", ""]
    for _ in range(chance.choice((1, 1, 2, 5))):
        node, choice = chance.choice(graph.node), chance.randrange(7)
        if choice == 0 and node.input:
            node.input[chance.randrange(len(node.input))] = chance.choice(names)
        elif choice == 1:
            node.op_type = chance.choice(sorted(OPERATORS))
        elif choice == 2 and node.attribute:
            attribute, number = chance.choice(node.attribute), chance.choice(EXTREME)
            if attribute.ints:
                attribute.ints[chance.randrange(len(attribute.ints))] = number
            attribute.i, attribute.f = number, chance.choice((float(number), float("nan"), 1e300 * 1e-270))
        elif choice == 3 and graph.initializer:
            tensor = chance.choice(graph.initializer)
            array = onnx.numpy_helper.to_array(tensor).copy()
            if array.size:
                with np.errstate(all="ignore"):
                    array.reshape(-1)[chance.randrange(array.size)] = chance.choice(
                        (0, -1, 127, np.nan if array.dtype.kind == "f" else 1)
                    )
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        elif choice == 4 and graph.initializer:
            tensor = chance.choice(graph.initializer)
            array = onnx.numpy_helper.to_array(tensor)
            shape = chance.choice(((-1,), (1, -1), (-1, 1, 1), (1, 1, 1, 1, -1)))
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.reshape(shape), tensor.name))
        elif choice == 5:
            dims = graph.input[0].type.tensor_type.shape.dim
            chance.choice(dims).dim_value = chance.choice(EXTREME)
        else:
            del node.attribute[chance.randrange(len(node.attribute) + 1) :]
    return result


EXTREME = (0, 1, 2, 3, 7, -1, 255, 2**16, 2**31 - 1, -(2**31), 2**62, -(2**63))


@pytest.mark.parametrize("name", ["two_outputs", "tcn", "unet", "mobilenet_v3"])
def test_rewired_onnx_files(name, tmp_path):
    proto, chance, lines = onnx.load(onnx_file(name, tmp_path)), random.Random(name), 0
    for _ in range(TRIES):
        lines += survives(imported.load_onnx, saved(rewired(proto, chance), tmp_path)) != ""
    assert TRIES / 10 < lines < TRIES


def test_mutated_pt2_files(tmp_path):
    """Bytes of their JSON and weights; the archive around these is whole."""
    path, lines, chance = tmp_path / "mutated.pt2", 0, random.Random(0)
    for name in ("two_outputs", "ds_cnn"):
        program = torch.export.export(made(name), (inputs(name, 1),), strict=False)
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        with zipfile.ZipFile(buffer) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        texts = [member for member in members if member.endswith(".json")]
        for _ in range(TRIES // 2):
            chosen = chance.choice(texts)
            with zipfile.ZipFile(path, "w") as archive:
                for member, data in members.items():
                    archive.writestr(member, spelled(data, chance) if member == chosen else data)
            lines += survives(exported.load_pt2, path) != ""
        whole = buffer.getvalue()
        for _ in range(TRIES // 4):
            path.write_bytes(mutated(whole, chance))
            survives(exported.load_pt2, path)
    assert lines > TRIES / 10


def spelled(data: bytes, chance: random.Random) -> bytes:
    """JSON with one word or number in place of another."""
    words = data.replace(b"{", b" { ").replace(b"}", b" } ").split(b" ")
    place, other = chance.randrange(len(words)), chance.randrange(len(words))
    words[place] = chance.choice(
        (words[other], b"-1", b"1e99", b"null", b"[]", b"18446744073709551616", b"NaN", b'"x"', b"")
    )
    return b" ".join(words)


def _external(proto: Any) -> None:
    proto.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    entry = proto.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def _raw(proto: Any) -> None:
    proto.graph.initializer[0].raw_data += b"\0"


def _huge(proto: Any) -> None:
    proto.graph.initializer[0].dims[:] = [2**31, 2**31, 2**31]


def _negative(proto: Any) -> None:
    proto.graph.initializer[0].dims[0] = -6


def _typed(proto: Any) -> None:
    proto.graph.initializer[0].data_type = onnx.TensorProto.STRING


def _repeated(proto: Any) -> None:
    proto.graph.initializer.append(proto.graph.initializer[0])


def _cycle(proto: Any) -> None:
    proto.graph.node[0].input[0] = "y"


def _inputs(proto: Any) -> None:
    proto.graph.input.append(onnx.helper.make_tensor_value_info("z", 1, [1]))


def _attribute(proto: Any) -> None:
    proto.graph.node[0].attribute.extend([onnx.helper.make_attribute("group", 1)] * 2)


def _subgraph(proto: Any) -> None:
    proto.graph.node[0].attribute.append(onnx.helper.make_attribute("body", proto.graph))


def _function(proto: Any) -> None:
    proto.functions.add().name = "f"


def _outputs(proto: Any) -> None:
    proto.graph.output.append(proto.graph.output[0])


def _sparse(proto: Any) -> None:
    proto.graph.sparse_initializer.add()


def _opsets(proto: Any) -> None:
    proto.opset_import.append(onnx.helper.make_opsetid("", 12))


def _shape(proto: Any) -> None:
    proto.graph.input[0].type.tensor_type.ClearField("shape")


def _large(proto: Any) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2**40


def _many(proto: Any) -> None:
    proto.graph.node.extend([proto.graph.node[0]] * 20_000)


def _empty(proto: Any) -> None:
    del proto.graph.node[:]


CHANGES: dict[Callable[[Any], None], str] = {
    _external: "has the tensor w in another file; supported are files that hold all",
    _raw: "has the tensor w with 865 bytes, not 864",
    _huge: "has the tensor w with 864 bytes, not",
    _negative: "has the tensor w of the shape (-6, 4, 3, 3)",
    _typed: "has the tensor w of the type 8; supported are float32",
    _repeated: "has the tensor w twice",
    _cycle: "reads y, which nothing before it makes",
    _inputs: "has 2 inputs (x, z); supported is one",
    _attribute: "y (Conv) has the attribute group twice",
    _subgraph: "y (Conv) has an attribute body that is no number, text or tensor",
    _function: "holds functions of its own",
    _outputs: "has no outputs, or one twice",
    _sparse: "holds sparse tensors",
    _opsets: "states its opset twice",
    _shape: "has the input x without a shape",
    _large: "supported are 1 to",
    _many: "holds 20001 operators; supported are up to 10000",
    _empty: "is not an ONNX model, or holds no operators",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_is_wrong_with_an_onnx_file_is_one_line(change, tmp_path):
    proto = model("y = Conv(x, w)", {"w": numbers(6, 4, 3, 3)})
    change(proto)
    said = survives(imported.load_onnx, saved(proto, tmp_path))
    assert CHANGES[change] in said


@pytest.mark.parametrize("content", [b"", b"\x08\x07", b"PK\3\4", b"\xff" * 1000, b"\n" * 100_000])
def test_what_is_no_model_is_one_line(content, tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    assert survives(imported.load_onnx, path).startswith("is not an ONNX model")
    path = tmp_path / "x.pt2"
    path.write_bytes(content)
    assert survives(exported.load_pt2, path).startswith("is no archive of torch.export.save")


def test_many_operators_of_one_name_take_no_time(tmp_path):
    proto = model("y = Relu(x)")
    del proto.graph.node[:]
    for index in range(1500):
        proto.graph.node.append(
            onnx.helper.make_node("Tanh", [f"t{index - 1}" if index else "x"], [f"t{index}"], name="same")
        )
    proto.graph.output[0].name = "t1499"
    assert "is more than 500 operators" in survives(imported.load_onnx, saved(proto, tmp_path))


def test_all_networks_are_read_from_a_file_without_a_line(tmp_path):
    assert all(survives(imported.load_onnx, onnx_file(name, tmp_path)) == "" for name in NETWORKS)

# SPDX-License-Identifier: Apache-2.0
"""Lowered graphs as files."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from kilobench.compile.counts import macs
from kilobench.compile.graph import Graph
from kilobench.compile.graphfile import load_graph, save_graph
from kilobench.contracts import CellError
from kilobench.measuring.evaluate import About, Reference, load_model_file, measured_inputs, save_model_file
from kilobench.record import ModelFacts
from tests.results.records import record
from tests.untrained import emitted, untrained


@pytest.mark.parametrize("recipe", ["full", "int8", "xnor[keep=first]", "int8[input=int8]"])
def test_a_graph_comes_back_as_it_was(recipe: str, tmp_path: Path) -> None:
    graph = untrained("resnet8[width=4]", recipe, (1, 8, 8), 3)
    path = tmp_path / "g.safetensors"
    save_graph(graph, path, {"a": [1, None]}, {"b": np.arange(3)})
    again, facts, arrays = load_graph(path)
    assert again.digest() == graph.digest()
    assert macs(again) == macs(graph)
    assert facts == {"a": [1, None]}
    assert arrays["b"].tolist() == [0, 1, 2]
    first = path.read_bytes()
    save_graph(again, path, facts, arrays)
    assert path.read_bytes() == first


def about(graph: Graph) -> About:
    facts = {name: value for name, value in record().model_dump().items() if name in ModelFacts.model_fields}
    model = ModelFacts.model_validate(facts | {"model_digest": graph.digest()})
    arguments = ("--task", "digits", "--recipe", "int8")
    return About(model=model, key="0", arguments=arguments, arena_lower_bound=1, peak="a.b")


def test_a_model_file_comes_back_as_it_was(tmp_path: Path) -> None:
    graph, path = untrained("resnet8[width=4]", "int8", (1, 8, 8), 3), tmp_path / "m.safetensors"
    expected = emitted(graph, tmp_path / "c", 4)
    save_model_file(path, graph, expected, about(graph))
    again = load_model_file(path)
    assert again.graph.digest() == graph.digest() and again.about == about(graph)
    for name, value in vars(expected).items():
        assert np.array_equal(getattr(again.reference, name), value), name
        assert getattr(again.reference, name).dtype == value.dtype


def test_seconds_are_nothing_of_a_model_file(tmp_path: Path) -> None:
    """Those of before, that hold some, are read."""
    graph, path = untrained("resnet8[width=4]", "int8", (1, 8, 8), 3), tmp_path / "m.safetensors"
    expected, known = emitted(graph, tmp_path / "c", 1), about(graph)
    save_model_file(path, graph, expected, known)
    content = path.read_bytes()
    save_model_file(path, graph, expected, known.model_copy(update={"train_s": 1.5, "evaluate_s": 0.1}))
    assert path.read_bytes() == content
    arrays = {"outputs": expected.outputs, "checksums": expected.checksums}
    save_graph(graph, path, known.model_dump() | {"train_s": 1.5, "evaluate_s": 0.1}, arrays)
    assert path.read_bytes() != content
    assert (load_model_file(path).about.train_s, load_model_file(path).about.evaluate_s) == (1.5, 0.1)


def test_a_model_file_with_another_graph_is_refused(tmp_path: Path) -> None:
    graph, path = untrained("resnet8[width=4]", "int8", (1, 8, 8), 3), tmp_path / "m.safetensors"
    expected, before = emitted(graph, tmp_path / "c", 1), about(graph)
    graph.ops[0].params["weight"].flat[0] ^= 1
    save_model_file(path, graph, expected, before)
    with pytest.raises(CellError, match="its graph is not the one that it says"):
        load_model_file(path)


@pytest.mark.parametrize(
    ("outputs", "checksums"),
    [
        (np.zeros((1 << 40, 0), np.int8), np.zeros((1, 3, 2), np.int64)),
        (np.zeros((9, 3), np.int8), np.zeros((9, 3, 2), np.int64)),
        (np.zeros((1, 3), np.float32), np.zeros((1, 3, 2), np.int64)),
        (np.zeros((1, 3), np.int8), np.zeros((2, 3, 2), np.int64)),
    ],
)
def test_a_model_file_with_another_reference_is_refused(outputs: object, checksums: object, tmp_path: Path) -> None:
    graph, path = untrained("resnet8[width=4]", "int8", (1, 8, 8), 3), tmp_path / "m.safetensors"
    save_model_file(path, graph, Reference(None, outputs, checksums), about(graph))  # type: ignore[arg-type]
    with pytest.raises(CellError, match=r"is no model file: (outputs|checksums) of another shape"):
        load_model_file(path)


def test_measured_inputs_are_the_same_everywhere() -> None:
    graph = untrained("resnet8[width=4]", "full", (3, 8, 8), 3)
    first = measured_inputs(graph, 8)
    assert (first[:3] == measured_inputs(graph, 3)).all()
    assert zlib.crc32(first.tobytes()) == 110134819


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-10], lambda b: b[:5], lambda b: b"\xff" * 100])
def test_a_damaged_file_is_one_line(damage: object, tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    save_graph(untrained("resnet8[width=4]", "full", (1, 8, 8), 3), path, {}, {})
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(CellError, match=r"g.safetensors cannot be read as a graph") as raised:
        load_graph(path)
    assert "\n" not in str(raised.value)


def test_another_safetensors_file_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(CellError, match="holds no kilobench graph"):
        load_graph(tmp_path / "a.safetensors")

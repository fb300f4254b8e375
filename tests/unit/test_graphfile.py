"""Lowered graphs as files."""

from pathlib import Path

import numpy as np
import pytest

from kilobench.api import CellError
from kilobench.evaluate import load_evaluation, save_evaluation
from kilobench.graphfile import load_graph, save_graph
from tests.untrained import evaluated, untrained


@pytest.mark.parametrize("recipe", ["full", "int8", "xnor[keep=first]", "int8[input=int8]"])
def test_a_graph_comes_back_as_it_was(recipe: str, tmp_path: Path) -> None:
    graph = untrained("resnet8[width=4]", recipe, (1, 8, 8), 3)
    path = tmp_path / "g.safetensors"
    save_graph(graph, path, {"a": [1, None]}, {"b": np.arange(3)})
    again, facts, arrays = load_graph(path)
    assert again.digest() == graph.digest()
    assert again.macs() == graph.macs()
    assert facts == {"a": [1, None]}
    assert arrays["b"].tolist() == [0, 1, 2]
    first = path.read_bytes()
    save_graph(again, path, facts, arrays)
    assert path.read_bytes() == first


def test_an_evaluation_comes_back_as_it_was(tmp_path: Path) -> None:
    graph = untrained("resnet8[width=4]", "int8", (1, 8, 8), 3)
    x = np.random.default_rng(0).uniform(-1, 1, (20, 1, 8, 8)).astype(np.float32)
    evaluation = evaluated(graph, tmp_path, x)
    save_evaluation(tmp_path / "e.safetensors", graph, evaluation, {"data": "d"})
    again_graph, again, facts = load_evaluation(tmp_path / "e.safetensors")
    assert again_graph.digest() == graph.digest() and facts == {"data": "d"}
    assert again.correct_10_crops is None
    for name, value in vars(evaluation).items():
        assert np.array_equal(getattr(again, name), value), name
        assert not isinstance(value, np.ndarray) or getattr(again, name).dtype == value.dtype


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

# SPDX-License-Identifier: Apache-2.0
"""Accuracy and the area under the ROC curve on labelled inputs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kilobench.compile.graph import Graph, Op, Tensor
from kilobench.compile.imports import load_model
from kilobench.compile.simulate import simulate
from kilobench.contracts import UserError
from kilobench.data.labelled import read_labels
from kilobench.data.mlperf import BENCHMARKS
from kilobench.measuring.quality import Quality, quality
from tests.compile import mlperf
from tests.data.labelled import folder_of, photographs
from tests.untrained import untrained


def largest(shape: tuple[int, int, int], grid: tuple[float, int] = (1 / 128, 0)) -> Graph:
    """Its class is that of the largest input."""
    source, made = (Tensor(name, shape, "int8", *grid) for name in ("input", "output"))
    table = {"table": np.arange(-128, 128).astype(np.int8)}
    op = Op("requantise", "same", ("input",), "output", params=table)
    return Graph({"input": source, "output": made}, (op,), "input", ("output",))


def limited() -> Graph:
    """An autoencoder of three float32 values that makes what lies within [-1, 1]."""
    source, made = (Tensor(name, (1, 1, 3), "float32") for name in ("input", "output"))
    params = {"low": np.array([-1], np.float32), "high": np.array([1], np.float32)}
    return Graph(
        {"input": source, "output": made},
        (Op("clip", "clip", ("input",), "output", params=params),),
        "input",
        ("output",),
    )


def judged(folder: Path, graph: Graph, imported: bool = True) -> Quality:
    return quality(graph, imported, read_labels(folder), folder.parent / "code")


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as told:
        call()
    assert "\n" not in str(told.value)
    return str(told.value)


def test_accuracy_is_that_of_the_graph(tmp_path: Path) -> None:
    graph = untrained("resnet8[width=4]", "int8", (1, 8, 8), 3)
    inputs = np.random.default_rng(0).integers(-128, 128, (30, 8, 8, 1)).astype(np.int8)
    answers = simulate(graph, inputs)[graph.output].reshape(30, 3).argmax(axis=1)
    labels = (answers + (np.arange(30) % 4 == 0)) % 3
    found = judged(folder_of(tmp_path / "set", inputs, labels.tolist(), 3), graph)
    assert found.correct is not None and found.auc is None
    assert found.correct.tolist() == (answers == labels).tolist() and 0 < found.correct.mean() < 1


def test_pixels_are_bytes_of_their_own(tmp_path: Path) -> None:
    graph, pictures = untrained("resnet8[width=4]", "int8", (3, 16, 16), 3), photographs(6)
    answers = simulate(graph, (pictures ^ np.uint8(128)).view(np.int8))[graph.output].reshape(6, 3).argmax(axis=1)
    folder = folder_of(tmp_path / "set", pictures, answers.tolist(), 3)
    assert judged(folder, graph).correct.all()  # type: ignore[union-attr]
    floats = untrained("resnet8[width=4]", "full", (3, 16, 16), 3)
    told = refused(lambda: judged(folder, floats))
    assert told.endswith("0.bin holds 8-bit values, 768 bytes; the model takes float32 16x16x3, 3072 bytes")


def test_two_classes_have_an_area_too(tmp_path: Path) -> None:
    inputs = np.array([[0, 9], [3, 4], [5, 1], [7, 0]], np.int8)
    found = judged(folder_of(tmp_path / "set", inputs, [1, 0, 1, 0], 2), largest((1, 1, 2)))
    assert found.correct is not None and found.correct.tolist() == [True, False, False, True]
    assert found.auc is not None and found.auc.mean == 0.75


def test_an_anomaly_is_the_mean_over_windows(tmp_path: Path) -> None:
    inputs = np.array([[0, 1, 0, 1, 0], [0, 0, 0, 1, 3], [1, 1, 1, 2, 2], [0, 0, 1.5, 0, 0]], np.float32)
    folder = folder_of(tmp_path / "set", inputs, [0, 1, 1, 1], 2, ",12,8")
    found = judged(folder, limited())
    assert found.correct is None and found.auc is not None and found.auc.mean == 1.0
    assert found.auc.values().tolist() == pytest.approx([0, 2 / 3, 1 / 3, 0.25 / 3])
    told = refused(lambda: judged(folder, largest((1, 1, 4))))
    assert "says windows of 12 bytes; the model takes float32 1x1x4, 16 bytes" in told
    narrow = untrained("resnet8[width=4]", "int8", (1, 8, 8), 3)
    assert "but of the model: it turns int8 (8, 8, 1) into int8 (1, 1, 3)" in refused(lambda: judged(folder, narrow))
    (folder / "y_labels.csv").write_text("".join(f"{i}.bin,2,1,12,8\n" for i in range(4)))
    assert "of which some are labelled 0 (normal) and some 1" in refused(lambda: judged(folder, limited()))


def test_other_classes_than_the_model_has(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "set", np.zeros((2, 4), np.int8), [0, 1], 3)
    assert refused(lambda: judged(folder, largest((1, 1, 4)))).endswith("says 3 classes; the model has 4")
    told = refused(lambda: judged(folder, largest((2, 2, 1))))
    assert told.endswith("says 3 classes; the model is no classifier: it makes int8 2x2x1")


@pytest.mark.parametrize("order", [[1, 2, 3, 0], [1, 0, 2, 3], [0, 3, 2, 1]])
def test_labels_in_another_order_show(tmp_path: Path, order: list[int]) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 100)
    inputs = random.integers(-99, 0, (100, 4)).astype(np.int8)
    inputs[np.arange(100), np.where(random.random(100) < 0.2, random.integers(0, 4, 100), labels)] = 9
    graph = largest((1, 1, 4))
    assert judged(folder_of(tmp_path / "set", inputs, labels.tolist(), 4), graph).correct.mean() > 0.8  # type: ignore[union-attr]
    (wrong := tmp_path / "wrong").mkdir()
    folder = folder_of(wrong / "set", inputs, np.array(order)[labels].tolist(), 4)
    assert "has its classes in another order than the model: of " in refused(lambda: judged(folder, graph))


def test_a_model_that_knows_nothing_is_measured(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for part, inputs in (("random", random.integers(-99, 99, (100, 4))), ("one", np.tile([9, 0, 0, 0], (100, 1)))):
        (tmp_path / part).mkdir()
        folder = folder_of(tmp_path / part / "set", inputs.astype(np.int8), random.integers(0, 4, 100).tolist(), 4)
        assert judged(folder, largest((1, 1, 4))).correct.mean() < 0.5  # type: ignore[union-attr]


# MLPerf Tiny's networks and sets, where they are at hand

needs_sets = pytest.mark.skipif(not mlperf.there(), reason="MLPerf Tiny's networks and sets are not at hand")


@needs_sets
@pytest.mark.parametrize(("model", "name"), mlperf.LABELLED.items())
def test_reference_models_reach_their_targets(tmp_path: Path, model: str, name: str) -> None:
    labelled = read_labels(mlperf.FOLDER / name)
    graph = load_model(mlperf.path_of(model), "tflite")
    inputs = mlperf.inputs_of(model, int(np.prod(BENCHMARKS[name].shape)))
    correct = mlperf.micro_outputs(model, inputs.x).argmax(axis=1) == inputs.labels
    found = quality(graph, True, labelled, tmp_path / "code")
    assert found.correct is not None and found.correct.tolist() == correct.tolist()
    assert correct.mean() >= BENCHMARKS[name].target


@needs_sets
def test_codes_of_another_grid_are_refused(tmp_path: Path) -> None:
    labelled = read_labels(mlperf.FOLDER / "kws01")
    graph = load_model(mlperf.path_of("kws_ref_model"))
    source = graph.tensors[graph.input]
    other = Graph(
        graph.tensors | {source.name: Tensor(source.name, source.shape, "int8", 0.5, 83)},
        *list(vars(graph).values())[1:],
    )
    told = refused(lambda: quality(other, True, labelled, tmp_path / "code"))
    assert "is kws01, quantised by scale 0.5847 and zero point 83; the model takes scale 0.5 and zero point 83" in told

# SPDX-License-Identifier: Apache-2.0
"""MLPerf Tiny's reference networks beside TFLite-Micro, as ``python -m tests.compile.mlperf`` tabulates them."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kilobench.compile.emit import emit
from kilobench.compile.host import HostModel
from kilobench.compile.imports import load_model
from tests.compile.tflite_files import micro

Array = np.ndarray[Any, Any]
FOLDER = Path(os.environ.get("KILOBENCH_DATA", "")) / "mlperf-tiny"
INT8 = ("kws_ref_model", "vww_96_int8", "pretrainedResnet_quant", "str_ww_ref_model", "ad01_int8")
FLOAT = ("kws_ref_model_float32", "vww_96_float", "pretrainedResnet", "ad01_fp32")
LABELLED = {"kws_ref_model": "kws01", "pretrainedResnet_quant": "ic01"}
ARENA_BYTES = 2**22


@dataclass(frozen=True)
class Inputs:
    """[n, values], and the classes of those that have one."""

    x: Array
    labels: Array | None = None


def there() -> bool:
    return "KILOBENCH_DATA" in os.environ and FOLDER.is_dir()


def path_of(model: str) -> Path:
    return FOLDER / "models" / f"{model}.tflite"


def inputs_of(model: str, size: int, count: int = 200) -> Inputs:
    """The benchmark's own where it has some, or noise."""
    if model not in LABELLED:
        return Inputs(np.random.default_rng(0).integers(-128, 128, (count, size)).astype(np.int8))
    folder = FOLDER / LABELLED[model]
    rows = [line.split(",") for line in (folder / "y_labels.csv").read_text().split()]
    raw = np.stack([np.frombuffer((folder / row[0]).read_bytes(), np.uint8) for row in rows])
    x = (raw.astype(np.int16) - 128).astype(np.int8) if LABELLED[model] == "ic01" else raw.view(np.int8)
    return Inputs(x, np.array([int(row[2]) for row in rows]))


def micro_outputs(model: str, x: Array) -> Array:
    """[n, values] of TFLite-Micro."""
    interpreter = micro().Interpreter.from_file(str(path_of(model)), arena_size=ARENA_BYTES)
    shape, outputs = interpreter.get_input_details(0)["shape"], []
    for one in x:
        interpreter.set_input(one.reshape(shape), 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).reshape(-1).copy())
    return np.stack(outputs)


def host_outputs(model: str, x: Array, rounding: Any = "once") -> Array:
    """[n, values] of our C."""
    graph = load_model(path_of(model), rounding)
    with tempfile.TemporaryDirectory() as folder:
        emit(graph, Path(folder), model)
        return HostModel(Path(folder)).run(x.reshape(len(x), *graph.tensors[graph.input].shape))


def _table() -> None:
    print("| model | inputs | accuracy: TFLite-Micro, one rounding | outputs that differ with one rounding, with two |")
    print("|---|---|---|---|")
    for model in INT8:
        size = int(np.prod(load_model(path_of(model)).tensors[load_model(path_of(model)).input].shape))
        inputs = inputs_of(model, size)
        wanted = micro_outputs(model, inputs.x)
        once, twice = (host_outputs(model, inputs.x, rounding) for rounding in ("once", "tflite"))
        accuracy = ""
        if inputs.labels is not None:
            accuracy = ", ".join(f"{(y.argmax(axis=1) == inputs.labels).mean():.1%}" for y in (wanted, once))
        differ = [(y != wanted).sum() for y in (once, twice)]
        largest = np.abs(once.astype(int) - wanted).max()
        changed = (once.argmax(axis=1) != wanted.argmax(axis=1)).sum()
        print(
            f"| {model} | {len(wanted)} {'of MLPerf Tiny' if inputs.labels is not None else 'random'} | {accuracy} | "
            f"{differ[0]} of {wanted.size}, by up to {largest}; {changed} largest ones; {differ[1]} |"
        )


if __name__ == "__main__":
    _table()

# SPDX-License-Identifier: Apache-2.0
"""kilobench test finds what a run would stumble over, and says it in one line."""

from pathlib import Path

import pytest

from kilobench.cli import main
from kilobench.plugins.registry import load_registry

HEAD = """
import torch
from torch import nn
from kilobench.api import *
class Mine({base}):
    "Mine."
    name = "mine"
    reference = "own"
"""
METHOD = HEAD.format(base="Method") + "    {more}\n    def apply(self, model, job):\n        {body}\n"
NETWORK = HEAD.format(base="Network") + "    def build(self, shape, classes, rate):\n        {body}\n"
TASK = (
    HEAD.format(base="Task")
    + """    kind = "image"
    network = "{network}"
    class_count = 2
    input_shape = 1, 8, 8
    def load(self, fold, cache, progress):
        import numpy as np
        y = np.arange(20) % 2
        x = np.random.default_rng(0).uniform(-1, 1, (20, 1, 8, 8)).astype("float32")
        parts = [x[:10], y[:10], x[10:], y[10:]]
        {body}
        return Split(*parts, ("a", "b"), "tiny")
"""
)


def network(layers: str) -> str:
    return NETWORK.format(body=f"return nn.Sequential({layers})")


def method(body: str, more: str = "") -> str:
    return METHOD.format(body=body, more=more)


def task(body: str, network: str = "resnet8[width=4]") -> str:
    return TASK.format(body=body, network=network)


WRONG = {
    method("return None"): "a method returns a model, not NoneType",
    method("return model, 1"): "a method returns a model, not tuple",
    method("return model.double()"): " of the model is float64; a model computes in float32",
    method("return model.half()"): " of the model is float16; a model computes in float32",
    method("return model.bfloat16()"): " of the model is bfloat16; a model computes in float32",
    method("return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))"): "returns (2, 7), not (2, 2): a logit for each class",
    method("return nn.Sequential()"): "returns (2, 1, 8, 8), not (2, 2): a logit for each class",
    method("return nn.Linear(5, 2)"): "the model does not run on inputs of (2, 1, 8, 8): RuntimeError: mat1 and mat2",
    method("raise ValueError('two\\nlines \\x1b[31mred')"): "ValueError: two lines red",
    method("raise SystemExit(5)"): "SystemExit: 5",
    method("return [p.data.fill_(float('nan')) for p in model.parameters()] and model"): "not finite: ",
    method("return model", "effort = 1.0"): "mine trained for 0 steps, not for the 4 that it has",
    method("return nn.Sequential(nn.Flatten(), nn.GELU(), nn.Linear(64, 2))"): "gelu",
    method("return job.cost(model, 'nosuch')", "boards = ('nosuch',)"): "no board 'nosuch'",
    method("return nn.Sequential(nn.Flatten(), nn.Linear(64, 2)) if job.steps == 0 and len(job.train_x) == 4 else None"): (
        "a method returns a model, not NoneType"
    ),
    network("nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], 3)"): "returns (2, 3), not (2, 4)",
    network("nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes, dtype=torch.float64)"): "is float64",
    NETWORK.format(body="raise UserError('no')"): "it takes neither audio of 1 x 1 x 6400 nor images of 3 x 32 x 32",
    NETWORK.format(body="return 1"): "a network returns a model, not int",
    task("parts[0] = parts[0].astype('float64')"): "train_x: expected float32 [10, 1, 8, 8], found float64 [10, 1, 8, 8]",
    task("parts[1] = y[:10] + 1"): "train_y: expected labels from 0 to 1, found 1 to 2",
    task("parts = list(map(list, parts))"): "train_y: expected int64 [n], found list",
    task("parts[2] = parts[0]"): "a test input also is a training input",
    task("parts[3] = parts[3] * 0"): "test_y: expected labels of every class, found none of ",
    task("1 / 0"): "ZeroDivisionError: division by zero",
    task("pass", "nosuch"): "no network 'nosuch'",
    task("pass", "acdnet"): "acdnet takes raw audio, 1 x 1 x samples, not (1, 8, 8)",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_what_a_run_would_stumble_over(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert main(["test", str(tmp_path / "mine.py")]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("ok ")]
    assert failed and all(line.startswith("FAILED  mine: ") and line.isprintable() for line in failed)
    assert any(WRONG[text] in line for line in failed)
    assert not any("Error: " in line for line in failed) or "Error: " in WRONG[text]


BOARD = load_registry().find("boards", "nucleo_l476rg").path.read_text().replace("name: nucleo_l476rg", "name: mine")


@pytest.mark.parametrize(
    ("folder", "text", "message"),
    [
        ("boards", BOARD.replace("bytes: 0x100000", "bytes: 0"), "can be imported: {path}: flash.bytes: 0 is not a whole"),
        ("boards", BOARD.replace("0x8000}", "0x400}"), "runs a program: "),
        ("benchmarks", "title: t\ntasks: [digts]\nrecipes: [full]\nboards: [nucleo_l476rg]", "no task 'digts'"),
        ("benchmarks", "title: t\ntasks: [digits]", "can be imported: {path}: key 'recipes' is missing"),
        ("ops", "raise SystemExit(3)", "can be imported: {path} cannot be used: SystemExit: 3"),
        ("ops", "raise ValueError('two\\nlines')", "can be imported: {path} cannot be used: ValueError: two lines"),
        ("ops", "from kilobench.compile.operator import Operator\nclass Mine(Operator): types = None", "has no mapping types"),
        ("ops", "class Mine: pass", "can be imported: {path} cannot be used: it holds no subclass of Operator"),
    ],
)  # fmt: skip
def test_files_of_other_kinds(
    folder: str, text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / folder / ("mine.py" if folder == "ops" else "mine.yaml")
    path.parent.mkdir()
    path.write_text(text)
    assert main(["test", str(path)]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("ok ")]
    assert failed and all(line.startswith("FAILED  mine: ") and line.isprintable() for line in failed)
    assert any(message.format(path=path) in line for line in failed)

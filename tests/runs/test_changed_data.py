# SPDX-License-Identifier: Apache-2.0
"""Data that changes under a cache: nothing that was made of other data is used, whatever the task reads."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from kilobench.contracts import CellError, Network, Split, Task, Training, silent
from kilobench.data.loading import ABSENT, contents
from kilobench.learn.stage import Settings, check_model, untrained
from kilobench.plugins.registry import load_registry
from kilobench.record import Record
from kilobench.results.store import Store
from tests.caches import new_cache

PLUGIN = """
from pathlib import Path
from kilobench import data
from kilobench.api import Source, Split, Task

class Own(Task):
    "Numbers of a file."
    name, reference, kind, network = "own", "none", "image", "resnet8[width=4]"
    source = {source}

    @property
    def class_count(self): return 2

    @property
    def input_shape(self): return 1, 8, 8

    def load(self, fold, cache, progress):
        import numpy as np
        folder = {folder}
        x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
        return Split(x[:80], y[:80], x[80:], y[80:], ("a", "b"), data.digest([x, y]))
"""
PUBLISHED = 'Source("own-data", (), "free", 1000000, "none")'


def write_data(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    np.save(folder / "x.npy", random.uniform(-1, 1, (120, 1, 8, 8)).astype(np.float32))
    np.save(folder / "y.npy", np.arange(120) % 2)


@pytest.mark.parametrize("published", [True, False])
def test_changed_data_is_never_mixed_with_what_was_made_before(
    published: bool, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of before is not returned, and a second board has no model of other data than its record says."""
    monkeypatch.setenv("KILOBENCH_CACHE", str(new_cache(tmp_path / "cache", cache)))
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    plugin, folder = tmp_path / "own.py", tmp_path / "own-data"
    read = "data.fetched(self.source, cache, progress)" if published else f"Path({str(folder)!r})"
    plugin.write_text(PLUGIN.format(source=PUBLISHED if published else "None", folder=read))
    write_data(folder, 0)
    first = run(plugin, tmp_path / "first", "nucleo_l476rg")
    assert run(plugin, tmp_path / "first", "nucleo_l476rg") == first
    write_data(folder, 1)
    second = run(plugin, tmp_path / "second", "nucleo_l476rg", "raspberry_pi_pico")
    assert len(second) == 2
    assert {record.data_digest for record in second}.isdisjoint({record.data_digest for record in first})
    assert {record.model_digest for record in second}.isdisjoint({record.model_digest for record in first})
    assert len({(record.data_digest, record.model_digest, record.accuracy.bitmap) for record in second}) == 1


def run(plugin: Path, output: Path, *boards: str) -> list[Record]:
    suite = output.with_suffix(".yaml")
    suite.write_text(f"title: t\ntasks: [own]\nrecipes: [full]\nboards: [{', '.join(boards)}]\ntraining: epochs=1\n")
    command = [sys.executable, "-m", "kilobench", "--plugins", plugin, "run", suite, "--output", output]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Store(output / "records").read_all()


def test_contents_are_those_of_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    plugin = tmp_path / "own.py"
    plugin.write_text(PLUGIN.format(source=PUBLISHED, folder="data.fetched(self.source, cache, progress)"))
    task: Task = load_registry([str(plugin)]).get("tasks", "own")
    assert contents(task, 0, tmp_path / "cache", silent) == ABSENT
    write_data(tmp_path / "own-data", 0)
    before = contents(task, 0, tmp_path / "cache", silent)
    assert contents(task, 0, tmp_path / "cache", silent) == before
    (tmp_path / "own-data/.hidden").write_text("")
    assert contents(task, 0, tmp_path / "cache", silent) == before
    (tmp_path / "own-data/z.txt").write_text("")
    assert contents(task, 0, tmp_path / "cache", silent) != before
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "own-data/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "own-data/loop").symlink_to(tmp_path / "own-data")
    before = contents(task, 0, tmp_path / "cache", silent)
    (tmp_path / "elsewhere/a.wav").write_text("")
    assert contents(task, 0, tmp_path / "cache", silent) != before


def test_contents_of_what_a_plug_in_loads_are_those_of_the_arrays(tmp_path: Path) -> None:
    """Whatever it says of them."""

    class Made(Plain):
        name = "made"
        low: float = 0.0

        def load(self, fold: int, cache: Path, progress: object) -> Split:
            x, y = np.full((4, 1, 4, 4), self.low, np.float32), np.array([0, 1, 0, 1])
            return Split(x, y, x, y, ("a", "b"), "always the same")

    made = [contents(Made(low=low), 0, tmp_path, silent) for low in (0.0, 0.5, 7.0)]
    assert len(set(made)) == 3
    assert made[2] == ABSENT  # what is wrong is told by the step that needs it


class Plain(Task):
    """Four black images."""

    name, reference, kind, network = "plain", "none", "image", "resnet8"

    @property
    def class_count(self) -> int:
        return 2

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return 1, 4, 4

    def load(self, fold: int, cache: Path, progress: object) -> Split:
        x, y = np.zeros((4, 1, 4, 4), np.float32), np.array([0, 1, 0, 1])
        return Split(x, y, x, y, ("a", "b"), "d")


def test_a_model_is_checked_as_it_arrives() -> None:
    from torch import nn

    flat = nn.Flatten()
    check_model(nn.Sequential(flat, nn.Linear(16, 2)), Plain())
    with pytest.raises(CellError, match=r"returns \(2, 7\), not \(2, 2\)"):
        check_model(nn.Sequential(flat, nn.Linear(16, 7)), Plain())
    broken = nn.Sequential(flat, nn.Linear(16, 2))
    nn.init.constant_(broken[1].bias, float("nan"))
    with pytest.raises(CellError, match=r"not finite: 1\.bias"):
        check_model(broken, Plain())
    with pytest.raises(CellError, match="a method returns a model, not NoneType"):
        check_model(None, Plain())  # type: ignore[arg-type]


class Wide(Network):
    """One logit too many."""

    name, reference = "wide", "none"

    def build(self, input_shape: tuple[int, int, int], classes: int, sample_rate: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, classes + 1))


def test_a_network_is_checked_before_it_is_trained() -> None:
    settings = Settings(Plain(), Wide(), Training(), 0, 2, "cpu")
    with pytest.raises(CellError, match=r"returns \(2, 3\), not \(2, 2\)"):
        untrained(settings)

# SPDX-License-Identifier: Apache-2.0
"""Data that changes under a cache: nothing that was made of other data is used, whatever the task reads."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from kilobench.contracts import CellError, Network, Split, Task, Training, UserError, silent
from kilobench.data.loading import ABSENT, contents, load
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

    class Made(Broken):
        name = "made"
        low: float = 0.0

        def load(self, fold: int, cache: Path, progress: object) -> Split:
            x, y = np.full((4, 1, 4, 4), self.low, np.float32), np.array([0, 1, 0, 1])
            return Split(x, y, x, y, ("a", "b"), "always the same")

    made = [contents(Made(low=low), 0, tmp_path, silent) for low in (0.0, 0.5, 7.0)]
    assert len(set(made)) == 3
    assert made[2] == ABSENT  # what is wrong is told by the step that needs it


class Broken(Task):
    """Data with something wrong."""

    name, reference, kind, network = "broken", "none", "image", "resnet8"
    what: str = ""

    @property
    def class_count(self) -> int:
        return 2

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return 1, 4, 4

    def load(self, fold: int, cache: Path, progress: object) -> Split:
        x, y = np.zeros((4, 1, 4, 4), np.float32), np.array([0, 1, 0, 1])
        values = {"train_x": x, "train_y": y, "test_x": x, "test_y": y, "classes": ("a", "b"), "digest": "d"}
        return Split(**values | WRONG[self.what])  # type: ignore[arg-type]


WRONG: dict[str, dict[str, object]] = {
    "": {},
    "test_x: expected float32 [4, 1, 4, 4], found float32 [4, 1, 3, 4]": {"test_x": np.zeros((4, 1, 3, 4), np.float32)},
    "train_x: expected float32 [4, 1, 4, 4], found float64 [4, 1, 4, 4]": {"train_x": np.zeros((4, 1, 4, 4))},
    "train_x: expected float32 [4, 1, 4, 4], found float32 [0, 1, 4, 4]": {
        "train_x": np.zeros((0, 1, 4, 4), np.float32)
    },
    "train_y: expected at least one label, found none": {"train_y": np.zeros(0, np.int64)},
    "test_y: expected int64 [n], found int32 [4]": {"test_y": np.zeros(4, np.int32)},
    "test_y: expected labels from 0 to 1, found 1 to 2": {"test_y": np.array([1, 2, 1, 2])},
    "train_y: expected labels from 0 to 1, found -1 to 1": {"train_y": np.array([-1, 1, 0, 0])},
    "test_x: expected values in [-1, 1], found nan to nan": {"test_x": np.full((4, 1, 4, 4), np.nan, np.float32)},
    "train_x: expected values in [-1, 1], found 0 to 2": {
        "train_x": np.array([0, 2, 0, 0], np.float32).repeat(16).reshape(4, 1, 4, 4)
    },
    "'list' object has no attribute 'ndim'": {"train_x": [1, 2]},
    "classes: expected 2 names, found 3": {"classes": ("a", "b", "c")},
    "digest: expected a text, found None": {"digest": None},
    "notes: expected lines of text, found some": {"notes": "some"},
    "notes: expected lines of text, found ('a\\nb',)": {"notes": ("a\nb",)},
    "partial: expected a whole number, found -1": {"partial": -1},
    "train_groups: expected shape (4,), found (3,)": {"train_groups": np.zeros(3, np.int64)},
    "test_clips: expected float32 [4, 1, 4, 4], found float32 [3, 1, 4, 4]": {
        "test_clips": np.zeros((3, 1, 4, 4), np.float32)
    },
}


@pytest.mark.parametrize("what", sorted(WRONG))
def test_data_is_checked_as_it_arrives(what: str, tmp_path: Path) -> None:
    if not what:
        load(Broken(), 0, tmp_path, silent)
        return
    with pytest.raises(UserError) as raised:
        load(Broken(what=what), 0, tmp_path, silent)
    assert str(raised.value) == f"broken: fold 0: {what}"


def test_a_model_is_checked_as_it_arrives() -> None:
    from torch import nn

    flat = nn.Flatten()
    check_model(nn.Sequential(flat, nn.Linear(16, 2)), Broken())
    with pytest.raises(CellError, match=r"returns \(2, 7\), not \(2, 2\)"):
        check_model(nn.Sequential(flat, nn.Linear(16, 7)), Broken())
    broken = nn.Sequential(flat, nn.Linear(16, 2))
    nn.init.constant_(broken[1].bias, float("nan"))
    with pytest.raises(CellError, match=r"not finite: 1\.bias"):
        check_model(broken, Broken())
    with pytest.raises(CellError, match="a method returns a model, not NoneType"):
        check_model(None, Broken())  # type: ignore[arg-type]


class Wide(Network):
    """One logit too many."""

    name, reference = "wide", "none"

    def build(self, input_shape: tuple[int, int, int], classes: int, sample_rate: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, classes + 1))


def test_a_network_is_checked_before_it_is_trained() -> None:
    settings = Settings(Broken(), Wide(), Training(), 0, 2, "cpu")
    with pytest.raises(CellError, match=r"returns \(2, 3\), not \(2, 2\)"):
        untrained(settings)

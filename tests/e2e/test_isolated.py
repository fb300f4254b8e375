# SPDX-License-Identifier: Apache-2.0
"""What a plug-in changes in its process, when it is imported and when it works, changes nothing of other recipes."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kilobench.results.store import Store
from tests.caches import new_cache

DISTURBING = '''
import os
import random
from pathlib import Path

import numpy
import torch

from kilobench.api import Method


def disturb():
    os.chdir("/")
    os.environ.update(OMP_NUM_THREADS="7", ATEN_CPU_CAPABILITY="default", PLATFORMIO_BUILD_FLAGS="-O0", TMPDIR="/nowhere")
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(False)
    torch.backends.mkldnn.enabled = False
    leaky = lambda x, *_, **__: torch.nn.functional.leaky_relu(x, 0.3)
    torch.relu = torch.nn.functional.relu = leaky
    torch.nn.ReLU.forward = lambda self, x: leaky(x)


class Disturbing(Method):
    """Changes what is global, as far as it goes unnoticed."""

    name = "disturbing"
    reference = "none"
    order = 1

    def apply(self, model, job):
        disturb()
        Path(__file__).with_name(f"worked-{job.seed}").write_text(str(os.nice(0)))
        return model


disturb()
'''
UNUSED = "import torch\ntorch.set_default_dtype(torch.float64)\n"
RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="kilobench[ray] is not installed")


class Runs:
    """Runs of ``kilobench run`` on one task, each with a cache of its own; all have the compiler's part of ``compiled``."""

    def __init__(self, folder: Path, compiled: Path) -> None:
        self._folder, self._compiled = folder, compiled
        self.plugins = folder / "plugins"
        self.plugins.mkdir()
        (self.plugins / "disturbing.py").write_text(DISTURBING)
        (self.plugins / "unused.py").write_text(UNUSED)
        self.expected = self.digests("clean", "full")

    def digests(self, name: str, recipes: str, *arguments: str, before: tuple[str, ...] = ()) -> dict[int, str]:
        """Of the models of ``full``, by seed."""
        folder = self._folder / name
        folder.mkdir()
        new_cache(folder / "cache", self._compiled)
        suite = folder / "s.yaml"
        suite.write_text(
            f"title: t\ntasks: [digits]\nnetwork: 'resnet8[width=4]'\nrecipes: [{recipes}]\nseeds: [7, 8]\n"
            "boards: [nucleo_l476rg]\ntraining: epochs=1\n"
        )
        command = [
            sys.executable,
            "-m",
            "kilobench",
            *before,
            "run",
            str(suite),
            "--output",
            str(folder / "out"),
            *arguments,
        ]
        environment = os.environ | {"KILOBENCH_CACHE": str(folder / "cache")}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
        assert not done.returncode, done.stdout + done.stderr
        records = Store(folder / "out" / "records").read_all()
        return {record.seed: record.model_digest for record in records if record.recipe == "full"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Runs:
    return Runs(tmp_path_factory.mktemp("isolated"), cache)


@pytest.mark.parametrize("where", [["--workers", "1"], pytest.param(["--ray", "local"], marks=RAY)], ids=lambda w: w[0])
def test_a_method_changes_no_other_recipe(runs: Runs, where: list[str]) -> None:
    plugins = ("--plugins", str(runs.plugins))
    assert runs.digests(f"disturbed{where[0]}", "disturbing, full", *where, before=plugins) == runs.expected
    for seed in runs.expected:
        worked = runs.plugins / f"worked-{seed}"
        assert int(worked.read_text()) == os.nice(0), "no later than what else runs here"
        worked.unlink()


def test_a_plug_in_that_is_listed_alone_changes_nothing(runs: Runs) -> None:
    """``--workers 0`` would work in the process that has imported it."""
    plugins = ("--plugins", str(runs.plugins))
    assert runs.digests("listed", "full", "--workers", "0", before=plugins) == runs.expected

# SPDX-License-Identifier: Apache-2.0
"""An operator, its kernel, and a method with a loss and parameters of its own, from outside: tests/plugins/channel_scale."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kilobench.results.store import Store
from tests.caches import new_cache

EXAMPLE = Path(__file__).parents[1] / "plugins/channel_scale"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A folder with a copy of the plug-in and a cache."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(EXAMPLE, folder / "mine")
    new_cache(folder / "cache", cache)
    return folder


def kilobench(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kilobench", *arguments]
    environment = os.environ | {"KILOBENCH_CACHE": str(place / "cache")}
    return subprocess.run(command, cwd=place, capture_output=True, text=True, env=environment, check=False)


def run(place: Path) -> subprocess.CompletedProcess[str]:
    words = "--plugins mine run --task digits --network scaled --recipe even+int8 --training epochs=1 --board raspberry_pi_pico"
    return kilobench(place, *words.split(), "--output", "out")


def test_a_network_runs_with_it(place: Path) -> None:
    done = run(place)
    assert "1 measured, 0 cached, 0 failed" in done.stdout, done.stdout + done.stderr
    assert "even done" in done.stdout
    (record,) = Store(place / "out/records").read_all()
    assert [layer.kind for layer in record.layers] == ["pixels", "conv2d", "channel_scale", "conv2d"]
    assert record.accuracy.mean > 0.5
    assert "0 measured, 1 cached" in run(place).stdout


def test_an_edited_kernel_is_measured_again_and_nothing_is_trained(place: Path) -> None:
    kernel = place / "mine/kernels/channel_scale.c"
    kernel.write_text(kernel.read_text() + "typedef int edited;\n")
    done = run(place)
    assert "1 measured, 0 cached, 0 failed" in done.stdout
    assert "train done" not in done.stdout


def test_its_contract_is_that_of_numpy(place: Path) -> None:
    done = kilobench(place, "test", "mine/ops/channel_scale.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok      channel_scale: is on the host, Cortex-M4F and Cortex-M0+ what NumPy says") == 2


def test_a_kernel_that_differs_from_numpy_fails_its_contract(place: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "wrong")
    kernel = tmp_path / "wrong/kernels/channel_scale.c"
    kernel.write_text(kernel.read_text().replace("in[i] * p->scale[c]", "in[i] * p->scale[0]"))
    done = kilobench(place, "test", str(tmp_path / "wrong/ops/channel_scale.py"))
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1 and "float32 to float32: ValueError: host C differs from NumPy by up to" in failed[0]


def test_a_model_without_its_operator_is_one_line(place: Path) -> None:
    (model,) = (place / "out/models").glob("*.safetensors.xz")
    done = kilobench(place, "measure", str(model), "--board", "raspberry_pi_pico", "--output", "other")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith(
        "a kind that cannot be used: there is no operator 'channel_scale'; those of plug-ins need --plugins"
    )
    again = kilobench(
        place, "--plugins", "mine", "measure", str(model), "--board", "nucleo_l476rg", "--output", "other"
    )
    assert again.returncode == 0, again.stderr

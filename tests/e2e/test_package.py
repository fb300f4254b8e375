# SPDX-License-Identifier: Apache-2.0
"""The wheel, built from the sdist, in a clean environment."""

import os
import shutil
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from pathlib import Path

import pytest

from tests.figures import differences

ROOT = Path(__file__).parents[2]
MODEL = next(ROOT.glob("leaderboard/models/88538424838b0260*"))
MOST_MEGABYTES = 700
"""Of a virtual environment with the core: zig takes 411."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    assert len(list(folder.glob("*.tar.gz"))) == 1
    return wheel


def test_what_else_lies_in_a_checkout_is_not_packed(tmp_path: Path) -> None:
    """As a virtual environment may, whose links no archive takes."""
    aside = shutil.ignore_patterns(".git", ".tox", ".venv", "leaderboard", "__pycache__")
    checkout = shutil.copytree(ROOT, tmp_path / "checkout", ignore=aside, symlinks=True)
    (checkout / "mine" / "bin").mkdir(parents=True)
    (checkout / "mine" / "bin" / "python3").symlink_to(sys.executable)
    build = [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", str(tmp_path), str(checkout)]
    subprocess.run(build, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        names = {name.split("/")[1] for name in archive.getnames()}
    assert "mine" not in names and {"kilobench", "tests", "pyproject.toml", "LICENSE"} <= names


def test_an_operator_of_a_plugin_is_compiled_with_the_wheel_too(wheel: Path, tmp_path: Path, cache: Path) -> None:
    """Unpacked instead of installed, so that it finds the heavy dependencies."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    plugin = shutil.copytree(ROOT / "tests/plugins/channel_scale", tmp_path / "mine")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "KILOBENCH_CACHE": str(cache)}
    command = [sys.executable, "-m", "kilobench", "test", str(plugin / "ops/channel_scale.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    where = "import kilobench.paths; print(kilobench.paths.hardware_dir())"
    done = subprocess.run([sys.executable, "-c", where], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout.strip() == str((tmp_path / "installed/kilobench/contrib/hardware").resolve())


def test_the_wheel_lists_its_contributions_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """Listing needs PyYAML and filelock only; the heavy dependencies are left out to keep this quick."""
    venv.create(tmp_path / "clean", with_pip=True)
    python = tmp_path / "clean" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", "pyyaml", "filelock"], check=True)
    subprocess.run([*pip, "--no-deps", wheel], check=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "KILOBENCH"))}
    program = tmp_path / "clean" / "bin" / "kilobench"
    done = subprocess.run([program, "list"], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    for name in ("spoken-words", "acdnet", "xnor", "raspberry_pi_pico", "quickstart"):
        assert name in done.stdout
    assert "BROKEN" not in done.stdout
    one_name = "from kilobench.contrib.methods.xnor import Xnor; print(Xnor.__module__)"
    done = subprocess.run(
        [python, "-c", one_name], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
    )
    assert done.stdout.strip() == "kilobench.contrib.methods.xnor"


def test_the_core_is_small_and_measures(wheel: Path, tmp_path: Path) -> None:
    """Installed as a user does, without torch; shown with -s: how long it takes until the first figure is there."""
    start = time.monotonic()
    venv.create(tmp_path / "core", with_pip=True)
    python, program = tmp_path / "core/bin/python", tmp_path / "core/bin/kilobench"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", wheel], check=True)
    installed = time.monotonic()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "KILOBENCH"))}
    environment["KILOBENCH_CACHE"] = str(tmp_path / "cache")
    measure = ["measure", MODEL, "--board", "nucleo_l476rg", "--output"]
    subprocess.run(
        [program, *measure, tmp_path / "core-out"], check=True, capture_output=True, env=environment, cwd=tmp_path
    )
    measured = time.monotonic()
    megabytes = int(subprocess.run(["du", "-sm", tmp_path / "core"], capture_output=True, check=True).stdout.split()[0])
    print(
        f"\ncore: {megabytes} MiB; installed in {installed - start:.0f} s, first figure {measured - installed:.0f} s later"
    )
    assert megabytes <= MOST_MEGABYTES
    assert not list((tmp_path / "core/lib").glob("python*/site-packages/torch"))
    subprocess.run([sys.executable, "-m", "kilobench", *measure, tmp_path / "out"], check=True, capture_output=True)
    assert list(differences(tmp_path / "core-out", tmp_path / "out")) == []
    said = subprocess.run([program, "run", "quickstart"], capture_output=True, text=True, env=environment, check=False)
    assert said.returncode == 2 and said.stderr.endswith("python -m pip install 'kilobench[train]'\n")

# SPDX-License-Identifier: Apache-2.0
"""How MLCommons' runner finds a pseudo-terminal, as docs/protocol.md shows it; and the runner itself, where it is at hand:

KILOBENCH_MLCOMMONS_RUNNER=tiny/benchmark/runner, in an environment that has what it needs, and MLPerf's inputs in KILOBENCH_DATA.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compile import mlperf
from tests.device.serving import served

DOCS = Path(__file__).parents[2] / "docs" / "protocol.md"
RUNNER = os.environ.get("KILOBENCH_MLCOMMONS_RUNNER", "")
MODELS = {"ic01": "pretrainedResnet_quant", "kws01": "kws_ref_model"}


def environment(folder: Path, port: str) -> dict[str, str]:
    """With the file of the docs in a folder."""
    (shown,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    (folder / "sitecustomize.py").write_text(shown)
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PORT": port, "PYTHONPATH": paths}


def test_a_pseudo_terminal_has_the_ids_of_a_nucleo(tmp_path: Path) -> None:
    listing = "from serial.tools import list_ports\nfor p in list_ports.comports(True): print(p.device, p.vid, p.pid)"
    done = subprocess.run(
        [sys.executable, "-c", listing],
        env=environment(tmp_path, "/dev/pts/7"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == f"/dev/pts/7 {0x0483} {0x374B}"


@pytest.mark.skipif(not (RUNNER and mlperf.there()), reason="MLCommons' runner and its data are not at hand")
@pytest.mark.parametrize("name", MODELS)
def test_the_runner_itself(name: str, tmp_path: Path) -> None:
    """Both modes, one after the other at the same port, on two inputs of every class."""
    source, folder = mlperf.FOLDER / name, tmp_path / "data" / name
    folder.mkdir(parents=True)
    rows = list(csv.reader((source / "y_labels.csv").open()))
    few = [row for label in sorted({row[2] for row in rows}) for row in [r for r in rows if r[2] == label][:2]]
    csv.writer((folder / "y_labels.csv").open("w")).writerows(few)
    for row in few:
        shutil.copy(source / row[0], folder)
    with served(mlperf.path_of(MODELS[name]), "nucleo_l4r5zi", "--as", name) as port:
        for mode, said in (
            ("accuracy", r"Top 1% = ([89]\d|100)\.\d$"),
            ("performance", r"Median throughput is +[1-9]"),
        ):
            command = [sys.executable, f"{RUNNER}/main.py", "-s", str(folder.parent), "-m", mode[0]]
            command += ["-t", f"{RUNNER}/tests_{mode}.yaml", "-d", f"{RUNNER}/devices_kws_ic_vww.yaml"]
            done = subprocess.run(
                command, cwd=tmp_path, env=environment(tmp_path, port), capture_output=True, text=True, check=False
            )
            assert done.returncode == 0 and re.search(said, done.stdout, re.M), done.stdout + done.stderr

# SPDX-License-Identifier: Apache-2.0
"""Whatever file of the cache is damaged: it is made again, which is said in a line, and results are as before."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kilobench.record import Record
from kilobench.results.store import Store, timeless
from tests.caches import SHARED

SUITE = "title: t\ntasks: [digits]\nrecipes: [full, int8]\nboards: [nucleo_l476rg]\ntraining: epochs=1\n"
PRODUCTS = ("models", "evaluations", "records")


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x80]) + content[middle + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "one bit": flipped,
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
}


def run(cache: Path, output: Path) -> tuple[list[dict[str, object]], str]:
    """Records, and what was printed."""
    suite = output.with_suffix(".yaml")
    suite.write_text(SUITE)
    command = [sys.executable, "-m", "kilobench", "run", str(suite), "--output", str(output)]
    environment = os.environ | {"KILOBENCH_CACHE": str(cache)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    records: list[Record] = Store(output / "records").read_all()
    return [timeless(record) for record in records], done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, list[dict[str, object]]]:
    """The cache of a finished run with compiled objects of its own, and the records."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "cache").mkdir()
    (folder / "cache" / "zig").symlink_to(cache / "zig")
    return folder / "cache", run(folder / "cache", folder / "out")[0]


@pytest.mark.parametrize("how", sorted(DAMAGE))
def test_whatever_is_damaged_is_made_again(
    how: str, finished: tuple[Path, list[dict[str, object]]], tmp_path: Path
) -> None:
    """All at once, as each reads the one before it: records, evaluations, models; objects, hooks, timings, failures of before."""
    cache = tmp_path / "cache"
    shutil.copytree(finished[0], cache, symlinks=True)
    (cache / "failures").mkdir(exist_ok=True)
    products = [
        path for kind in PRODUCTS for path in (cache / kind).iterdir() if path.suffix in (".json", ".safetensors")
    ]
    for key in (path.stem for path in products):
        (cache / "failures" / f"{key}.json").write_text("{}")
    compiled = [path for kind in ("objects", "hooks", "host", "failures") for path in (cache / kind).rglob("*")]
    others = [path for path in compiled if path.is_file() and path.suffix != ".sha256"]
    for file in (*products, *others, cache / "costs.jsonl"):
        file.write_bytes(DAMAGE[how](file.read_bytes()))
    records, printed = run(cache, tmp_path / "out")
    assert records == finished[1]
    assert printed.count("in the cache was damaged and is made anew") == len(products)
    assert "skipped" not in printed


def test_a_damaged_model_is_not_published_with_a_record_that_is_not(
    finished: tuple[Path, list[dict[str, object]]], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(finished[0], cache, symlinks=True)
    published = {path.name: path.read_bytes() for path in (finished[0].parent / "out/models").iterdir()}
    for path in (cache / "evaluations").glob("*.safetensors"):
        path.write_bytes(flipped(path.read_bytes()))
    records, printed = run(cache, tmp_path / "out")
    assert records == finished[1]
    assert printed.count("in the cache was damaged and is made anew") == len(published) == 2
    for path in (tmp_path / "out/models").iterdir():
        assert path.read_bytes() == published[path.name], "the same run gives the same bytes"


def test_a_file_where_the_cache_should_be_is_one_line(tmp_path: Path) -> None:
    """So is a folder that cannot be written."""
    (tmp_path / "cache").touch()
    (tmp_path / "s.yaml").write_text(SUITE)
    command = [sys.executable, "-m", "kilobench", "run", str(tmp_path / "s.yaml"), "--output", str(tmp_path / "out")]
    environment = os.environ | {"KILOBENCH_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"kilobench: no files can be written to the cache {tmp_path / 'cache'}; ")
    assert done.stderr.count("\n") == 1


def test_every_file_of_the_cache_is_among_those_tested(finished: tuple[Path, list[dict[str, object]]]) -> None:
    known = {*PRODUCTS, *SHARED, "costs.jsonl", "failures", "firmware", "logs", "data", "ports", "seconds"}
    assert {path.name for path in finished[0].iterdir() if path.suffix != ".lock"} <= known


def test_damaged_arrays_and_digests_are_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from kilobench import data
    from kilobench.contracts import silent

    def make(create: data.Create) -> None:
        create("numbers", (1000,), "<i4")[:] = range(1000)

    (tmp_path / "a.wav").write_bytes(b"a")
    for damaged in DAMAGE.values():
        data.cached_arrays(tmp_path, "key", make)
        digests = data.file_digests([tmp_path / "a.wav"], tmp_path, silent)
        for path in (tmp_path / "key/numbers.npy", tmp_path / "digests.json"):
            path.write_bytes(damaged(path.read_bytes()))
        assert data.cached_arrays(tmp_path, "key", make)["numbers"].tolist() == list(range(1000))
        assert "was damaged and is made anew" in capsys.readouterr().err
        assert data.file_digests([tmp_path / "a.wav"], tmp_path, silent) == digests

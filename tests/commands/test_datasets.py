# SPDX-License-Identifier: Apache-2.0
"""kilobench data list, fetch, verify and import, on a small plug-in task and on real ones."""

import shutil
import tarfile
from pathlib import Path

import pytest

from kilobench.cli import main
from kilobench.data.loading import contents
from kilobench.plugins.registry import load_registry
from tests.tasks.loading import REAL_DATA, needs_real, silent

PLUGIN = '''
"""A data set of four numbers."""

from kilobench import data
from kilobench.api import Source, Split, Task

SOURCE = Source("numbers-1", ("a.bin", "b.bin"), "CC0", 8, "https://example.org/numbers", {url!r}, {checksum!r}, 10)


class Numbers(Task):
    """Numbers."""

    name, reference, kind, network, source = "numbers", "none", "image", "resnet8", SOURCE
    class_count, input_shape = 2, (1, 1, 1)

    def load(self, fold, cache, progress):
        import numpy as np

        folder = data.fetched(SOURCE, cache, progress)
        damage = data.Damage(folder.name, 4, "numbers")
        damage.add("missing", [name for name in ("a.bin", "b.bin") if not (folder / name).is_file()], 2)
        found = [path for path in (folder / "a.bin", folder / "b.bin") if path.is_file()]
        data.file_digests(found, cache, progress)
        damage.add("corrupt", [path.name for path in found if path.stat().st_size != 2], 2)
        damage.check()
        partial, notes = data.lacking({{"numbers": (2 * len(found), 4)}})
        x = np.zeros((2, 1, 1, 1), np.float32)
        return Split(x, np.arange(2), x, np.arange(2), ("a", "b"), "d", notes, partial=partial)
'''


@pytest.fixture
def numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data set's folder; its task is a plug-in, its archive is beside it."""
    folder = tmp_path / "site" / "numbers-1"
    folder.mkdir(parents=True)
    for name in ("a.bin", "b.bin"):
        (folder / name).write_bytes(b"xx")
    archive = tmp_path / "site" / "numbers.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, "numbers-main")
    plugin = tmp_path / "numbers.py"
    plugin.write_text(PLUGIN.format(url=archive.as_uri(), checksum=""))
    monkeypatch.setenv("KILOBENCH_PLUGINS", str(plugin))
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KILOBENCH_DATA", raising=False)
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "")  # undone afterwards, as --allow-partial sets it
    return folder


def test_every_data_set_is_listed_with_what_one_needs_to_know(
    numbers: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILOBENCH_DATA", str(numbers.parent))
    assert main(["data", "list"]) == 0
    output = capsys.readouterr().out
    assert f"numbers-1: numbers\n  where    {numbers}\n  size     0 MB, licence: CC0\n" in output
    assert "  get      kilobench data fetch numbers; https://example.org/numbers\n" in output
    for text in (
        "ESC-50-master: esc10, esc10-logmel, esc50\n  where    not here\n",
        "AudioEventDataset: audioevent\n",
        "no download; kilobench data import PATH",
        "nothing to get for: digits, spoken-words",
    ):
        assert text in output


def test_fetching_downloads_and_verifies(numbers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch", "numbers"]) == 0
    output = capsys.readouterr().out
    assert f"{tmp_path / 'cache' / 'data' / 'numbers-1'}\n" in output
    assert "numbers: complete: 2 classes, 2 training and 2 test inputs\n" in output


def test_verifying_names_every_damage_and_reads_all_again(numbers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify", "numbers"]) == 2
    assert "numbers-1 is not on this machine" in capsys.readouterr().err
    assert main(["data", "import", str(numbers)]) == 0
    assert main(["data", "verify", "numbers-1"]) == 0
    (numbers / "a.bin").write_bytes(b"x")
    (numbers / "b.bin").unlink()
    capsys.readouterr()
    assert main(["data", "verify", "numbers"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("numbers: numbers-1 should have 4 numbers: 2 missing (b.bin), 2 corrupt (a.bin); ")
    assert lines[1:] == ["  missing: b.bin", "  corrupt: a.bin"]


@pytest.mark.parametrize("kind", ["folder", "parent", "renamed", "archive"])
def test_importing_recognises_folders_and_archives(
    kind: str, numbers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"folder": numbers, "parent": numbers.parent, "renamed": tmp_path / "mine"}
    if kind == "renamed":
        numbers.rename(places[kind])
    path = numbers.parent / "numbers.tar.gz" if kind == "archive" else places[kind]
    assert main(["data", "import", str(path)]) == 0
    kept = tmp_path / "cache" / "data" / "numbers-1"
    assert (kept / "a.bin").is_file() and kept.is_symlink() == (kind != "archive")
    assert f"complete: 2 classes, 2 training and 2 test inputs\n{kept}" in capsys.readouterr().out
    assert main(["data", "import", str(path)]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([3_000_000], "would unpack to many more bytes than the data set has: over 1000016 bytes"),
        ([1] * 1100, "would unpack to many more files than the data set has: over 1020 files"),
    ],
)
def test_an_archive_is_held_to_the_size_of_its_own_data_set(
    sizes: list[int],
    message: str,
    numbers: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not to that of the largest there is, and nothing is written first."""
    for index, size in enumerate(sizes):
        (numbers / f"{index}.txt").write_bytes(bytes(size))
    with tarfile.open(tmp_path / "large.tar.gz", "w:gz") as tar:
        tar.add(numbers, "numbers-main")
    monkeypatch.setattr("kilobench.data.archives.Archive.unpack", lambda *_: pytest.fail("written"))
    assert main(["data", "import", str(tmp_path / "large.tar.gz")]) == 2
    assert capsys.readouterr().err == f"kilobench: large.tar.gz {message}\n"
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as tar:
        tar.add(numbers / "a.bin", "other/a.bin")
    assert main(["data", "import", str(tmp_path / "other.tar.gz")]) == 2
    assert "other.tar.gz is none of the data sets that there are tasks for: " in capsys.readouterr().err


def test_damaged_data_is_not_imported_unless_partial_data_is_allowed(
    numbers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (numbers / "b.bin").unlink()
    kept = tmp_path / "cache" / "data" / "numbers-1"
    assert main(["data", "import", str(numbers)]) == 2
    assert "missing: b.bin\nnumbers-1 was not kept" in capsys.readouterr().out and not kept.is_symlink()
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "")
    assert main(["data", "import", "--allow-partial", str(numbers)]) == 0
    assert "numbers: partial: 2 classes" in capsys.readouterr().out and kept.is_symlink()


def test_what_is_no_data_set_is_refused(numbers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    for arguments, message in (
        (["import", str(tmp_path / "other")], "other is none of the data sets that there are tasks for: "),
        (["import", str(tmp_path / "nowhere")], "no such file or folder"),
        (["import", str(tmp_path / "numbers.py")], "numbers.py cannot be unpacked"),
        (["verify", "number"], "no data set or task 'number'; nearest is 'numbers'"),
        (["fetch", "digits"], "digits has no data to get"),
        (["fetch", "audioevent"], "AudioEventDataset has no download; get it from https://data.vision.ee.ethz.ch"),
    ):
        assert main(["data", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


@needs_real("free-spoken-digit-dataset")
def test_the_real_fsdd_is_verified_and_a_changed_recording_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    recordings = tmp_path / "free-spoken-digit-dataset" / "recordings"
    shutil.copytree(Path(REAL_DATA) / "free-spoken-digit-dataset" / "recordings", recordings)
    assert main(["data", "verify", "fsdd"]) == 0
    assert "fsdd: complete: 10 classes, 2500 training and 500 test inputs in fold 0 of 6" in capsys.readouterr().out
    path = recordings / "0_george_0.wav"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-2] + b"\x01\x02")
    assert main(["data", "verify", "fsdd"]) == 2
    assert "differs from release v1.0.10" in capsys.readouterr().out


TWO = '''
"""Numbers, and letters of another publisher."""

from kilobench import data
from kilobench.api import Source, Split, Task

NUMBERS = Source("numbers-2", ("a.bin",), "CC0", 8, "https://example.org/numbers")
LETTERS = Source("letters-2", ("b.txt",), "CC0", 8, "https://example.org/letters")


class Two(Task):
    """Numbers and letters."""

    name, reference, kind, network, source, further = "two", "none", "image", "resnet8", NUMBERS, (LETTERS,)
    class_count, input_shape = 2, (1, 1, 1)

    def load(self, fold, cache, progress):
        import numpy as np

        for source in self.sources():
            data.fetched(source, cache, progress)
        x = np.zeros((2, 1, 1, 1), np.float32)
        return Split(x, np.arange(2), x, np.arange(2), ("a", "b"), "d")
'''


def test_a_task_may_read_two_data_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin, cache = tmp_path / "two.py", tmp_path / "cache" / "data"
    plugin.write_text(TWO)
    for folder, file in (("numbers-2", "a.bin"), ("letters-2", "b.txt")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text("x")
    monkeypatch.setenv("KILOBENCH_PLUGINS", str(plugin))
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KILOBENCH_DATA", raising=False)
    assert main(["data", "import", str(tmp_path / "letters-2")]) == 0
    told = f"two: not verified, as numbers-2 is not on this machine\n{cache / 'letters-2'}\n"
    assert capsys.readouterr().out == told
    assert main(["data", "verify", "two"]) == 2
    assert "numbers-2 is not on this machine" in capsys.readouterr().err
    two = load_registry().get("tasks", "two")
    assert contents(two, 0, cache, silent) == "absent"
    assert main(["data", "import", str(tmp_path / "numbers-2")]) == 0
    assert main(["data", "verify", "two"]) == 0
    assert "two: complete: 2 classes, 2 training and 2 test inputs\n" in capsys.readouterr().out
    before = contents(two, 0, cache, silent)
    (tmp_path / "letters-2" / "b.txt").write_text("changed")
    assert contents(two, 0, cache, silent) != before
    assert main(["data", "list"]) == 0
    output = capsys.readouterr().out
    assert "numbers-2: two\n" in output and "letters-2: two\n" in output

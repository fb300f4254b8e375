# SPDX-License-Identifier: Apache-2.0
"""Labelled inputs in MLPerf Tiny's layout, and everything that can be wrong with them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kilobench.contracts import UserError
from kilobench.data.labelled import Labelled, read_labels
from kilobench.data.rawfiles import read_inputs
from tests.data.labelled import Array, folder_of, photographs

PUBLISHED = Path(os.environ.get("KILOBENCH_DATA", "nowhere")) / "mlperf-tiny"
INT8 = "int8", (2, 2, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three inputs of four values."""
    return folder_of(tmp_path / "set", np.arange(12, dtype=np.int8).reshape(3, 2, 2, 1), [2, 0, 1], 3)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as told:
        call()
    assert "\n" not in str(told.value)
    return str(told.value)


def test_what_a_folder_holds(folder: Path) -> None:
    labelled = read_labels(folder)
    assert (labelled.names, labelled.classes, labelled.window) == (("0.bin", "1.bin", "2.bin"), 3, None)
    assert labelled.labels.tolist() == [2, 0, 1] and labelled.published is None and labelled.title == "set"
    inputs, files = read_inputs(labelled, *INT8)
    assert inputs.ravel().tolist() == list(range(12)) and files.tolist() == [0, 1, 2]


def test_what_makes_no_difference(folder: Path) -> None:
    digest = read_labels(folder).digest()
    text = (folder / "y_labels.csv").read_text()
    for same in (
        text.replace(",", ", ").replace("\n", "\r\n"),
        text + "\n\n",
        "\ufeff" + text,
        text.replace("0.bin", '"0.bin"'),
        text.rstrip(),
    ):
        (folder / "y_labels.csv").write_bytes(same.encode())
        assert read_labels(folder).digest() == digest
    (folder / "README.md").write_text("more")
    (folder / "elsewhere").symlink_to(folder)
    shutil.move(folder / "1.bin", folder.parent / "1.bin")
    (folder / "1.bin").symlink_to(folder.parent / "1.bin")
    assert read_labels(folder).digest() == digest
    (folder / "1.bin").write_bytes(b"abcd")
    assert read_labels(folder).digest() != digest


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "0.bin,3,2",
            "file,classes,label\n0.bin,3,2",
            "line 1: 'classes' is no whole number; y_labels.csv has no headings",
        ),
        ("0.bin,3,2", "0.bin;3;2", "line 1 has 1 fields, not file,classes,label"),
        ("0.bin,3,2", "0.bin,3", "line 1 has 2 fields"),
        ("1.bin,3,0", "1.bin,3,three", "line 2: 'three' is no whole number"),
        ("1.bin,3,0", "1.bin,3,-1", "line 2: '-1' is no whole number"),
        ("1.bin,3,0", "1.bin,3,0.0", "line 2: '0.0' is no whole number"),
        ("1.bin,3,0", "1.bin,3,0,0,0", "line 2 says 3,0,0, line 1 3"),
        ("1.bin,3,0", "1.bin,4,0", "line 2 says 4, line 1 3"),
        ("1.bin,3,0", "1.bin,3,3", "line 2: label 3 is none of 3 classes, 0 to 2"),
        (",3,", ",1,", "line 1: 1 classes; supported are 2 to"),
        (",3,", ",99999999,", "99999999 classes"),
        ("1.bin,3,0", "1.bin,3,0,4,2", "line 2 says 3,4,2, line 1 3"),
        ("1.bin,3,0", "0.bin,3,0", "line 2 lists 0.bin again, after line 1"),
        ("1.bin,3,0", "../set/1.bin,3,0", "'../set/1.bin' is no name of a file of its folder"),
        ("1.bin,3,0", "/etc/passwd,3,0", "'/etc/passwd' is no name"),
        ("1.bin,3,0", r"..\1.bin,3,0", "is no name of a file"),
        ("1.bin,3,0", ",3,0", "line 2: '' is no name"),
        ("1.bin,3,0", "y_labels.csv,3,0", "'y_labels.csv' is no name"),
        ("1.bin,3,0", "9.bin,3,0", "lacks 9.bin of line 2 of y_labels.csv"),
        ("1.bin,3,0\n", "", "holds 1.bin, which y_labels.csv does not list"),
        ("1.bin,3,0\n2.bin,3,1\n", "", "holds 1.bin, which y_labels.csv does not list; there are 2 such"),
        ("1.bin", '"1.bin', "line 3 is not of comma-separated values"),
        ("1.bin", "1\0.bin", "holds a NUL"),
        ("1.bin", "\x1b[31m1.bin", "is no name"),
    ],
)
def test_labels_that_are_wrong(folder: Path, old: str, new: str, told: str) -> None:
    path = folder / "y_labels.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert told in refused(lambda: read_labels(folder))


def test_label_files_that_are_none(folder: Path) -> None:
    path = folder / "y_labels.csv"
    assert "set/0.bin is no folder" in refused(lambda: read_labels(folder / "0.bin"))
    assert "none is no folder" in refused(lambda: read_labels(folder.parent / "none"))
    for content, told in (
        (b"", "lists 0 files"),
        (b"\n\n", "lists 0 files"),
        (path.read_text().encode("utf-16"), "line 1 is not UTF-8 (byte 0xff)"),
        ("0.bin,3,2\n\u00e9.bin,3,0\n".encode("latin-1"), "line 2 is not UTF-8 (byte 0xe9)"),
        (b"x" * 17_000_000, "is larger than 16 MB"),
    ):
        path.write_bytes(content)
        assert told in refused(lambda: read_labels(folder))
    path.unlink()
    assert "has no y_labels.csv" in refused(lambda: read_labels(folder))


def test_names_that_tell_labels(tmp_path: Path) -> None:
    def named(names: list[str], labels: list[int]) -> Labelled:
        path = tmp_path / "named"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        for name in names:
            (path / name).write_bytes(b"abcd")
        (path / "y_labels.csv").write_text(
            "".join(f"{name},3,{label}\n" for name, label in zip(names, labels, strict=True))
        )
        return read_labels(path)

    words = ["t_0_Stop_2.bin", "t_1_Go_0.bin", "t_2_Stop_2.bin", "t_3_Left_1.bin"]
    assert named(words, [2, 0, 2, 1]).labels.tolist() == [2, 0, 2, 1]
    assert refused(lambda: named(words, [2, 1, 2, 0])).endswith("line 2: t_1_Go_0.bin has label 1; its name says 0")
    states = ["normal_id_01_0.bin", "anomaly_id_01_0.bin", "normal_id_01_1.bin"]
    assert named(states, [0, 1, 0]).labels.tolist() == [0, 1, 0]
    assert "line 2: anomaly_id_01_0.bin has label 0; its name says 1" in refused(lambda: named(states, [0, 0, 0]))
    for counted in (["emu_s_0.bin", "cat_s_1.bin", "dog_s_2.bin"], ["my_emu_0.bin", "my_cat_1.bin", "my_dog_2.bin"]):
        assert named(counted, [2, 0, 1]).labels.tolist() == [2, 0, 1]


def test_files_of_another_size(folder: Path) -> None:
    file, labelled = folder / "1.bin", read_labels(folder)
    for size, told in (
        (0, "1.bin is empty; the model takes int8 2x2x1, 4 bytes"),
        (3, "1.bin has 3 bytes; the model takes int8 2x2x1, 4 bytes"),
        (8, "1.bin holds 16-bit values, 8 bytes; the model takes int8"),
        (16, "1.bin holds float32 or other 32-bit values, 16 bytes; the model takes int8"),
        (100_000_000, "1.bin has 100000000 bytes"),
    ):
        with file.open("wb") as stream:
            stream.truncate(size)
        assert told in refused(lambda: read_inputs(labelled, *INT8))
    file.write_bytes(b"abcd")
    assert "0.bin holds 8-bit values, 4 bytes; the model takes float32 2x2x1, 16 bytes" in refused(
        lambda: read_inputs(labelled, "float32", (2, 2, 1))
    )


def test_what_is_no_file(folder: Path) -> None:
    (folder / "1.bin").unlink()
    for make in (lambda path: path.symlink_to("nothing"), lambda path: path.mkdir(), os.mkfifo):
        make(folder / "1.bin")
        assert refused(lambda: read_labels(folder)).endswith("1.bin is no file, nor a link to one")
        (folder / "1.bin").rmdir() if (folder / "1.bin").is_dir() else (folder / "1.bin").unlink()


def test_windows(tmp_path: Path) -> None:
    values = np.arange(2 * 7, dtype=np.float32).reshape(2, 7)
    folder = folder_of(tmp_path / "windows", values, [0, 1], 2, ",12,8")
    inputs, files = read_inputs(read_labels(folder), "float32", (1, 1, 3))
    assert files.tolist() == [0, 0, 0, 1, 1, 1]
    assert inputs[:, 0, 0].tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6], [7, 8, 9], [9, 10, 11], [11, 12, 13]]
    assert "says windows of 12 bytes; the model takes float32 1x1x4, 16 bytes" in refused(
        lambda: read_inputs(read_labels(folder), "float32", (1, 1, 4))
    )
    (folder / "1.bin").write_bytes(bytes(24))
    assert "1.bin has 24 bytes, no whole number of windows of 12 every 8" in refused(
        lambda: read_inputs(read_labels(folder), "float32", (1, 1, 3))
    )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.array([[1, np.nan]], "<f4"), "0.bin holds NaN or infinite values"),
        (np.array([[3, 500]], "<i4"), "holds values up to 7e-43: they are no float32, little-endian"),
        (np.array([[1.5, 2.5]], ">f4"), "no float32, little-endian"),
    ],
)
def test_values_that_are_no_floats(tmp_path: Path, values: Array, told: str) -> None:
    folder = folder_of(tmp_path / "floats", np.repeat(values, 2, axis=0), [0, 1], 2)
    assert told in refused(lambda: read_inputs(read_labels(folder), "float32", (1, 1, 2)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x: x, ""),
        (lambda x: x ^ np.uint8(128), "seems to hold int8: neighbouring pixels then differ by"),
        (lambda x: np.moveaxis(x, 3, 1), "seems to hold planes (RR..GG..BB..): "),
        (lambda x: np.moveaxis(x, 3, 1) ^ np.uint8(128), "seems to hold int8 with planes (RR..GG..BB..): "),
    ],
)
def test_photographs_of_another_type_or_order(tmp_path: Path, change: Callable[[Array], Array], told: str) -> None:
    folder = folder_of(tmp_path / "photographs", np.ascontiguousarray(change(photographs(4))), [0, 1, 0, 1], 2)
    labelled = read_labels(folder)
    if told:
        assert told in refused(lambda: read_inputs(labelled, "uint8", (16, 16, 3)))
    else:
        assert (read_inputs(labelled, "uint8", (16, 16, 3))[0] == photographs(4)).all()


def test_noise_contradicts_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    folder = folder_of(tmp_path / "noise", noise, [0, 1], 2)
    assert (read_inputs(read_labels(folder), "uint8", (16, 16, 3))[0] == noise).all()


# The sets of MLPerf Tiny, where they are at hand

SETS = {"kws01": ("int8", (49, 10, 1)), "ic01": ("uint8", (32, 32, 3))}


def copied(name: str, to: Path, change: Callable[[Array], Array]) -> Path:
    """A published set whose inputs [h, w, c] are changed."""
    shutil.copytree(PUBLISHED / name, to)
    for path in to.glob("*.bin"):
        path.chmod(0o644)
        values = np.frombuffer(path.read_bytes(), np.uint8).reshape(SETS[name][1])
        path.write_bytes(np.ascontiguousarray(change(values)).tobytes())
    (to / "y_labels.csv").chmod(0o644)
    return to


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="MLPerf Tiny's sets are not at hand")
@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("kws01", lambda x: x, ""),
        ("ic01", lambda x: x, ""),
        ("kws01", lambda x: x ^ np.uint8(128), "holds uint8; kws01 is int8 49x10x1"),
        ("kws01", lambda x: x.swapaxes(0, 1), "holds rows and columns swapped; kws01 is int8 49x10x1"),
        ("kws01", lambda x: x.swapaxes(0, 1) ^ np.uint8(128), "holds uint8 with rows and columns swapped; kws01"),
        ("kws01", lambda x: x[::-1], "has the names of kws01 and other contents"),
        ("kws01", lambda x: x.astype(np.float32), "float32 or other 32-bit values, 1960 bytes; the model takes int8"),
        ("ic01", lambda x: x ^ np.uint8(128), "holds int8; ic01 is uint8 32x32x3"),
        ("ic01", lambda x: np.moveaxis(x, 2, 0), "holds planes (RR..GG..BB..); ic01 is uint8 32x32x3"),
        ("ic01", lambda x: x.swapaxes(0, 1), "holds rows and columns swapped; ic01"),
        ("ic01", lambda x: x[..., ::-1], "holds channels in reverse order (BGRBGR); ic01"),
    ],
)
def test_published_sets(tmp_path: Path, name: str, change: Callable[[Array], Array], told: str) -> None:
    labelled = read_labels(copied(name, tmp_path / "copy", change))
    assert labelled.published and labelled.published.benchmark.name == name
    if told:
        assert told in refused(lambda: read_inputs(labelled, *SETS[name]))
    else:
        read_inputs(labelled, *SETS[name])
        other = SETS["ic01" if name == "kws01" else "kws01"]
        assert f"is {name}, {SETS[name][0]} " in refused(lambda: read_inputs(labelled, *other))


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="MLPerf Tiny's sets are not at hand")
def test_published_labels(tmp_path: Path) -> None:
    copy = copied("ic01", tmp_path / "copy", lambda x: x)
    rows = [line.split(",") for line in (copy / "y_labels.csv").read_text().split()]
    (copy / "y_labels.csv").write_text("".join(f"{name},10,{9 - int(label)}\n" for name, _, label in rows))
    assert "gives the files of ic01 other classes or labels than it has" in refused(lambda: read_labels(copy))
    (copy / "y_labels.csv").write_text("".join(f"{name},10,{label}\n" for name, _, label in reversed(rows)))
    title = "ic01 of MLPerf Tiny (before v0.7; later rounds have 200 other images)"
    assert read_labels(copy).title == title

# SPDX-License-Identifier: Apache-2.0
"""CIFAR's binary versions as the publisher lays them out: a few records, so that partial data has to be allowed."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kilobench import data
from kilobench.cli import main
from kilobench.contracts import UserError
from tests.tasks.loading import load, needs_real, task

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PER_CLASS = 4


def records(seed: int, labels: list[list[int]]) -> NDArray[np.uint8]:
    """Label bytes, then random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    return np.concatenate([np.array(labels, dtype=np.uint8), pixels], axis=1)


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    labels = [[label] for label in range(10)] * PER_CLASS
    for index in range(1, 6):
        records(index, labels).tofile(folder / f"data_batch_{index}.bin")
    records(0, labels).tofile(folder / "test_batch.bin")
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    return folder


@pytest.fixture
def cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    labels = [[fine % 20, fine] for fine in range(100)] * PER_CLASS
    records(1, labels).tofile(folder / "train.bin")
    records(2, labels).tofile(folder / "test.bin")
    (folder / "fine_label_names.txt").write_text("".join(f"fine{label:02}\n" for label in range(100)))
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    return folder


def test_records_become_images_in_the_order_of_the_files(cifar10: Path, tmp_path: Path) -> None:
    split = load("cifar10", tmp_path)
    assert split.train_x.shape == (200, *task("cifar10").input_shape) and split.train_x.dtype == np.float32
    assert split.classes == tuple(NAMES)
    raw = np.fromfile(cifar10 / "data_batch_2.bin", dtype=np.uint8).reshape(-1, 3073)
    assert split.train_y[40:80].tolist() == raw[:, 0].tolist()
    green = raw[3, 1 + 1024 : 1 + 2048].reshape(32, 32)
    assert np.array_equal((split.train_x[43, 1] + 1) * 128, green)
    assert split.partial == 60_000 - 240
    assert split.notes == ("partial: 200 of 50000 training images", "partial: 40 of 10000 test images")


def test_partial_data_is_refused_in_one_line_unless_allowed(
    cifar10: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KILOBENCH_ALLOW_PARTIAL")
    (cifar10 / "data_batch_4.bin").unlink()
    with pytest.raises(data.Damaged) as caught:
        load("cifar10", tmp_path)
    assert "should have 60000 images: 59800 missing (data_batch_1.bin has 40 of 10000, " in str(caught.value)
    assert str(caught.value).endswith("--allow-partial uses the rest and marks the record")
    assert "missing: data_batch_4.bin has 0 of 10000" in caught.value.lines


def test_a_run_on_partial_data_fails_in_one_line_and_the_option_is_seen_by_all_processes(
    cifar10: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "")
    cell = ["--recipe", "full", "--board", "nucleo_l476rg", "--output", str(tmp_path)]
    assert main(["run", "--task", "cifar10", *cell]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 1 and failed[0].endswith("--allow-partial uses the rest and marks the record")
    assert main(["run", "--allow-partial", "--task", "cifar", *cell]) == 2
    assert os.environ["KILOBENCH_ALLOW_PARTIAL"] == "1" and data.partial_allowed()


@pytest.mark.parametrize(("count", "per_block"), [(10, 1), (20, 2), (70, 7), (100, 10)])
def test_of_every_ten_classes_the_first_are_taken(count: int, per_block: int, cifar100: Path, tmp_path: Path) -> None:
    split = load(f"cifar100[classes={count}]", tmp_path)
    assert split.classes == tuple(f"fine{label:02}" for label in range(100) if label % 10 < per_block)
    assert np.bincount(split.train_y).tolist() == [PER_CLASS] * count
    raw = np.fromfile(cifar100 / "test.bin", dtype=np.uint8).reshape(-1, 3074)
    kept = raw[raw[:, 1] % 10 < per_block]
    assert [split.classes[label] for label in split.test_y] == [f"fine{label:02}" for label in kept[:, 1]]
    assert np.array_equal((split.test_x.reshape(len(kept), -1) + 1) * 128, kept[:, 2:])
    assert split.partial == count * (600 - 2 * PER_CLASS)


@pytest.mark.parametrize("count", [0, 15, 110])
def test_other_counts_are_refused(count: int) -> None:
    with pytest.raises(UserError, match=f"classes must be 10, 20, ... or 100, not {count}"):
        task(f"cifar100[classes={count}]").class_count  # noqa: B018


def test_a_file_that_ends_within_an_image_is_corrupt(
    cifar10: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cifar10 / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-7])
    assert len(load("cifar10", tmp_path).train_x) == 199
    monkeypatch.delenv("KILOBENCH_ALLOW_PARTIAL")
    with pytest.raises(UserError, match=r"9961 corrupt \(data_batch_3\.bin ends within image 40\)"):
        load("cifar10", tmp_path)


def test_files_and_images_too_many_are_refused(cifar10: Path, tmp_path: Path) -> None:
    (cifar10 / "data_batch_6.bin").write_bytes(bytes(3073))
    with pytest.raises(UserError, match=r"1 unexpected \(data_batch_6\.bin\)"):
        load("cifar10", tmp_path)
    (cifar10 / "data_batch_6.bin").unlink()
    with (cifar10 / "test_batch.bin").open("ab") as file:
        file.truncate(10_001 * 3073)
    with pytest.raises(UserError, match=r"1 unexpected \(test_batch\.bin has 10001 of 10000\)"):
        load("cifar10", tmp_path)


def test_of_a_file_that_is_far_too_large_no_more_is_read_than_should_be_there(cifar10: Path, tmp_path: Path) -> None:
    with (cifar10 / "test_batch.bin").open("ab") as file:
        file.truncate(10_000_000 * 3073)  # 30 GB, nearly all of it a hole
    with pytest.raises(UserError, match=r"9990000 unexpected \(test_batch\.bin has 10000000 of 10000\)"):
        load("cifar10", tmp_path)


def test_labels_that_cannot_be_are_refused(cifar10: Path, tmp_path: Path) -> None:
    path = cifar10 / "data_batch_1.bin"
    path.write_bytes(bytes([10]) + path.read_bytes()[1:])
    with pytest.raises(UserError, match=r"1 mislabelled \(training: a label over 9\)"):
        load("cifar10", tmp_path)


def test_a_class_with_too_many_images_is_mislabelled(cifar10: Path, tmp_path: Path) -> None:
    records(9, [[6]] * 1001).tofile(cifar10 / "test_batch.bin")
    with pytest.raises(UserError, match=r"1 mislabelled \(test: 1001 of frog, not 1000\)"):
        load("cifar10", tmp_path)


def test_a_fine_label_under_two_coarse_ones_is_mislabelled(cifar100: Path, tmp_path: Path) -> None:
    path = cifar100 / "train.bin"
    path.write_bytes(bytes([5]) + path.read_bytes()[1:])
    with pytest.raises(UserError, match=r"1 mislabelled \(training: fine00 under another coarse label\)"):
        load("cifar100", tmp_path)


def test_other_class_names_are_refused(cifar10: Path, tmp_path: Path) -> None:
    (cifar10 / "batches.meta.txt").write_text("\n".join(reversed(NAMES)))
    with pytest.raises(UserError, match=r"batches\.meta\.txt does not name the 10 classes"):
        load("cifar10", tmp_path)
    (cifar10 / "batches.meta.txt").write_bytes(b"airplane\nautomobil\xe9\n")
    with pytest.raises(UserError, match=r"batches\.meta\.txt: line 2 is not UTF-8 \(byte 0xe9\)"):
        load("cifar10", tmp_path)


def test_training_images_that_are_test_images_are_left_out(cifar10: Path, tmp_path: Path) -> None:
    test, path = np.fromfile(cifar10 / "test_batch.bin", dtype=np.uint8), cifar10 / "data_batch_5.bin"
    batch = np.fromfile(path, dtype=np.uint8)
    batch[:3073] = test[:3073]
    batch.tofile(path)
    split = load("cifar10", tmp_path)
    assert len(split.train_x) == 199 and len(split.test_x) == 40
    assert split.notes[-1] == "1 training inputs left out that also are test inputs"
    assert split.partial == 60_000 - 240


@needs_real("cifar-100-binary")
def test_the_real_test_set_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    split = load("cifar100[classes=10]", tmp_path)
    assert np.bincount(split.test_y).tolist() == [100] * 10
    assert split.classes == tuple(
        ["apple", "bowl", "chair", "dolphin", "lamp", "mouse", "plain", "rose", "squirrel", "train"]
    )

# SPDX-License-Identifier: Apache-2.0
"""Models in a repository: compressed, large ones in parts."""

import lzma
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kilobench.cli import main
from kilobench.contracts import CellError, UserError
from kilobench.report.models import load_subject
from kilobench.results import packed
from kilobench.results.costing import evaluation_key
from kilobench.results.packed import MODEL_BYTES, PART_BYTES, content_of, pack, unpack, unpacked
from kilobench.results.store import Store
from tests.results.records import published_model, record

PUBLISHED = Store(Path(__file__).parents[2] / "leaderboard" / "records")


def weights(count: int) -> bytes:
    """As those of a network: floats of 32 bits around zero."""
    return np.random.default_rng(0).normal(0, 0.1, count).astype(np.float32).tobytes()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes two parts."""
    return published(tmp_path_factory.mktemp("large"), weights(PART_BYTES // 3))


def published(folder: Path, content: bytes) -> Path:
    """Where a store of its own keeps a model."""
    folder.mkdir(exist_ok=True)
    (folder / "model").write_bytes(content)
    there = Store(folder / "records")
    there.publish(record(), folder / "model")
    return there.model_path(record())


def test_small_models_are_one_file_and_large_ones_parts_of_one(tmp_path: Path, large: Path) -> None:
    small, content = weights(PART_BYTES // 4), weights(PART_BYTES // 3)
    path = published(tmp_path, small)
    assert path.name == f"{'1' * 64}.safetensors.xz" and lzma.decompress(path.read_bytes()) == small == content_of(path)
    parts = sorted(large.iterdir())
    assert large.name == path.name and [part.name for part in parts] == ["01of02", "02of02"]
    assert all(part.stat().st_size <= PART_BYTES for part in parts)
    assert sum(part.stat().st_size for part in parts) < 0.9 * len(content)
    assert lzma.decompress(b"".join(part.read_bytes() for part in parts)) == content == content_of(large)


def test_what_is_published_is_left_and_what_is_damaged_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "PART_BYTES", 1000)
    content = weights(500)
    path = published(tmp_path, content)
    part = path / "02of02"
    before = part.stat()
    assert published(tmp_path, content) == path and part.stat() == before
    part.rename(path / "03of03")
    assert published(tmp_path, content) == path and len(list(path.iterdir())) == 2 and unpack(path) == content

    # As many parts as it takes, whatever was there.
    monkeypatch.setattr(packed, "PART_BYTES", 10_000)
    shutil.rmtree(path)
    path.write_bytes(b"cut short")
    assert published(tmp_path, content) == path and path.is_file() and unpack(path) == content
    pack(weights(5000), path)
    assert path.is_dir() and unpack(path) == weights(5000)
    assert published(tmp_path, content) == path and path.is_file() and unpack(path) == content


def test_a_model_that_is_there_unpacked_stays_so_unless_it_is_damaged(tmp_path: Path) -> None:
    content, plain = weights(500), tmp_path / "models" / f"{'1' * 64}.safetensors"
    plain.parent.mkdir()
    plain.write_bytes(content)
    assert published(tmp_path, content) == plain and [*plain.parent.iterdir()] == [plain]
    plain.write_bytes(content[1:])
    path = published(tmp_path, content)
    assert [*plain.parent.iterdir()] == [path] and path != plain and content_of(path) == content


def test_without_lzma_models_are_kept_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = weights(500)
    packed_one = published(tmp_path / "with", content)
    monkeypatch.setitem(sys.modules, "lzma", None)
    assert published(tmp_path / "without", content).read_bytes() == content
    with pytest.raises(UserError, match=r"^\S+xz: this Python was built without LZMA$"):
        content_of(packed_one)


def test_what_is_too_large_is_not_published(tmp_path: Path) -> None:
    assert not published(tmp_path, bytes(MODEL_BYTES + 1)).exists()


def cut(folder: Path) -> None:
    part = folder / "02of02"
    part.write_bytes(part.read_bytes()[:-9])


def changed(folder: Path) -> None:
    part = folder / "01of02"
    content = bytearray(part.read_bytes())
    content[5000] ^= 1
    part.write_bytes(content)


def longer(folder: Path) -> None:
    (folder / "02of02").write_bytes((folder / "02of02").read_bytes() + b"more")


def linked(folder: Path) -> None:
    (folder / "02of02").unlink()
    (folder / "02of02").symlink_to("/dev/zero")


def expanding(folder: Path) -> None:
    pack(bytes(MODEL_BYTES + 1), folder)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "01of02").unlink(), "/01of02 is missing"),
        (lambda folder: (folder / "02of02").unlink(), "/02of02 is missing"),
        (lambda folder: [part.unlink() for part in folder.iterdir()], "/01of01 is missing"),
        (lambda folder: (folder / "03of03").touch(), "/03of03 is no part of a model: they are called 01of02"),
        (lambda folder: (folder / "notes").touch(), "/notes is no part of a model: they are called 01of02"),
        (lambda folder: (folder / "01of02").write_bytes(bytes(PART_BYTES + 1)), "/01of02 is no plain file of at most"),
        (linked, "/02of02 is no plain file of at most 1000000 bytes"),
        (changed, " is damaged: Corrupt input data"),
        (cut, " is damaged: its end is missing"),
        (longer, " is damaged: bytes follow its end"),
        (expanding, f" holds more than {MODEL_BYTES} bytes"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    damage: Callable[[Path], object], told: str, large: Path, tmp_path: Path
) -> None:
    path = shutil.copytree(large, tmp_path / large.name)
    damage(path)
    with pytest.raises(UserError) as problem:
        unpack(path)
    assert str(problem.value).startswith(f"{path}{told}") and "\n" not in str(problem.value)


def test_a_packed_model_is_one_as_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user finds it, and where its weights were changed and packed anew."""
    one = PUBLISHED.select(task="digits", recipe="int8")[0]
    known, key, there = (
        published_model(PUBLISHED, one),
        evaluation_key(PUBLISHED.model_path(one)),
        Store(tmp_path / "records"),
    )
    with unpacked(PUBLISHED.model_path(one)) as model:
        monkeypatch.setattr(packed, "PART_BYTES", 10_000)
        there.publish(one, model)
    path = there.model_path(one)
    assert path.is_dir() and len(list(path.iterdir())) > 1
    subject = load_subject(path)
    assert subject.published and subject.published.about == known.about
    assert main(["measure", str(path), "--board", one.board, "--output", str(tmp_path / "measured")]) == 0
    (measured,) = Store(tmp_path / "measured" / "records").read_all()
    assert measured.cycles == one.cycles
    assert content_of(Store(tmp_path / "measured" / "records").model_path(measured)) == content_of(path)
    assert evaluation_key(path) == key != ""

    content = bytearray(unpack(path))
    content[-1] ^= 1
    pack(bytes(content), path)
    with pytest.raises((CellError, UserError), match=r"xz: its graph is not the one that it says"):
        load_subject(path)
    pack(b"no model", path)
    with pytest.raises(UserError, match=r"^/\S+\.safetensors\.xz cannot be read as a graph: [^\n]+$"):
        load_subject(path)
    with pytest.raises(UserError, match=r"gone\.safetensors\.xz is no file; published models are in"):
        load_subject(tmp_path / "gone.safetensors.xz")

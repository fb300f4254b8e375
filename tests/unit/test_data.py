"""Archives, clips and cached arrays."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kilobench import data
from kilobench.api import DataUnavailable, UserError


def silent(text: str, done: float, total: float) -> None:
    """Progress that nobody watches."""


def test_a_publishers_archive_is_downloaded_and_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KILOBENCH_DATA", raising=False)
    archive = tmp_path / "master.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("sounds-1.0/a.txt", "a")
    folder = data.fetched("sounds", archive.as_uri(), tmp_path / "cache", silent)
    assert (folder / "a.txt").read_text() == "a"
    archive.unlink()
    assert data.fetched("sounds", archive.as_uri(), tmp_path / "cache", silent) == folder


def test_data_that_is_nowhere_says_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    with pytest.raises(DataUnavailable, match="set KILOBENCH_DATA to the folder that holds sounds/"):
        data.fetched("sounds", (tmp_path / "none.zip").as_uri(), tmp_path / "cache", silent)
    (tmp_path / "sounds").mkdir()
    assert data.fetched("sounds", "", tmp_path / "cache", silent) == tmp_path / "sounds"


def test_archives_cannot_write_outside_their_folder(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("../evil.txt")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(UserError, match=r"evil.tar.gz holds '../evil.txt', a link or a path outside"):
        data.unpack(archive, tmp_path / "target")
    assert not (tmp_path / "evil.txt").exists()


def test_archives_that_swell_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("zeros", bytes(10_000))
    with pytest.raises(UserError, match="would unpack to 10000 bytes, more than 9999"):
        data.unpack(archive, tmp_path / "target", limit_bytes=9_999)


def test_a_window_cuts_or_pads_at_the_end() -> None:
    clip = np.arange(1, 5, dtype=np.float32)
    assert data.window(clip, 3).tolist() == [1, 2, 3]
    assert data.window(clip, 6).tolist() == [1, 2, 3, 4, 0, 0]


def test_normalising_gives_one_loudness_and_silence_stays_silent() -> None:
    clip = np.sin(np.arange(1000, dtype=np.float32)) * 0.003
    assert np.sqrt(np.mean(data.normalise(clip) ** 2)) == pytest.approx(0.1, rel=1e-4)
    assert not data.normalise(np.zeros(10, dtype=np.float32)).any()


def test_arrays_are_made_once(tmp_path: Path) -> None:
    made = data.cached_arrays(tmp_path, "key", lambda: {"a": np.arange(3)})
    again = data.cached_arrays(tmp_path, "key", lambda: pytest.fail("made again"))
    assert np.array_equal(made["a"], again["a"])


def test_a_digest_sees_types_shapes_and_contents() -> None:
    zeros = np.zeros((2, 3), np.float32)
    digests = {data.digest([a]) for a in (zeros, zeros.T, zeros.astype(np.int32), zeros + 1)}
    assert len(digests) == 4
    assert data.digest([zeros]) == data.digest([np.asfortranarray(zeros)])

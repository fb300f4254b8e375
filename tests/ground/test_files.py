# SPDX-License-Identifier: Apache-2.0
"""Files are there as a whole or not at all."""

import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kilobench.contracts import UserError
from kilobench.files import read_kept, writable, write_atomically, write_kept


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.json"
    for content in (b"one", b"", b"two" * 100_000):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["file.json"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_bytes_and_name_reach_the_disk_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order that a loss of power asks for: content, rename, folder."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle: int) -> None:
        done.append("folder" if os.path.samestat(os.fstat(handle), tmp_path.stat()) else "file")
        fsync(handle)

    def watched_replace(source: Path, target: Path) -> None:
        assert Path(source).read_bytes() == b"content"
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_atomically(tmp_path / "file", b"content")
    assert done == ["file", "rename", "folder"]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    """A limit on the size of files stops the write half-way, as a full disk does."""
    path = tmp_path / "file"
    write_atomically(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UserError, match=f"cannot write {path}: File too large"):
            write_atomically(path, b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


FULL = """
import os, sys
from pathlib import Path
from kilobench.api import UserError
from kilobench.files import read_kept, writable, write_atomically, write_kept
path = Path(sys.argv[1]) / "file"
write_atomically(path, b"old")
try:
    write_atomically(path, bytes(2**20))
except UserError as error:
    print(error, path.read_bytes(), os.listdir(path.parent))
"""


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=64k none {tmp_path} 2>/dev/null || exit 77; exec {sys.executable} -c '{FULL}' {tmp_path}"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("no disk of a small size can be mounted here")
    assert done.stdout.strip() == f"disk full: {tmp_path}/file b'old' ['file']", done.stderr


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*/file/x: "):
        write_atomically(tmp_path / "file" / "x", b"")


KILLED = """
import os, signal, sys
from pathlib import Path
from kilobench.files import read_kept, writable, write_atomically, write_kept
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), b"lost" * 1000)
"""


def test_what_a_killed_process_leaves_is_taken_over_by_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old" and len(os.listdir(tmp_path)) == 2
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["file"]


def test_many_writers_of_one_file_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([letter]) * 100_000 for letter in b"abcd"]

    def write(content: bytes) -> set[bytes]:
        seen = set()
        for _ in range(25):
            write_atomically(path, content)
            seen.add(path.read_bytes())
        return seen

    with ThreadPoolExecutor(len(contents)) as pool:
        seen = set().union(*pool.map(write, contents))
    assert seen <= set(contents)
    assert os.listdir(tmp_path) == ["file"]


def test_what_is_no_file_is_as_good_as_none(tmp_path: Path) -> None:
    write_kept(tmp_path / "a", b"a")
    assert read_kept(tmp_path / "a") == b"a"
    assert read_kept(tmp_path / "a/b") is None
    (tmp_path / "a").unlink()
    (tmp_path / "a").mkdir()
    assert read_kept(tmp_path / "a") is None


def test_a_folder_that_can_be_made_is_writable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert writable(tmp_path / "new/er") == tmp_path
    assert writable(tmp_path / "file") is None
    assert writable(tmp_path / "file/below") is None

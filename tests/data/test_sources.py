# SPDX-License-Identifier: Apache-2.0
"""Where data sets come from: local copies, downloads with and without their published checksum."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kilobench.contracts import DataUnavailable, Source, Task, UserError
from kilobench.data import sources
from kilobench.plugins.registry import load_registry
from tests.tasks.loading import silent


def source(url: str, checksum: str = "") -> Source:
    return Source("sounds", ("a.txt",), "CC0", 1, "https://example.org/sounds", url, checksum)


@pytest.fixture(autouse=True)
def no_local_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KILOBENCH_DATA", raising=False)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "site" / "master.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("sounds-1.0/a.txt", "a")
    return path


@pytest.fixture
def site(archive: Path) -> Iterator[str]:
    """A web server with the archive."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(archive.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{archive.name}"
        server.shutdown()


def test_an_archive_is_downloaded_with_progress_and_unpacked_once(archive: Path, site: str, tmp_path: Path) -> None:
    seen: list[tuple[str, float, float]] = []

    def progress(text: str, done: float, total: float) -> None:
        seen.append((text, done, total))

    size = archive.stat().st_size
    checked = source(site, f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}")
    folder = sources.fetched(checked, tmp_path / "cache", progress)
    assert (folder / "a.txt").read_text() == "a"
    assert seen[-1] == ("download sounds", size, size)
    archive.unlink()
    assert sources.fetched(checked, tmp_path / "cache", progress) == folder


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_an_archive_with_another_checksum_leaves_nothing(kind: str, site: str, tmp_path: Path) -> None:
    wrong = "0" * hashlib.new(kind).digest_size * 2
    with pytest.raises(UserError, match=f"{kind} is [0-9a-f]+, not {wrong} as published; nothing was kept"):
        sources.fetched(source(site, f"{kind}:{wrong}"), tmp_path / "cache", silent)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["sounds.lock"]


def test_an_archive_without_a_top_folder_becomes_the_folder(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "flat.tar.gz", "w:gz") as tar:
        for name in ("./a.txt", "./b/c.txt"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    folder = sources.fetched(source((tmp_path / "flat.tar.gz").as_uri()), tmp_path / "cache", silent)
    assert folder == tmp_path / "cache" / "sounds"
    assert (folder / "b" / "c.txt").read_text() == "x"


def test_an_archive_cut_short_is_refused(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"master\.zip cannot be unpacked: it is a zip file that was cut short$"):
        sources.fetched(source(archive.as_uri()), tmp_path / "cache", silent)


def test_data_that_is_nowhere_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    with pytest.raises(DataUnavailable, match=r"cannot download .*; get it from https://example\.org/sounds, then"):
        sources.fetched(source((tmp_path / "none.zip").as_uri()), tmp_path / "cache", silent)
    with pytest.raises(DataUnavailable, match="sounds has no download; get it from"):
        sources.fetched(source(""), tmp_path / "cache", silent)
    (tmp_path / "sounds").mkdir()
    assert sources.fetched(source(""), tmp_path / "cache", silent) == tmp_path / "sounds"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"nonsense\r\n\r\n", "cannot download .*nonsense"),
        (
            b"HTTP/1.0 200 OK\r\nContent-Length: many\r\n\r\nPK",
            "cannot be unpacked: it is neither a zip nor a tar file",
        ),
        (
            b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nPK",
            "(got 2 of 9 bytes|cannot download .*2 bytes read, 7 more)",
        ),
    ],
)
def test_a_server_that_talks_nonsense_is_told_in_one_line(answer: bytes, message: str, tmp_path: Path) -> None:
    class Nonsense(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(UserError, match=message) as raised:
            sources.fetched(source(f"http://127.0.0.1:{server.server_port}/a.zip"), tmp_path / "cache", silent)
        server.shutdown()
    assert str(raised.value).isprintable()


def test_a_download_larger_than_stated_stops(tmp_path: Path) -> None:
    path = tmp_path / "large.tar.gz"
    path.write_bytes(bytes(1_300_000))
    with pytest.raises(UserError, match="more than 1000002 bytes, twice what sounds takes"):
        sources.fetched(source(path.as_uri()), tmp_path / "cache", silent)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["sounds.lock"]


@pytest.mark.parametrize(
    "url", ["http://example.org/a.zip", "ftp://example.org/a.zip", "http://127.0.0.1.example.org/a"]
)
def test_addresses_that_are_not_secure_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not an https address"):
        sources.fetched(source(url), tmp_path / "cache", silent)


@pytest.mark.parametrize(
    "target", ["http://example.org/a", "ftp://example.org/a", "http://127.0.0.1:1/a", "file:///etc"]
)
def test_redirections_to_insecure_addresses_are_refused(target: str, tmp_path: Path) -> None:
    class Elsewhere(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(UserError, match=f"{target} is not an https address|cannot download .* is not allowed"):
            sources.fetched(source(f"http://127.0.0.1:{server.server_port}/a.zip"), tmp_path / "cache", silent)
        server.shutdown()


def test_every_source_is_secure_and_pinned_or_verified_by_its_contents() -> None:
    """Those without a SHA-256 are verified file by file (docs/data.md)."""
    tasks = [entry.value for entry in load_registry().entries["tasks"].values()]
    found = {one for task in tasks if isinstance(task, type) and issubclass(task, Task) for one in task.sources()}
    urls = {one.folder: one for one in found if one.url}
    assert all(one.url.startswith("https://") for one in urls.values())
    by_contents = {name for name, one in urls.items() if not one.checksum.startswith("sha256:")}
    assert by_contents == {"ESC-50-master", "free-spoken-digit-dataset", "ToyCar", "UrbanSound8K"}

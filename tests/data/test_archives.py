# SPDX-License-Identifier: Apache-2.0
"""Archives that want to do harm, or were damaged: one line says what is wrong, and nothing is where it should not be."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kilobench.contracts import UserError
from kilobench.data.archives import Limit, opened

LIMIT = Limit(1_000_000, 100)


def unpack(path: Path, target: Path, limit: Limit = LIMIT) -> None:
    with opened(path, limit) as archive:
        archive.unpack(target)


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b"x" if kind == tarfile.REGTYPE else b""


@pytest.mark.parametrize(
    "bad",
    [
        member("../out.txt"),
        member("/tmp/kilobench-out.txt"),
        member("a/../../out.txt"),
        member("link", tarfile.SYMTYPE, "/etc"),
        member("link", tarfile.LNKTYPE, "ok.txt"),
        member("device", tarfile.CHRTYPE),
        member("block", tarfile.BLKTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda bad: f"{bad[0].name} {bad[0].type!r}",
)
def test_tar_members_that_are_no_plain_files_inside_are_refused(
    bad: tuple[tarfile.TarInfo, bytes], tmp_path: Path
) -> None:
    path = tar_of(tmp_path / "bad.tar.gz", member("ok.txt"), bad)
    with pytest.raises(UserError, match=r"bad\.tar\.gz holds .*, a link, a device or a path outside its folder"):
        unpack(path, tmp_path / "in" / "target")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["bad.tar.gz"]
    assert not Path("/tmp/kilobench-out.txt").exists()


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/kilobench-out.txt", "a/../../out.txt"])
def test_zip_members_outside_are_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as zipped:
        zipped.writestr("ok.txt", "x")
        zipped.writestr(name, "x")
    with pytest.raises(UserError, match="a path outside its folder"):
        unpack(tmp_path / "bad.zip", tmp_path / "in" / "target")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["bad.zip"]


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as zipped:
        zipped.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match="'link', a link, a device"):
        unpack(tmp_path / "bad.zip", tmp_path / "target")


def bomb(path: Path, size: int) -> Path:
    """An archive of zeros."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("zeros", bytes(size))
        return path
    info = tarfile.TarInfo("zeros")
    return tar_of(path, (info, bytes(size)))


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.gz"])
def test_bombs_are_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    path = bomb(tmp_path / name, 2 * LIMIT.bytes)
    assert path.stat().st_size < 10_000
    with pytest.raises(UserError, match="would unpack to many more bytes than the data set has"):
        unpack(path, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    unpack(path, tmp_path / "target", Limit(2 * LIMIT.bytes, 1))
    assert (tmp_path / "target" / "zeros").stat().st_size == 2 * LIMIT.bytes


def test_a_zip_that_lies_about_sizes_writes_no_more_than_it_says(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.zip", 2 * LIMIT.bytes)
    content = path.read_bytes()
    said, true = (100).to_bytes(4, "little"), (2 * LIMIT.bytes).to_bytes(4, "little")
    assert content.count(true) == 2
    path.write_bytes(content.replace(true, said))
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(path, tmp_path / "target", Limit(9_000_000, 9))
    assert sum(p.stat().st_size for p in tmp_path.rglob("zeros")) <= 100


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as zipped:
        for number in range(101):
            zipped.writestr(f"{number}", "")
    with pytest.raises(UserError, match="would unpack to many more files than the data set has: over 100 files"):
        unpack(tmp_path / "many.zip", tmp_path / "target")
    unpack(tmp_path / "many.zip", tmp_path / "target", Limit(1_000_000, 101))


def test_long_headers_are_not_held_in_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x" * 3_000_000)
    path = tar_of(tmp_path / "names.tar.gz", (info, b""))
    with pytest.raises(UserError, match=r"cannot be unpacked: it is damaged \(a header of 30000[0-9]+ bytes\)"):
        unpack(path, tmp_path / "target", Limit(9_000_000, 9))


def packed(*members: tuple[str, bytes], pax: dict[str, str] | None = None) -> bytes:
    """A tar file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(content), pax or {}
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def patched(content: bytes, local: int, central: int, value: int) -> bytes:
    """A zip file with two bytes of all its headers replaced."""
    for mark, offset in ((b"PK\3\4", local), (b"PK\1\2", central)):
        parts = content.split(mark)
        content = mark.join(
            [parts[0], *(p[: offset - 4] + struct.pack("<H", value) + p[offset - 2 :] for p in parts[1:])]
        )
    return content


def headers(kind: bytes) -> bytes:
    """Two thousand comments, one of the other."""
    info = tarfile.TarInfo("comment")
    info.type, info.size = kind, 12
    return (info.tobuf() + b"12 path=abc\n".ljust(512, b"\0")) * 2000


NOISE = bytes((index * index * 31) % 251 for index in range(3000))
TAR, ZIP = packed(("s/a", b"a"), ("s/b", NOISE)), zipped(("s/a", b"a"), ("s/b", NOISE))
ODD = {
    "tar that is empty": (packed(), "holds no files"),
    "zip that is empty": (zipped(), "holds no files"),
    "nothing": (b"", "cannot be unpacked: it is neither a zip nor a tar file"),
    "zeros": (bytes(10_000), "holds no files"),
    "text": (b"hello\n" * 200, "cannot be unpacked: it is neither a zip nor a tar file"),
    "another kind": (b"7z\xbc\xaf\x27\x1c" + NOISE, "cannot be unpacked: it is neither a zip nor a tar file"),
    "gzip of no tar": (
        gzip.compress(NOISE),
        "cannot be unpacked: it is no tar file packed by gzip, or was cut short or damaged",
    ),
    "zip cut short": (ZIP[:-30], "cannot be unpacked: it is a zip file that was cut short"),
    "zip's first bytes": (ZIP[:10], "cannot be unpacked: it is a zip file that was cut short"),
    "tar cut short": (TAR[:2000], "cannot be unpacked: it was cut short"),
    "tar without its end": (TAR[: 3 * 512 + 3072], "cannot be unpacked: it was cut short"),
    "tar.gz cut short": (gzip.compress(TAR)[:-1], "cannot be unpacked: it was cut short"),
    "tar.bz2 cut short": (bz2.compress(TAR)[:-1], "cannot be unpacked: it was cut short"),
    "tar.xz cut short": (lzma.compress(TAR)[:-1], "cannot be unpacked: it was cut short"),
    "tar with a header gone": (
        TAR[:1024] + b"x" * 512 + TAR[1536:],
        "cannot be unpacked: it is damaged (no header where one should be)",
    ),
    "tar with more behind it": (TAR + bytes(2_000_000), "cannot be unpacked: it is damaged (it goes on after its end)"),
    "zip with a byte changed": (
        ZIP[:120] + b"\xff\0\xff" + ZIP[123:],
        "cannot be unpacked: it is damaged (",
    ),
    "encrypted zip": (patched(ZIP, 6, 8, 1), "is encrypted ('s/a')"),
    "zip of another method": (patched(ZIP, 8, 10, 93), ": 's/a' is packed by method 93; 0, 8 and 12 are read"),
    "zip of LZMA": (zipped(("a", b"a"), method=zipfile.ZIP_LZMA), ": 'a' is packed by method 14; 0, 8 and 12 are read"),
    "zip with a table of 2 GB": (
        ZIP[:-10] + struct.pack("<I", 2**31 - 1) + ZIP[-6:],
        "cannot be unpacked: it is damaged (",
    ),
    "one name twice": (packed(("s/a", b"a"), ("./s//a", b"b")), "holds 's/a' twice"),
    "a file and a folder of one name": (packed(("s/a/b", b"a"), ("s/a", b"b")), "holds 's/a' twice"),
    "backslashes": (packed(("s\\a", b"a")), "holds 's\\\\a', a link, a device or a path outside its folder"),
    "a NUL in a zip's name": (
        ZIP.replace(b"s/a", b"s\0a"),
        "holds 's\\x00a', a name that is too long or no printable text",
    ),
    "an escape sequence": (packed(("\x1b[2J", b"")), "holds '\\x1b[2J', a name that is too long or no printable text"),
    "a name of other bytes": (
        packed(("th\udce9", b"")),
        "holds 'th\\udce9', a name that is too long or no printable text",
    ),
    "a name of 5000 characters": (
        packed(("n" * 5000, b"")),
        f"holds '{'n' * 77}...', a name that is too long or no printable text",
    ),
    "500 folders in each other": (
        packed(("y/" * 500 + "a", b"")),
        f"holds '{('y/' * 500)[:77]}...', a name that is too long or no printable text",
    ),
    "a size below 0": (
        packed(("a", b"abc"), pax={"size": "-512"}),
        "cannot be unpacked: it is damaged (a file of -512 bytes)",
    ),
    "a size of 10^20": (
        packed(("a", b"abc"), pax={"size": "1" + "0" * 20}),
        "would unpack to many more bytes than the data set has: over 9000000 bytes",
    ),
    "a path elsewhere in a comment": (
        packed(("a", b""), pax={"path": "../a"}),
        "holds '../a', a link, a device or a path outside its folder",
    ),
    "a sparse file": (
        packed(("a", b"1\n" * 900), pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
        "cannot be unpacked: it is damaged (a sparse file)",
    ),
    "nested headers": (headers(tarfile.XHDTYPE) + TAR, "cannot be unpacked: its headers are nested"),
    "nested global headers": (headers(tarfile.XGLTYPE) + TAR, "cannot be unpacked: its headers are nested"),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_archives_are_refused_in_one_line(what: str, tmp_path: Path) -> None:
    content, message = ODD[what]
    (tmp_path / "odd").write_bytes(content)
    with pytest.raises(UserError) as raised:
        unpack(tmp_path / "odd", tmp_path / "target", Limit(9_000_000, 100))
    said = str(raised.value)
    assert said.removeprefix("odd").removeprefix(" ").startswith(message)
    assert said.isprintable() and (said.endswith(message) or message.endswith("("))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_what_is_whole_is_unpacked(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(pack(TAR))
    unpack(tmp_path / "a.tar", tmp_path / "tar")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        (tmp_path / "a.zip").write_bytes(zipped(("s/a", b"a"), ("s/b", NOISE), method=method))
        unpack(tmp_path / "a.zip", tmp_path / f"zip{method}")
    for folder in ("tar", "zip0", "zip8", "zip12"):
        assert {path.name: path.read_bytes() for path in (tmp_path / folder / "s").iterdir()} == {"a": b"a", "b": NOISE}


def test_an_archive_in_an_archive_is_a_file(tmp_path: Path) -> None:
    """A zip file is found by its last bytes as well, so that one in a tar file would be taken for the whole."""
    (tmp_path / "a.tar").write_bytes(packed(("s/a", b"a"), ("s/inner.zip", ZIP)))
    unpack(tmp_path / "a.tar", tmp_path / "target")
    assert sorted(path.name for path in (tmp_path / "target/s").iterdir()) == ["a", "inner.zip"]


def test_a_full_disk_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device", str(self))

    (tmp_path / "a.zip").write_bytes(ZIP)
    with opened(tmp_path / "a.zip", LIMIT) as archive:
        monkeypatch.setattr(Path, "mkdir", full)
        with pytest.raises(UserError, match=r"^a\.zip cannot be unpacked: new: No space left on device$"):
            archive.unpack(tmp_path / "new")

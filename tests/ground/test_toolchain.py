# SPDX-License-Identifier: Apache-2.0
"""The compiler's own cache is believed only while it is as it was written."""

import os
from pathlib import Path

import pytest

from kilobench.files import digest_path
from kilobench.toolchain import plain_folder


def test_a_damaged_library_of_the_compiler_is_not_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path))
    library = tmp_path / "zig/o/some/libcompiler_rt.a"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"code")
    with plain_folder():
        assert not digest_path(library).exists()  # another process may still be writing it
    os.utime(library, (0, 0))
    with plain_folder():
        pass
    assert digest_path(library).is_file()
    with plain_folder() as folder:
        assert (folder / "zig-cache/o/some/libcompiler_rt.a").is_file()
    library.write_bytes(b"c0de")
    with plain_folder():
        assert not library.exists()
    assert "libcompiler_rt.a was damaged: zig's cache is made anew" in capsys.readouterr().err

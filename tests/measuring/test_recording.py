# SPDX-License-Identifier: Apache-2.0
"""What a record says of where it was made."""

import subprocess
from pathlib import Path

import pytest

from kilobench.measuring import recording


def commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(recording, "contributions_dir", lambda: folder)
    return recording._git_commit.__wrapped__()


def test_records_that_were_written_make_no_checkout_dirty_but_code_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaderboard").mkdir()
    code, record = tmp_path / "code.py", tmp_path / "leaderboard" / "record.json"
    code.write_text("1")
    record.write_text("1")
    git = "git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "all")):
        subprocess.run([*git, *words], check=True)
    clean = commit(tmp_path, monkeypatch)
    assert len(clean) == 12
    record.write_text("2")
    assert commit(tmp_path, monkeypatch) == clean
    code.write_text("2")
    assert commit(tmp_path, monkeypatch) == f"{clean}-dirty"


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit(tmp_path, monkeypatch) == "none"

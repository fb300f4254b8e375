# SPDX-License-Identifier: Apache-2.0
"""Some hundred changed files of each kind; ``python -m tests.data.fuzz`` tries more."""

import resource
from pathlib import Path

import pytest

from tests.data.fuzz import KINDS, attempt, fuzz


@pytest.mark.parametrize("kind", KINDS)
def test_changed_files_are_read_right_or_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers, _ = fuzz(kind, 400, 1, tmp_path)
    assert 0 < answers["read"] < 400 and len(answers) > 4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@pytest.mark.parametrize("kind", KINDS)
def test_unchanged_files_are_read(kind: str, tmp_path: Path) -> None:
    make, read = KINDS[kind]
    for name, content in make().items():
        assert attempt(tmp_path / name, content, read) == "read"

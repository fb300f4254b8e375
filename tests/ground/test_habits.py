# SPDX-License-Identifier: Apache-2.0
"""What every file of the project has."""

import subprocess
from pathlib import Path

import pytest

from kilobench.results.packed import PART_BYTES

ROOT = Path(__file__).parents[2]
ENDINGS = ("*.py", "*.c", "*.h", "*.cpp", "*.js", "*.css")


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_source_file_names_its_licence(ending: str) -> None:
    listed = subprocess.run(["git", "ls-files", ending], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no checkout")
    files = [ROOT / name for name in listed.stdout.split()]
    assert [str(file) for file in files if "SPDX-License-Identifier: Apache-2.0" not in file.read_text()[:200]] == []


def test_the_repository_is_small() -> None:
    """No file over the part of a packed model (kilobench.results.packed), and all of them under 100 MB."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no checkout")
    sizes = {name: (ROOT / name).stat().st_size for name in listed.stdout.split("\0") if (ROOT / name).is_file()}
    assert not {name: size for name, size in sizes.items() if size > PART_BYTES}
    assert sum(sizes.values()) < 100_000_000

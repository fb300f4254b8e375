# SPDX-License-Identifier: Apache-2.0
"""Published counts of silicon beside ours: what core files and docs/timing.md say of the error is what they come to.

``tests/golden/timing.json`` holds a digest of the code that every table prices by. Where that has changed, who has the programs
counts ours again by ``python -m tests.points FOLDER``; then, and where no price can differ, the file is written anew by
``python -m tests.device.test_points``.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kilobench.boards import Core
from kilobench.paths import hardware_dir
from kilobench.plugins.registry import load_registry
from tests.device.test_emulator import firmware
from tests.points import board_of, bound, by_table, digest, read, recounted, summary, write

GOLDEN = Path(__file__).parents[1] / "golden" / "timing.json"
POINTS = by_table(read())
CORES: list[Core] = [entry.value for entry in load_registry().entries["cores"].values()]  # type: ignore[misc]


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_cores_state_the_error_that_the_points_come_to(core: Core) -> None:
    points = POINTS.get(core.timing, [])
    if core.timing.startswith("cortex") or points:
        assert core.cycles_error == bound(points)
        assert core.estimated == (bound(points) > 10)


def test_the_page_says_what_the_points_come_to() -> None:
    page = (hardware_dir().parent / "docs" / "timing.md").read_text()
    for line in summary(read()):
        assert line in page


@pytest.mark.parametrize("table", POINTS)
def test_ours_were_counted_by_todays_tables(table: str) -> None:
    assert digest(table) == json.loads(GOLDEN.read_text()).get(table), f"{table}: see the top of {Path(__file__).name}"


def test_programs_are_counted_again(tmp_path: Path) -> None:
    board = board_of("cortex-m33")
    (tmp_path / "cortex-m33").mkdir()
    elf = firmware(tmp_path, 'void body(void) { put("CoreMark, an iteration; ours -O9: 345\\n"); }', board)
    elf.rename(tmp_path / "cortex-m33" / "coremark.elf")
    other, point = (
        replace(POINTS["cortex-m33"][0], program="CoreMark, an iteration", build=b) for b in ("-O0", "ours -O9")
    )
    counted = list(recounted([other, point], tmp_path))
    assert counted == [other, replace(point, ours=345)]
    write(counted, tmp_path / "points.csv")
    assert read(tmp_path / "points.csv") == counted


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({table: digest(table) for table in POINTS}, indent=1) + "\n")

# SPDX-License-Identifier: Apache-2.0
"""The study's audio networks at full size, on a board with 1 MB of flash and 128 KB of RAM."""

from pathlib import Path

import pytest

from kilobench.measuring.emulator import measure
from kilobench.plugins.registry import load_registry
from tests.untrained import emitted, untrained


@pytest.mark.parametrize(
    ("network", "recipe", "flash_bytes"),
    [
        ("acdnet[channels=paper]", "xnor", 700_000),
        ("acdnet[channels=paper]", "xnor[keep=first]", 700_000),
        ("acdnet[channels=micro]", "int8", 200_000),
        ("acdnet[channels=micro]", "int8[input=int16]", 200_000),
    ],
    ids=["stem kept", "the paper's layout", "micro int8", "micro int16 input"],
)
def test_acdnet_of_50_classes_fits_and_equals_host_c(
    network: str, recipe: str, flash_bytes: int, tmp_path: Path
) -> None:
    board = load_registry().get("boards", "nucleo_l476rg")
    graph = untrained(network, recipe, (1, 1, 30225), 50, 20_000)
    expected = emitted(graph, tmp_path / "model", 1)
    measured = measure(tmp_path / "model", graph, expected, board, tmp_path / "build", "zig")
    sizes = measured.sizes
    assert (measured.over_flash_bytes, measured.over_ram_bytes) == (0, 0)
    assert sizes.flash_bytes <= flash_bytes
    assert measured.ram_bytes <= 128_000
    assert measured.cycles[0] > 0
    print(network, recipe, sizes, measured.stack_bytes, measured.cycles)

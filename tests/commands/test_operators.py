# SPDX-License-Identifier: Apache-2.0
"""The tables of all operators: the command's, and that of docs/operators.md, which ``python -m`` of this file writes anew."""

from pathlib import Path

import pytest

from kilobench.cli import main
from kilobench.commands.operators import markdown, special
from kilobench.compile.operator import kinds

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/operators.md"


def page() -> str:
    """The page with the table of today."""
    text, _, _ = PAGE.read_text().partition("\n| operator ")
    return f"{text}\n{markdown()}"


def test_the_page_has_the_operators_of_today() -> None:
    assert page() == PAGE.read_text(), f"python -m {__name__} writes it"


def test_every_operator_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "operators"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "All cores run all operators, by portable C. Some have kernels of their own besides:"
    assert "  DSP      cortex-m33, cortex-m4, cortex-m4f, cortex-m7" in lines
    assert [line.split()[0] for line in lines[lines.index("") + 2 :]] == kinds()
    (row,) = (line for line in lines if line.startswith("sub "))
    assert " ".join(row.split()) == "sub float32, int8 DSP The difference of two maps."
    assert max(map(len, lines)) < 190


def test_kernels_say_what_they_are_special_to() -> None:
    assert special("conv2d") == ["DSP", "FPU", "Thumb-2", "Armv6-M", "RISC-V"]
    assert special("depthwise_conv2d") == ["DSP", "FPU", "Armv6-M", "RISC-V"]
    assert special("max_pool") == ["DSP"]
    assert special("reshape") == []


def test_operators_of_plugins_are_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOBENCH_PLUGINS", str(ROOT / "tests/plugins/channel_scale"))
    assert main(["show", "operators"]) == 0
    assert "channel_scale" in capsys.readouterr().out
    assert "channel_scale" not in markdown()


if __name__ == "__main__":
    PAGE.write_text(page())

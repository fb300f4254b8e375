# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a search is told before it begins, in one line."""

import pytest

from kilobench.cli import main

TUNE = ["tune", "--task", "digits", "--board", "nucleo_l476rg", "--budget", "flash=32KiB"]
MINUTE = ["--minutes", "1"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "one of the arguments --minutes --hours is required"),
        (["--minutes", "0"], "argument --minutes: '0' is no positive number"),
        (["--hours", "nan"], "argument --hours: 'nan' is no positive number"),
        ([*MINUTE, "--rungs", "0"], "'0' is not a whole number from 1 to 9"),
        ([*MINUTE, "--network", "resnet9"], "no network 'resnet9'; nearest is 'resnet8'"),
        ([*MINUTE, "--network", "acdnet"], "--network acdnet: acdnet takes raw audio"),
        ([*MINUTE, "--recipe", "int8", "--recipe", "pruned"], "no method 'pruned'; nearest is 'prune'"),
        ([*MINUTE, "--recipe", "int8+prune"], "recipe 'int8+prune': prune cannot follow int8"),
        ([*MINUTE, "--fold", "1"], "digits has no fold 1; it has 0 to 0"),
        ([*MINUTE, "--task", "ad"], "tune: all that ad trains with is usual"),
        ([*MINUTE, "--board", "esp32_devkitc"], "cannot be emulated"),
        ([*MINUTE, "--training", "epochs=0"], "training: epochs must be at least 1, not 0"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([*TUNE, *arguments])
    except SystemExit as error:  # of the parser
        code = int(error.code or 0)
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2 and line.startswith("kilobench: ") and problem in line


def test_a_dry_run_lists_what_would_be_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TUNE, *MINUTE, "--recipe", "xnor", "--recipe", "int8", "--network", "resnet8", "--dry-run"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[2:]] == [
        ["1", "xnor,", "resnet8"],
        ["2", "int8,", "resnet8"],
    ]

# SPDX-License-Identifier: Apache-2.0
"""What a run says where there is no terminal."""

import io

import pytest
from rich.console import Console

from kilobench import progress


def test_without_a_terminal_a_long_step_says_every_minute_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress, "monotonic", lambda: now)
    out = io.StringIO()
    with progress.OverallProgress(Console(file=out, width=120), 10) as overall:
        overall.begin("key", "fsdd full", 10)
        for now in (30.0, 61.0, 90.0, 130.0):
            overall.update("key", f"at {now:.0f} s", now, 260)
        overall.end("key", "done")
    assert out.getvalue().splitlines() == [
        "fsdd full: at 61 s (23 %, ETA 3:19)",
        "fsdd full: at 130 s (50 %, ETA 2:10)",
        "done",
    ]

# SPDX-License-Identifier: Apache-2.0
"""A method that says itself that a network does not suit it: a row and no failure, in this run and the next."""

from pathlib import Path

import pytest

from kilobench.cli import main
from kilobench.results.store import Store
from tests.caches import new_cache

PICKY = '''
from kilobench.api import Job, Method, skip


class Picky(Method):
    """Suits nothing."""

    name, reference, order = "picky", "none", 15

    def apply(self, model, job: Job):
        skip("no depthwise convolution to work on")
'''
SUITE = """
title: picky
tasks: [digits]
network: resnet8[width=1]
training: steps=1
recipes: [picky+int8]
boards: [nucleo_l476rg, raspberry_pi_pico]
seeds: [0]
"""


def test_a_method_that_does_not_suit_is_a_row(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new_cache(tmp_path / "cache", cache)
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine/methods").mkdir(parents=True)
    (tmp_path / "mine/methods/picky.py").write_text(PICKY)
    (tmp_path / "picky.yaml").write_text(SUITE)
    run = ["--plugins", str(tmp_path / "mine"), "run", str(tmp_path / "picky.yaml"), "--output", str(tmp_path / "out")]
    line = "not suited: digits picky+int8 (resnet8[width=1]): no depthwise convolution to work on"
    for before in ("0 not suited", "2 not suited"):
        assert main(run) == 0
        told = capsys.readouterr().out
        assert told.count(line) == 1 and "0 measured, 0 cached, 0 failed, 2 not suited" in told
        assert ("0 cached, 2 not suited, 0 to measure" in told) == (before == "2 not suited")
    (row,) = Store(tmp_path / "out/records").read_unsuited()
    assert (row.recipe, row.reason) == ("picky+int8", "no depthwise convolution to work on")

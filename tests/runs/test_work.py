# SPDX-License-Identifier: Apache-2.0
"""What a process that lasts notices of what has changed under it, and which failures are remembered."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kilobench.contracts import UserError, silent
from kilobench.paths import log_path
from kilobench.plugins.registry import Registry, load_registry
from kilobench.plugins.suites import Suite
from kilobench.runs.executors import Failed, attempt, logged
from kilobench.runs.plan import plan, points
from kilobench.runs.units import Unit, units
from kilobench.runs.work import Workshop

UNSUPPORTED = """
from kilobench.api import Network

class Odd(Network):
    "A layer that there is no operator for."
    name, reference = "odd", "none"

    def build(self, input_shape, classes, sample_rate):
        from torch import nn
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Mish(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, classes))
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path / "cache"))


def planned(registry: Registry, network: str) -> dict[str, Unit]:
    suite = Suite("t", ("digits",), ("full",), ("nucleo_l476rg",), network=network, training="steps=1")
    return {
        unit.kind: unit for unit in reversed(units(plan(points(suite, registry, "emulator", "zig"), registry)).values())
    }


def test_code_and_data_that_change_meanwhile_make_no_results(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = load_registry()
    workshop, first = Workshop(registry), planned(registry, "resnet8[width=4]")
    assert workshop.do(first["train"], silent)
    assert workshop._data is not None
    wanted, split = workshop._data
    workshop._data = wanted, replace(split, digest="another")
    with pytest.raises(UserError, match="have changed since the run began"):
        workshop.do(first["evaluate"], silent)
    workshop._data = wanted, split
    monkeypatch.setattr("kilobench.runs.work.code_has_changed", lambda: True)
    with pytest.raises(UserError, match="have changed since the run began"):
        workshop.do(first["evaluate"], silent)


def test_what_cannot_be_lowered_yet_is_tried_again(tmp_path: Path) -> None:
    """Operators are no part of the key of a training."""
    (tmp_path / "odd.py").write_text(UNSUPPORTED)
    registry = load_registry([str(tmp_path / "odd.py")])
    workshop, unit = Workshop(registry), planned(registry, "odd")["train"]
    failed = attempt(unit, lambda: workshop, lambda progressed: None)
    assert isinstance(failed, Failed)
    assert "mish" in failed.reason
    assert not failed.lasting


@pytest.mark.parametrize("left", [None, io.StringIO()])
def test_a_log_ends_whatever_a_plug_in_leaves_as_output(
    left: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if left is not None:
        left.close()
    with logged("key"):
        print("said", flush=True)
        monkeypatch.setattr(sys, "stdout", left)
    assert not log_path("key").exists() or "said" in log_path("key").read_text()

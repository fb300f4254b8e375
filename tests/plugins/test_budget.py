# SPDX-License-Identifier: Apache-2.0
"""Budgets as people write them, and the one way that records and keys have."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from kilobench.contracts import Budget, UserError
from kilobench.plugins.budget import UNITS, budget_text, parse_budget, quantity
from kilobench.record import BudgetText

BOARD = "nucleo_l476rg"


@pytest.mark.parametrize(
    ("written", "budget", "text"),
    [
        ("64KiB", Budget(BOARD, flash_bytes=65536), "flash=64KiB,board=nucleo_l476rg"),
        (" 64 KiB ", Budget(BOARD, flash_bytes=65536), "flash=64KiB,board=nucleo_l476rg"),
        ("flash=65536B", Budget(BOARD, flash_bytes=65536), "flash=64KiB,board=nucleo_l476rg"),
        ("flash=0.5MiB", Budget(BOARD, flash_bytes=524288), "flash=512KiB,board=nucleo_l476rg"),
        ("flash=2048KiB", Budget(BOARD, flash_bytes=2097152), "flash=2MiB,board=nucleo_l476rg"),
        ("flash=1000B", Budget(BOARD, flash_bytes=1000), "flash=1000B,board=nucleo_l476rg"),
        ("latency=0.1s", Budget(BOARD, latency_ms=100), "latency=100ms,board=nucleo_l476rg"),
        ("latency=1500ms", Budget(BOARD, latency_ms=1500), "latency=1.5s,board=nucleo_l476rg"),
        ("latency=250µs", Budget(BOARD, latency_ms=0.25), "latency=250us,board=nucleo_l476rg"),
        (
            "board=raspberry_pi_pico, latency=100ms,ram=32KiB ,flash=64KiB",
            Budget("raspberry_pi_pico", 65536, 32768, 100),
            "flash=64KiB,ram=32KiB,latency=100ms,board=raspberry_pi_pico",
        ),
        ("board=raspberry_pi_pico", Budget("raspberry_pi_pico"), "board=raspberry_pi_pico"),
    ],
)
def test_a_budget_has_one_text_however_it_is_written(written: str, budget: Budget, text: str) -> None:
    assert parse_budget(written, BOARD) == budget
    assert budget_text(budget) == text
    assert parse_budget(text, "another") == budget


def amounts(kind: str) -> st.SearchStrategy[str]:
    numbers = st.decimals(min_value="0.001", max_value=1_000_000, places=3)
    return st.builds(lambda number, unit: f"{number:f}{unit}", numbers, st.sampled_from(list(UNITS[kind])))


@given(flash=amounts("bytes"), latency=amounts("milliseconds"))
def test_the_text_of_a_budget_is_that_budget(flash: str, latency: str) -> None:
    budget = parse_budget(f"flash={flash},latency={latency}", BOARD)
    text = budget_text(budget)
    again = parse_budget(text, "another")
    assert budget_text(again) == text
    assert (again.flash_bytes, again.latency_ms) == pytest.approx((budget.flash_bytes, budget.latency_ms), rel=1e-4)


@given(
    digits=st.integers(1, 10**18 - 1),
    unit=st.sampled_from(list(UNITS["bytes"])),
    time=st.sampled_from(list(UNITS["milliseconds"])),
)
def test_a_record_can_hold_every_budget(digits: int, unit: str, time: str) -> None:
    number = f"{digits // 10**9}.{digits % 10**9:09d}"
    try:
        text = budget_text(parse_budget(f"flash={number}{unit},latency={number}{time}", BOARD))
    except UserError:
        assert not 0.001 <= float(number) < 999_999_999
    else:
        assert TypeAdapter(BudgetText).validate_python(text) == text == budget_text(parse_budget(text, "another"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flash=1234567890KiB", "'1234567890KiB' is no positive number"),
        ("flash=0.0009B", "'0.0009B' is no positive number"),
        ("64KB", "'64KB' is no positive number with a unit (B, KiB, MiB); nearest is 'KiB'"),
        ("64kib", "'64kib' is no positive number with a unit (B, KiB, MiB); nearest is 'KiB'"),
        ("64kb", "'64kb' is no positive number with a unit (B, KiB, MiB); nearest is 'KiB'"),
        ("64", "'64' is no positive number with a unit (B, KiB, MiB)"),
        ("", "'' is no positive number with a unit (B, KiB, MiB)"),
        ("ram=8MB", "'8MB' is no positive number with a unit (B, KiB, MiB); nearest is 'MiB'"),
        ("latency=100", "'100' is no positive number with a unit (us, ms, s)"),
        ("latency=100KiB", "'100KiB' is no positive number with a unit (us, ms, s)"),
        ("latency=2sec", "'2sec' is no positive number with a unit (us, ms, s); nearest is 's'"),
        ("flash=0KiB", "'0KiB' is no positive number with a unit (B, KiB, MiB)"),
        ("flash=-1KiB", "'-1KiB' is no positive number with a unit (B, KiB, MiB)"),
        ("flash=nan", "'nan' is no positive number with a unit (B, KiB, MiB)"),
        ("flash=nanKiB", "'nanKiB' is no positive number with a unit (B, KiB, MiB)"),
        ("flash=infKiB", "'infKiB' is no positive number with a unit (B, KiB, MiB)"),
        ("speed=3", "budget 'speed=3': 'speed=3' is not of the form flash=, ram=, latency= or board="),
        ("flash=1KiB,2KiB", "'2KiB' is not of the form flash=, ram=, latency= or board="),
        ("flash=1KiB,", "'' is not of the form flash=, ram=, latency= or board="),
        ("flash=1KiB,flash=2KiB", "budget 'flash=1KiB,flash=2KiB' says flash twice"),
        ("board=a,board=b", "says board twice"),
    ],
)
def test_what_is_no_budget_is_refused_in_a_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_budget(text, BOARD)
    assert message in str(raised.value) and "\n" not in str(raised.value)
    if "nearest" not in message:
        assert "nearest" not in str(raised.value)


def test_a_number_too_large_for_a_float_is_no_limit_and_refused() -> None:
    assert math.isinf(float("9" * 400))
    with pytest.raises(UserError, match="is no positive number with a unit"):
        quantity("9" * 400 + "KiB", "bytes")

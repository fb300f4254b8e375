# SPDX-License-Identifier: Apache-2.0
"""Every contribution of this project against the contract tests."""

import pytest

from kilobench.commands.contract import RUNS, Check, checks
from kilobench.contracts import DataUnavailable
from kilobench.plugins.registry import load_registry

REGISTRY = load_registry()
CHECKS = [
    pytest.param(check, id=f"{kind}-{entry.name}-{check[0].replace(' ', '_')}")
    for kind, table in REGISTRY.entries.items()
    for entry in table.values()
    if kind != "ops"  # tests/fuzz/test_operators.py
    for check in checks(entry, REGISTRY)
    if check[0] != RUNS or entry.name == "nucleo_l476rg"  # tests/device/test_boards.py
]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check: Check) -> None:
    try:
        check[1]()
    except DataUnavailable as error:
        pytest.skip(str(error))

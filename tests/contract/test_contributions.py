# SPDX-License-Identifier: Apache-2.0
"""Every contribution of this project against the contract tests."""

import pytest

from kilobench.commands.contract import Check, checks
from kilobench.contracts import DataUnavailable
from kilobench.plugins.registry import load_registry

CHECKS = [
    pytest.param(check, id=f"{kind}-{entry.name}-{check[0].replace(' ', '_')}")
    for kind, table in load_registry().entries.items()
    for entry in table.values()
    if kind != "ops"  # tests/fuzz/test_operators.py
    for check in checks(entry)
]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check: Check) -> None:
    try:
        check[1]()
    except DataUnavailable as error:
        pytest.skip(str(error))

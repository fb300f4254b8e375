# SPDX-License-Identifier: Apache-2.0
"""Puts the contribution folders into wheels; editable installs read them from the checkout."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContributionsHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard" and self.target_name == "wheel":
            for folder in ("methods", "tasks", "networks", "hardware", "benchmarks"):
                build_data["force_include"][folder] = f"kilobench/contrib/{folder}"

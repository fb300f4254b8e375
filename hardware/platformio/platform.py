# SPDX-License-Identifier: Apache-2.0
"""PlatformIO platform of the emulated boards; its toolchain comes from the project, not from a registry."""

from platformio.platform.base import PlatformBase


class KilobenchemulatedPlatform(PlatformBase):
    """Nothing beyond the base class: no packages, no frameworks."""

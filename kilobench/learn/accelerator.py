# SPDX-License-Identifier: Apache-2.0
"""Which device trains on this machine, found without importing torch, which takes seconds."""

from __future__ import annotations

import ctypes
import importlib.metadata


def device() -> str:
    """``cuda`` where torch was built for it and the driver has a device, else ``cpu``."""
    return "cuda" if "+cpu" not in importlib.metadata.version("torch") and _devices() > 0 else "cpu"


def _devices() -> int:
    """That the CUDA driver has (CUDA driver API: cuInit, cuDeviceGetCount)."""
    count = ctypes.c_int()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    except (OSError, AttributeError):
        return 0
    return 0 if failed else count.value

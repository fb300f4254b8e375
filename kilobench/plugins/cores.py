# SPDX-License-Identifier: Apache-2.0
"""Core files."""

from __future__ import annotations

import re
from pathlib import Path

from kilobench.boards import Core
from kilobench.contracts import UserError
from kilobench.plugins.fields import typed, whole
from kilobench.plugins.spec import nearest
from kilobench.yamlfile import read_mapping

TOOLCHAINS = ("zig", "gcc")
FEATURES = ("dsp", "fpu")
COUNTERS = ("dwt", "systick", "ccount", "mcycle")
_EMULATED = {"ARM": ("dwt", "systick"), "RISCV32": ("mcycle",)}
"""Counters that the emulator has, by architecture."""
_FLAGS = r"[\w+=.,-]+( [\w+=.,-]+)*"
_TABLES = Path(__file__).parents[1] / "device" / "timing"


def architecture(core: Core) -> str:
    """That of a core which can be emulated, as unicorn's constants name it: of ``UC_CPU_ARM_CORTEX_M4`` it is ``ARM``."""
    return core.emulator.removeprefix("UC_CPU_").partition("_")[0]


def timing_label(core: Core, counter: str = "") -> str:
    """How cycles come about, as records say it: ``emulated cortex-m4``, ``estimated cortex-m7``, ``measured dwt``.

    ``counter``: what a real board says that it counts by.
    """
    if counter:
        return f"measured {counter}"
    return f"{'estimated' if core.estimated else 'emulated'} {core.timing}"


def timing_tables() -> tuple[str, ...]:
    """Names of the timing tables that there are: those of the files, with dashes."""
    return tuple(sorted(path.stem.replace("_", "-") for path in _TABLES.glob("[a-z]*.py")))


def load_core(path: Path) -> Core:
    """Read one core file; raises UserError naming the file and the key that is wrong."""
    core = Core(**typed(path, read_mapping(path, "a core file"), Core))
    if core.cycles_error is not None:
        whole(path, "cycles_error", core.cycles_error, 1, 99)
    if problem := _problem(core):
        raise UserError(f"{path}: {problem}")
    return core


def _problem(core: Core) -> str:
    """What is wrong with a core's values, or nothing."""
    if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", core.name) is None:
        return f"name: a core's name is of lower-case letters, digits and dashes, 60 at most, not {core.name!r}"
    listed = (
        ("counter", (core.counter,), COUNTERS),
        ("features", core.features, FEATURES),
        ("flags", core.flags, TOOLCHAINS),
        ("timing", filter(None, (core.timing,)), timing_tables()),
    )
    for key, values, known in listed:
        for value in values:
            if value not in known:
                return f"{key}: no {value!r}{nearest(value, known)}; there are {', '.join(known)}"
    for toolchain, flags in core.flags.items():
        if not re.fullmatch(_FLAGS, flags):
            return f"flags: {toolchain}: {flags!r} is not of words of letters, digits and _ + = . , -"
    having = [key for key in ("flags", "emulator", "timing") if getattr(core, key)]
    if 0 < len(having) < 3:
        return f"a core that can be emulated has flags, emulator and timing; this one has {' and '.join(having)} only"
    if having and "zig" not in core.flags:
        return "flags: 'zig' is missing"
    if having and (made := architecture(core)) not in _EMULATED:
        return f"emulator: {core.emulator!r} is of none of the architectures {', '.join(_EMULATED)}, as in UC_CPU_ARM_CORTEX_M4"
    if having and core.counter not in _EMULATED[made]:
        return f"counter: on {made} the emulator has {' and '.join(_EMULATED[made])}, not {core.counter!r}"
    for key in ("estimated", "cycles_error"):
        if getattr(core, key) and not having:
            return f"{key}: the core has no timing table"
    return ""

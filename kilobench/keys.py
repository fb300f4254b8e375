# SPDX-License-Identifier: Apache-2.0
"""Keys: hashes of everything that a result depends on.

Specifications, the contents of data, and the closure of the code that is used, with the versions of the packages that it
imports (kilobench.closure). So a change repeats what it can have changed, and nothing else.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kilobench.closure import code, digest_of, hashed
from kilobench.contracts import Contribution, Method, Network, Task
from kilobench.paths import contributions_dir, hardware_dir
from kilobench.toolchain import toolchain_name

_TOOLS = {
    "evaluate": ("ziglang",),
    "emulator": ("ziglang", "platformio", "SCons"),
    "serial": ("platformio",),
}
"""Packages that are run, not imported, by what is done."""
TRAINING = ("kilobench.learn.stage", "kilobench.learn.modelfile", "kilobench.data.loading")
"""The modules whose closure loads data, trains, compresses and stores models."""
EVALUATING = ("kilobench.compile.lower", "kilobench.measuring.evaluate")
MEASURING = ("kilobench.measuring.recording",)
COSTING = ("kilobench.measuring.fitting",)
_C_FOLDERS = {
    "evaluate": ("kernels", "firmware/ports/host"),
    "emulator": (
        "kernels",
        "firmware",
        "firmware/ports/emulated",
        "platformio",
        "platformio/boards",
        "platformio/builder",
    ),
    "serial": ("kernels", "firmware", "firmware/ports/arduino"),
}
"""Folders of hardware/ that are compiled, or tell how to, by what is done."""
_ALONE = {
    "emulator": [Path(__file__).parent / "device" / "block_hook.c"],
    "evaluate": [hardware_dir() / "firmware" / name for name in ("crc32.c", "crc32.h")],
}
"""Other files, alone: what counts cycles in the emulator, and the checksums of the host."""
_TELLING_NOTHING = ("title", "reference", "usb", "mcu", "max_clock_hz", "flash_wait_states", "caches", "run_current")
"""Fields of a board, its core or its flash, for people, for finding it, or for what is shown: no result depends on them."""


def contribution_key(contribution: Contribution) -> str:
    """Name, parameters, code and module of a task, network or method; stored models name their classes by the module."""
    used = code(Path(inspect.getfile(type(contribution))))
    values = dataclasses.asdict(contribution)  # type: ignore[call-overload]
    return hashed(contribution.name, values, type(contribution).__module__, used.digest, used.packages)


def contribution_versions(
    task: Task, network: Network, methods: Iterable[Method], teachers: Iterable[Network] = ()
) -> dict[str, int]:
    """Of all that a result depends on and that has a changelog; results of different versions are not ranked together.

    ``teachers``: the networks that teach methods of the recipe (Method.taught_by).
    """
    versions = {f"task {task.name}": task.version()}
    versions |= {f"network {one.name}": one.version() for one in (network, *teachers)}
    versions |= {f"method {method.name}": method.version() for method in methods}
    return versions | {"kernels": 1 + len(kernel_changes())}


@cache
def kernel_changes() -> list[str]:
    """The changelog of the kernels: a line for every version but the first."""
    return (hardware_dir() / "kernels" / "CHANGES").read_text().splitlines()


@cache
def training_code() -> str:
    """What trains and compresses, and what loads, checks and splits data for it."""
    used = code(*TRAINING)
    return hashed(used.digest, used.packages)


@cache
def evaluating_code() -> str:
    """What turns a trained model into C, and runs that on the host."""
    used = code(*EVALUATING)
    return hashed(used.digest, used.packages, _tools("evaluate"), _c_sources("evaluate"))


@cache
def measuring_code(link: str) -> str:
    """What builds a program of a lowered model and runs it on boards by a link, ``emulator`` or ``serial``."""
    used = code(*MEASURING, f"kilobench.measuring.{link}")
    return hashed(used.digest, used.packages, _tools(link), _c_sources(link))


@cache
def costing_code() -> str:
    """What says on an emulated board what a model costs that a method tries."""
    used = code(*COSTING)
    return hashed(used.digest, used.packages, _tools("emulator"), _c_sources("evaluate"), _c_sources("emulator"))


def measuring_key(evaluation_key: str, board: Mapping[str, Any], link: str, toolchain: str, power: str) -> str:
    """Key of the measurement of an evaluated model on a board (its fields); the ports of board and meter tell nothing apart.

    Raises UserError where the ``toolchain``, whose version counts, is not there.
    """
    kind = link.partition(":")[0]
    how = toolchain_name(toolchain) if kind == "emulator" else _meter(power)
    return hashed(evaluation_key, board_facts(board, kind), kind, how, measuring_code(kind))


def family_key(evaluation_key: str, boards: Iterable[Mapping[str, Any]], toolchain: str) -> str:
    """Key of what an evaluated model takes on all boards (their fields) of a core (kilobench.measuring.family)."""
    used = code("kilobench.measuring.family")
    facts = [board_facts(board) for board in boards]
    return hashed(
        evaluation_key,
        facts,
        toolchain_name(toolchain),
        used.digest,
        used.packages,
        _tools("emulator"),
        _c_sources("emulator"),
    )


def board_facts(board: Mapping[str, Any], link: str = "emulator") -> dict[str, Any]:
    """The fields of a board that a result can depend on: of the emulated one not how the real one is built, and of that not how
    its flash is estimated.
    """
    aside = (*_TELLING_NOTHING, "platformio" if link == "emulator" else "flash_timing")
    facts = {name: value for name, value in board.items() if name not in aside}
    parts = {name: facts[name] for name in ("core", "flash_timing") if facts.get(name)}
    return facts | {name: {k: v for k, v in part.items() if k not in _TELLING_NOTHING} for name, part in parts.items()}


def versions() -> dict[str, str]:
    """Versions of all packages that results of the project's own code, contributions included, depend on."""
    contributed = [
        path for kind in ("methods", "networks", "tasks") for path in sorted(contributions_dir().glob(f"{kind}/*.py"))
    ]
    used = code(
        *contributed,
        *TRAINING,
        *EVALUATING,
        *MEASURING,
        *COSTING,
        "kilobench.measuring.emulator",
        "kilobench.measuring.serial",
    )
    return {"kilobench": importlib.metadata.version("kilobench"), **used.packages, **_tools("emulator")}


@cache
def _tools(use: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _TOOLS[use]}


@cache
def _meter(power: str) -> list[str]:
    """The name of a power meter, and the packages that it may come from."""
    name = power.partition(":")[0]
    points = importlib.metadata.entry_points(group="kilobench.power")
    return [
        name,
        *sorted(f"{point.dist.name} {point.dist.version}" for point in points if point.name == name and point.dist),
    ]


@cache
def _c_sources(use: str) -> str:
    """Hash of the C sources, and of the build scripts beside them."""
    folders = [hardware_dir() / folder for folder in _C_FOLDERS[use]]
    files = [file for folder in folders for file in sorted(folder.iterdir()) if file.is_file()]
    return digest_of([*files, *_ALONE.get(use, ())])

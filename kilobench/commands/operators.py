# SPDX-License-Identifier: Apache-2.0
"""All operators that a graph may hold, as tables: for a terminal, and for docs/operators.md."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from kilobench.boards import Core
from kilobench.commands.instances import instance
from kilobench.compile.graph import DType
from kilobench.compile.operator import Operator, bind, kinds, operator, sources
from kilobench.contracts import UserError
from kilobench.paths import hardware_dir
from kilobench.plugins.cores import architecture

_SPECIAL: dict[str, tuple[str, Callable[[Core], bool]]] = {
    "DSP": (r"__ARM_FEATURE_DSP\b", lambda core: "dsp" in core.features),
    "FPU": (r"__ARM_FP\b", lambda core: "fpu" in core.features and "-m" in core.name),
    "Thumb-2": (r"__thumb2__(?!.*__ARM_FP)", lambda core: re.search("-m(?!0)", core.name) is not None),
    "Armv6-M": (r"__ARM_ARCH_6M__\b", lambda core: "-m0" in core.name),
    "RISC-V": (r"__riscv\b", lambda core: architecture(core) == "RISCV32"),
}
"""By what kernels ask the compiler, in code for some cores, and which cores these are."""
_SHARED = ("kb_inline.h", "kb_dsp.h")
"""Headers with pieces that are special to some cores in every kernel."""
_SEEDS = 24
"""Random instances of a kind and pair of types, in which all its kernels are looked for."""


def report(cores: Mapping[str, Core]) -> int:
    """Print the table; the exit code."""
    found = {kind: special(kind) for kind in kinds()}
    print("All cores run all operators, by portable C. Some have kernels of their own besides:")
    for name, (_, has) in _SPECIAL.items():
        print(f"  {name:9}{', '.join(sorted(core.name for core in cores.values() if has(core)))}")
    rows = [("operator", "types", "special to", "")]
    rows += [(kind, types(operator(kind)), ", ".join(found[kind]) or "-", summary(operator(kind))) for kind in kinds()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    print()
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip())
    return 0


def markdown() -> str:
    """The table of docs/operators.md, of this project's operators alone."""
    rows = ["| operator | what it is | types | attributes | parameters |", "|---|---|---|---|---|"]
    for cls in (operator(kind) for kind in kinds() if not sources(kind)):
        name = f"`{cls.__module__.rpartition('.')[2]}`"
        cells = (name, summary(cls), types(cls), _attributes(cls), _parameters(cls))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def summary(cls: type[Operator]) -> str:
    """The first line of its file."""
    return (sys.modules[cls.__module__].__doc__ or "").strip().partition("\n")[0]


def types(cls: type[Operator]) -> str:
    """Those that it keeps, and pairs."""
    return ", ".join(read if read == made else f"{read} -> {made}" for read, made in cls.types)


def special(kind: str) -> list[str]:
    """What some of its kernels are special to."""
    text = "\n".join(path.read_text() for path in _files(kind))
    return [name for name, (pattern, _) in _SPECIAL.items() if re.search(pattern, text)]


def _files(kind: str) -> set[Path]:
    """All C of its kernels."""
    folder = hardware_dir() / "kernels"
    texts = {path: path.read_text() for path in (*folder.glob("*.c"), *sources(kind)) if path.suffix == ".c"}
    names = {name for pair in operator(kind).types for name in _kernels(kind, pair)}
    defined = rf"(void|^\w+\()\s*({'|'.join(sorted(names))})\b"
    files = {path for path, text in texts.items() if re.search(defined, text, re.MULTILINE)}
    return files | {path for file in files for path in _included(file)}


def _kernels(kind: str, pair: tuple[DType, DType]) -> Iterable[str]:
    for seed in range(_SEEDS):
        try:
            graph = instance(kind, pair, seed)
        except (UserError, ValueError):  # of a plug-in
            continue
        yield bind(graph, graph.ops[0]).kernel


def _included(file: Path) -> set[Path]:
    """Its own headers, and the C of these."""
    named = re.findall(r'^#include "(\w+\.h)"', file.read_text(), re.MULTILINE)
    headers = {file.parent / name for name in named if name not in _SHARED and (file.parent / name).is_file()}
    beside = {path.with_suffix(".c") for path in headers}
    return headers | {path for path in beside if path.is_file()} | {p for path in headers for p in _included(path)}


def _attributes(cls: type[Operator]) -> str:
    named = (f"`{key}={a.default}`" if a.optional else f"`{key}`" for key, a in cls.attributes.items())
    return ", ".join(named)


def _parameters(cls: type[Operator]) -> str:
    """By pair of types; ``[OHWI]`` are the letters of kilobench.compile.operator."""
    found: dict[str, list[str]] = {}
    for (read, made), params in cls.types.items():
        optional = {key: "?" if key in cls.optional else "" for key in params}
        text = ", ".join(f"`{key}{optional[key]}: {dtype}[{axes}]`" for key, (dtype, axes) in params.items())
        if text:
            found.setdefault(text, []).append(read if read == made else f"{read} -> {made}")
    return "; ".join(f"{', '.join(pairs)}: {text}" for text, pairs in found.items())

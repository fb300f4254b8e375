# SPDX-License-Identifier: Apache-2.0
"""``kilobench export``: a model as C for a project of one's own, with the kernels that it needs and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader

from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.contracts import UserError
from kilobench.measuring.recording import described
from kilobench.paths import hardware_dir
from kilobench.report.facts import Facts, facts_of
from kilobench.report.models import Subject
from kilobench.report.text import kib
from kilobench.scratch import temporary_folder

_ALL_KERNELS = "kb_kernels.h"
"""Which declares every kernel, whether a model needs it or not."""
FLAGS = ("-std=c99", "-O2", "-ffp-contract=off")
"""With which floats are those of host C to the bit."""
_INCLUDED = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
_NAME = re.compile(r"\bkb_\w+")
_DECLARED = re.compile(r"\b(kb_\w+)\(")
_DEFINING = re.compile(r"^(?!static\b)\w.*", re.M)
"""Lines of a kernel's file that begin what others can call, be it by a macro."""
_TEMPLATES = {
    "README.md.j2": "README.md",
    "CMakeLists.txt.j2": "CMakeLists.txt",
    "main.c": "example/main.c",
}


def export(subject: Subject, folder: Path) -> list[Path]:
    """Write a folder that is new or empty; the files in it. Raises UserError rather than write among others."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there and is not an empty folder; choose another --to")
    with temporary_folder() as made:
        plan = emit(subject.graph, made, subject.title)
        facts = facts_of(subject.name, subject.rounding, subject.graph, plan)
        files = needed(made)
        (folder / "src").mkdir(parents=True, exist_ok=True)
        (folder / "example").mkdir()
        for file in files:
            shutil.copyfile(file, folder / "src" / file.name)
    templates = Environment(loader=PackageLoader("kilobench.commands", "templates/export"), keep_trailing_newline=True)
    values = _values(subject.graph, facts, [file.name for file in files])
    for template, name in _TEMPLATES.items():
        (folder / name).write_text(templates.get_template(template).render(values))
    (folder / "library.json").write_text(json.dumps(_library(facts), indent=2) + "\n")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def needed(model: Path) -> list[Path]:
    """What emit wrote into a folder, and those kernels and headers that it needs, found by the names in their text."""
    folder = hardware_dir() / "kernels"
    defining = definitions()
    found: dict[str, Path] = {}
    waiting = sorted(model.glob("*.[ch]"))
    while waiting:
        file = waiting.pop()
        if file.name in found:
            continue
        found[file.name] = file
        text = file.read_text()
        waiting += [folder / name for name in _INCLUDED.findall(text) if (folder / name).is_file()]
        if file.name != _ALL_KERNELS:
            waiting += [defining[name] for name in _NAME.findall(text) if name in defining]
    return [found[name] for name in sorted(found)]


def definitions() -> dict[str, Path]:
    """The kernel's file of every function that a header declares."""
    folder = hardware_dir() / "kernels"
    declared = {name for file in folder.glob("*.h") for name in _DECLARED.findall(file.read_text())}
    return {
        name: file
        for file in sorted(folder.glob("*.c"))
        for line in _DEFINING.findall(file.read_text())
        for name in _NAME.findall(line)
        if name in declared
    }


def _values(graph: Graph, facts: Facts, files: list[str]) -> dict[str, object]:
    source = graph.tensors[graph.input]
    return {
        "facts": facts,
        "flags": FLAGS,
        "sources": [name for name in files if name.endswith(".c")],
        "weights": kib(sum(layer.weight_bytes for layer in facts.layers)),
        "arena": kib(facts.arena_bytes),
        "input": described(source),
        "input_bytes": source.bytes,
        "grid": _grid(graph, graph.input),
        "outputs": [(described(graph.tensors[name]), _grid(graph, name)) for name in graph.outputs],
        "version": version("kilobench"),
    }


def _grid(graph: Graph, name: str) -> str:
    """What its integers mean."""
    tensor = graph.tensors[name]
    return (
        f"a value is {np.float32(tensor.scale)} * (q - {tensor.zero_point})" if tensor.scale else "values as they are"
    )


def _library(facts: Facts) -> dict[str, object]:
    """PlatformIO's description of a library."""
    return {
        "name": re.sub(r"[^a-z0-9-]+", "-", Path(facts.model).stem.lower())[:40].strip("-") or "model",
        "version": "1.0.0",
        "description": f"{facts.model} as C, by kilobench",
        "license": "Apache-2.0",
        "frameworks": "*",
        "platforms": "*",
        "build": {"flags": list(FLAGS[1:])},
    }

# SPDX-License-Identifier: Apache-2.0
"""``kilobench new``: a working contribution to start from."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, PackageLoader

from kilobench.contracts import UserError

_FOLDERS = {"method": "methods", "task": "tasks", "network": "networks", "board": "boards"}


def create(kind: str, name: str, folder: Path) -> Path:
    """Write a file that passes the contract tests into ``folder``; raises UserError rather than overwrite one."""
    pattern = r"[a-z][a-z0-9_]{0,59}" if kind == "board" else r"[a-z][a-z0-9-]{0,59}"
    if re.fullmatch(pattern, name) is None:
        raise UserError(
            f"a {kind}'s name is of lower-case letters, digits and dashes (boards: underscores), 60 at most, not {name!r}"
        )
    stem = name.replace("-", "_")
    suffix = "yaml" if kind == "board" else "py"
    path = folder / _FOLDERS[kind] / f"{stem}.{suffix}"
    if path.exists():
        raise UserError(f"{path} exists already")
    templates = Environment(loader=PackageLoader("kilobench.commands"), keep_trailing_newline=True)
    class_name = "".join(word.capitalize() for word in stem.split("_"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(templates.get_template(f"{kind}.{suffix}.j2").render(name=name, class_name=class_name))
    return path

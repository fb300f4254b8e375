# SPDX-License-Identifier: Apache-2.0
"""The project's documentation as pages of the site: docs/*.md and what they show, beside the leaderboard's."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

_BESIDE = ("CONTRIBUTING.md", "SECURITY.md")
"""Of the folder that docs/ is in."""
_SECTIONS = {
    "Measure": "installing measuring importing importing-onnx importing-torch operators boards",
    "Compare": "comparing tuning running leaderboard trust study",
    "Train and add": "methods training data CONTRIBUTING developing",
    "Inside": "architecture arithmetic kernels timing protocol SECURITY",
}
"""Which guides stand together, in order; others come last."""
_OTHERS = "More"
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_NAMED = re.compile(r"(?<!\]\()`?\bdocs/([\w-]+\.md)\b`?")
_CODE = re.compile(r"(^```.*?^```|^    .*?$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def guides(docs: Path | None) -> dict[str, bytes]:
    """Pages and pictures by their path on the site, where pages of the leaderboard lie above docs/.

    Nothing where there is no such folder: an installed package has none.
    """
    if docs is None or not docs.is_dir():
        return {}
    pages = {f"docs/{path.name}": path for path in sorted(docs.glob("*.md"))}
    pages |= {name: docs.parent / name for name in _BESIDE if (docs.parent / name).is_file()}
    pictures = {path.relative_to(docs.parent).as_posix(): path for path in sorted(docs.glob("*/*.png"))}
    return {name: path.read_bytes() for name, path in {**pages, **pictures}.items()}


def linked(text: str, name: str, there: Collection[str]) -> str:
    """The text of a guide, its links to the leaderboard's pages and to other guides leading there.

    ``name`` is its path, and ``there`` those of all that the site has. What the site has not is said as its path in the
    repository.
    """
    folder = Path(name).parent

    def lead(link: re.Match[str]) -> str:
        picture, said, target = link.groups()
        path, mark, part = target.partition("#")
        if not path or "://" in target:
            return link[0]
        whole = Path("/", folder, path).resolve().as_posix().lstrip("/")
        onsite = whole.removeprefix("leaderboard/")
        if onsite in there:
            return f"{picture}[{said}]({'../' * len(folder.parts)}{onsite}{mark}{part})"
        return f"`{whole}`" if said.strip("`") == whole else f"{said} (`{whole}`)"

    return "".join(part if i % 2 else _LINK.sub(lead, part) for i, part in enumerate(_CODE.split(text)))


def named(text: str, name: str, there: Collection[str]) -> str:
    """The text of a page of the leaderboard, whose mentions of guides are links where the site has these."""
    up = "../" * name.count("/")

    def link(found: re.Match[str]) -> str:
        target = f"docs/{found[1]}"
        return f"[{target}]({up}{target})" if target in there else found[0]

    return _NAMED.sub(link, text)


def navigation(titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """The sections of guides, given by their paths and titles."""
    left = {Path(name).stem: name for name in titles}
    sections: list[dict[str, Any]] = []
    for section, stems in {**_SECTIONS, _OTHERS: ""}.items():
        names = [left.pop(stem) for stem in stems.split() if stem in left]
        if section == _OTHERS:
            names = [left[stem] for stem in sorted(left)]
        if names:
            sections.append({section: [{titles[name]: name} for name in names]})
    return sections

# SPDX-License-Identifier: Apache-2.0
"""Code on which results depend does not change under one version.

``tests/golden/versions.json`` holds the version and a digest of the code of every contribution, and of the kernels. Where the
code has changed: if results can differ, add a line to ``changes`` of the contribution, or to ``hardware/kernels/CHANGES``; then,
and where they cannot, write the file anew by ``python -m tests.ground.test_versions``.
"""

import json
from pathlib import Path

import pytest

from kilobench.closure import digest_of
from kilobench.keys import kernel_changes
from kilobench.paths import contributions_dir, hardware_dir
from kilobench.plugins.registry import load_registry

KNOWN = Path(__file__).parents[1] / "golden" / "versions.json"


def versions() -> dict[str, list[int | str]]:
    """Version and digest by kind and name; methods, networks and tasks count with what they share with others of their folder."""
    registry, found = load_registry(), {}
    for kind in ("methods", "networks", "tasks"):
        for name, entry in sorted(registry.entries[kind].items()):
            if entry.path.parent.parent == contributions_dir():
                digest = digest_of([entry.path, *sorted(entry.path.parent.glob("_*.py"))])
                found[f"{kind[:-1]} {name}"] = [registry.loaded(kind, name).value.version(), digest]  # type: ignore[union-attr]
    sources = sorted(path for path in (hardware_dir() / "kernels").rglob("*") if path.suffix in (".c", ".h"))
    return {**found, "kernels": [1 + len(kernel_changes()), digest_of(sources)]}


KNOWN_VERSIONS = json.loads(KNOWN.read_text()) if KNOWN.is_file() else {}


@pytest.mark.parametrize("name", sorted({*versions(), *KNOWN_VERSIONS}))
def test_code_that_has_changed_has_another_version_or_the_same_results(name: str) -> None:
    assert versions().get(name) == KNOWN_VERSIONS.get(name), (
        f"{name}: the code has changed; see the top of {Path(__file__).name}"
    )


if __name__ == "__main__":
    KNOWN.write_text(json.dumps(versions(), indent=1) + "\n")

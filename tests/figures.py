# SPDX-License-Identifier: Apache-2.0
"""``python tests/figures.py A B``: whether the records of folder A say what those of B say, wherever they were made."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

WHERE = {"cell", "versions", "git_commit", "times", "trust"}
"""Fields that tell when, by which code and packages, and how much is known of it."""


def differences(some: Path, others: Path) -> Iterator[str]:
    """A line for each figure that is another one in the same record of ``others``."""
    for path in sorted((some / "records").rglob("*.json")):
        name = path.relative_to(some)
        record, other = (json.loads((folder / name).read_text("utf-8")) for folder in (some, others))
        for field in sorted(record.keys() - WHERE):
            if record[field] != other[field]:
                yield f"{name}: {field} is {record[field]}, not {other[field]}"


if __name__ == "__main__":
    found = list(differences(*map(Path, sys.argv[1:])))
    print("\n".join(found) or "the same figures")
    sys.exit(bool(found))

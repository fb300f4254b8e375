# SPDX-License-Identifier: Apache-2.0
"""Process replay: the C of all published models as two commits emit it, and the difference.

    python -m tests.replay [BASE]

A refactoring shows by it that it changed no code. BASE is the merge base with the main branch of ``origin``, or the commit before
where that is the same. Exit code 1 where the C of a model differs though all its records are as they were: they would have
to be measured again.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kilobench.results.packed import SUFFIX, content_of

ROOT = Path(__file__).parents[1]
_SHOWN_LINES = 40
"""Of a model's difference."""
_EMIT = """
import sys
from pathlib import Path
try:
    from kilobench.compile.emit import emit
    from kilobench.compile.graphfile import load_graph
except ImportError:  # commits before the folders
    from kilobench.emit import emit
    from kilobench.graphfile import load_graph
models, target = map(Path, sys.argv[1:])
for path in sorted(models.glob("*.safetensors")):
    folder = target / path.stem
    folder.mkdir(parents=True)
    emit(load_graph(path)[0], folder, path.stem[:8])
"""


def main() -> int:
    """Emit on both commits, print what differs, and return the exit code."""
    base = sys.argv[1] if len(sys.argv) > 1 else _base()
    if not _git("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}", check=False):
        print(f"{base} is not in this clone: nothing to compare with")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _gather(folder / "models")
        _git("worktree", "add", "--detach", "--quiet", str(folder / "base"), base)
        try:
            sides = [_begin(folder / "base", folder, "before"), _begin(ROOT, folder, "after")]
            if any(side.wait() for side in sides):
                return 1
        finally:
            _git("worktree", "remove", "--force", str(folder / "base"))
        return _report(folder / "before", folder / "after", base)


def _base() -> str:
    head = _git("rev-parse", "HEAD")
    merged = _git("merge-base", "HEAD", "origin/main", check=False)
    return merged if merged not in ("", head) else "HEAD~1"


def _gather(folder: Path) -> None:
    """The files of all published models, packed ones too."""
    folder.mkdir()
    for path in (ROOT / "leaderboard" / "models").iterdir():
        (folder / path.name.removesuffix(SUFFIX)).write_bytes(content_of(path))


def _begin(tree: Path, folder: Path, target: str) -> subprocess.Popen[bytes]:
    """The code of a commit on the models of this one."""
    command = [sys.executable, "-c", _EMIT, str(folder / "models"), str(folder / target)]
    return subprocess.Popen(command, cwd=tree, env={"PYTHONPATH": str(tree), "PATH": "/usr/bin:/bin"})


def _report(before: Path, after: Path, base: str) -> int:
    models = sorted(path.name for path in after.iterdir())
    different = {name: lines for name in models if (lines := list(_differences(before / name, after / name)))}
    measured_again = _git("diff", "--name-only", base, "--", "leaderboard/records")
    stale = 0
    for name, lines in different.items():
        print(f"\n{name}: {len(lines)} lines of its C differ", *lines[:_SHOWN_LINES], sep="\n")
        kept = [path for path in _records(name) if path not in measured_again.splitlines()]
        stale += bool(kept)
        print(*(f"{path}: measured with other code" for path in kept), sep="\n")
    print(
        f"{len(models)} published models, {len(different)} with other C than at {base[:12]}, {stale} with stale records"
    )
    return 1 if stale else 0


def _differences(before: Path, after: Path) -> Iterator[str]:
    for name in ("model.c", "model_config.h"):
        texts = [(folder / name).read_text().splitlines() for folder in (before, after)]
        yield from difflib.unified_diff(*texts, f"before/{name}", f"after/{name}", lineterm="", n=0)


def _records(name: str) -> list[str]:
    """The records that are about a model."""
    found = subprocess.run(
        ["git", "grep", "--files-with-matches", name.partition("-")[0], "--", "leaderboard/records"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return str(found.stdout).split()


def _git(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=check)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""What is installed and what the workflows run: pinned, by hash, and no more than is needed."""

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kilobench.extras import EXTRAS

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FILES = {name: (ROOT / name).read_text() for name in ("constraints.txt", "lock.txt", "pyproject.toml")}
OF_TORCH = re.compile(r"torch|triton|(nvidia|cuda)-.*")
"""What differs from index to index, as torch's builds do."""
LOCKED = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[\w.]+)( \\\n    --hash=sha256:[0-9a-f]{64})+\n")


def pins(constraints: str) -> dict[str, str]:
    """Versions by normal names."""
    lines = (line.split("==") for line in constraints.splitlines())
    return {canonicalize_name(name): version for name, version in lines}


def required(pyproject: str) -> list[Requirement]:
    """What building, running and working on kilobench needs directly; an extra may need others of its extras."""
    settings = tomllib.loads(pyproject)
    project = settings["project"]
    groups = (project["dependencies"], settings["build-system"]["requires"], *project["optional-dependencies"].values())
    found = [Requirement(line) for group in groups for line in group]
    return [requirement for requirement in found if requirement.name != project["name"]]


def disagreements(files: dict[str, str]) -> Iterator[str]:
    """Where the lock, the constraints and the project's own requirements do not fit each other."""
    pinned = pins(files["constraints.txt"])
    if any(not line.startswith("#") for line in LOCKED.sub("", files["lock.txt"]).splitlines()):
        yield "lock.txt holds more than versions with hashes"
    locked = {canonicalize_name(found["name"]): found["version"] for found in LOCKED.finditer(files["lock.txt"])}
    for name in sorted(pinned.keys() ^ locked.keys() ^ {"torch"}):
        yield f"{name} is pinned and not locked or locked and not pinned, as only torch is"
    yield from (
        f"{name} is locked at {locked[name]}" for name in pinned.keys() & locked if locked[name] != pinned[name]
    )
    for requirement in required(files["pyproject.toml"]):
        version = pinned.get(canonicalize_name(requirement.name), "no version")
        if version == "no version" or version not in requirement.specifier:
            yield f"{requirement} is pinned at {version}"


def test_lock_constraints_and_project_agree() -> None:
    assert list(disagreements(FILES)) == [], "python -m tox run -e lock writes lock.txt anew"


CHANGES = {
    "another version": ("constraints.txt", r"(?m)^numpy==", "numpy==1"),
    "one pin less": ("constraints.txt", r"(?m)^numpy==.*\n", ""),
    "one pin more": ("constraints.txt", r"(?m)^numpy==", "more==1\nnumpy=="),
    "torch is not pinned": ("constraints.txt", r"(?m)^torch==.*\n", ""),
    "another version is locked": ("lock.txt", r"(?m)^numpy==", "numpy==1"),
    "torch is locked": ("lock.txt", r"(?m)^numpy==(.*\n.*)", rf"torch==1 \\\n    --hash=sha256:{64 * '0'}\nnumpy==\1"),
    "no hash": ("lock.txt", r"(?m)^(ziglang==\S+) [^z]*\Z", r"\1\n"),
    "a weak hash": ("lock.txt", r"--hash=sha256:0", "--hash=md5:0"),
    "an index": ("lock.txt", r"\n", "\n--extra-index-url https://example.org\n"),
    "a new bound": ("pyproject.toml", r"numpy>=2", "numpy>=3"),
    "a new bound of an extra": ("pyproject.toml", r"ray>=2.50,<3", "ray>=2.50,<2.60"),
    "a new requirement": ("pyproject.toml", r"numpy>=2", "more"),
    "another builder": ("pyproject.toml", r'requires = \["hatchling', 'requires = ["hatching'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_one_of_them_is_found(change: str) -> None:
    name, pattern, replacement = CHANGES[change]
    changed, count = re.subn(pattern, replacement, FILES[name], count=1)
    assert count == 1 and list(disagreements(FILES | {name: changed}))


def test_whatever_is_needed_is_pinned() -> None:
    """As installed packages say; ``tox run -e supply`` installs the lock, and asks pip whether anything is missing."""
    pinned, seen, left = pins(FILES["constraints.txt"]), set(), required(FILES["pyproject.toml"])
    while left:
        needed = left.pop()
        name = canonicalize_name(needed.name)
        if name == "pip" or (name, *needed.extras) in seen:
            continue
        seen.add((name, *needed.extras))
        assert name in pinned or OF_TORCH.fullmatch(name)
        further = [Requirement(line) for line in metadata.requires(name) or []]
        extras = [{"extra": extra} for extra in ("", *needed.extras)]
        left += [line for line in further if not line.marker or any(map(line.marker.evaluate, extras))]
    assert len(seen) > 100


def extras() -> dict[str, set[str]]:
    """What each extra needs, by normal names."""
    settings = tomllib.loads(FILES["pyproject.toml"])["project"]["optional-dependencies"]
    return {name: {canonicalize_name(Requirement(line).name) for line in lines} for name, lines in settings.items()}


def test_extras_are_told_by_the_modules_of_their_packages() -> None:
    packages = metadata.packages_distributions()
    told = {name: {canonicalize_name(packages[module][0]) for module in modules} for name, modules in EXTRAS.items()}
    assert told == {name: needed for name, needed in extras().items() if name != "dev"}


def test_who_works_on_kilobench_has_all_extras() -> None:
    lines = tomllib.loads(FILES["pyproject.toml"])["project"]["optional-dependencies"]["dev"]
    own = next(requirement for requirement in map(Requirement, lines) if requirement.name == "kilobench")
    assert own.extras == EXTRAS.keys()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_commits_and_say_their_version(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if "uses:" in line]
    pinned = re.compile(r"\s+(- )?uses: [\w-]+(/[\w-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert lines and [line for line in lines if not pinned.fullmatch(line)] == []


def test_an_action_is_the_same_commit_everywhere() -> None:
    uses = {line for path in WORKFLOWS for line in re.findall(r"uses: (.*)", path.read_text())}
    assert len(uses) == len({use.split("@")[0] for use in uses})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_job_that_runs_code_of_the_repository_may_not_write(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    for job in workflow["jobs"].values():
        if any("actions/checkout" in step.get("uses", "") for step in job["steps"]):
            assert set(job.get("permissions", workflow["permissions"]).values()) == {"read"}

# SPDX-License-Identifier: Apache-2.0
"""The reports that ``kilobench run mlperf-tiny`` has written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kilobench.contracts import UserError
from kilobench.paths import contributions_dir
from kilobench.plugins.spec import nearest
from kilobench.plugins.suites import ModelFile, ModelSuite, read_suite
from kilobench.report.facts import Facts, OnBoard, read_facts

SUITE = "mlperf-tiny"
"""Name of the suite, of the folder of its reports, and of the page."""
REFERENCE_BOARD = "nucleo_l4r5zi"
"""That most submitters have measured: what boards are compared with."""


@dataclass(frozen=True)
class Reference:
    """A reference model as it was measured here."""

    name: str
    model: ModelFile
    facts: Facts

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(self.facts.macs.values()) + self.facts.left_out_macs

    @property
    def quality(self) -> float | None:
        """On labelled inputs; None where there were none."""
        return None if self.facts.judged is None else self.facts.judged.quality

    def on(self, board: str) -> OnBoard | None:
        """What was measured on a board; None where it was not, or is too large to run."""
        return next((one for one in self.facts.boards if one.board == board and one.cycles), None)


def read_references(folder: Path, suite: ModelSuite | None = None) -> tuple[Reference, ...]:
    """The reports of a folder, in the order of the suite, by default the project's.

    Raises UserError for a report that is of no model of the suite, of another model, or of another version of kilobench.
    """
    if suite is None:
        found = read_suite(contributions_dir() / "benchmarks" / f"{SUITE}.yaml")
        assert isinstance(found, ModelSuite)
        suite = found
    for path in sorted(folder.glob("*.json")):
        if path.stem not in suite.models:
            raise UserError(f"{path}: the suite {SUITE} has no model {path.stem!r}{nearest(path.stem, suite.models)}")
    paths = {name: folder / f"{name}.json" for name in suite.models}
    return tuple(_reference(name, paths[name], model) for name, model in suite.models.items() if paths[name].is_file())


def _reference(name: str, path: Path, model: ModelFile) -> Reference:
    facts = read_facts(path)
    wanted = Path(model.file).name, model.rounding
    if (facts.model, facts.rounding) != wanted:
        told = f"{facts.model}, rounding {facts.rounding}"
        raise UserError(f"{path}: it is of {told}, not of {wanted[0]}, rounding {wanted[1]}; kilobench run {SUITE}")
    return Reference(name, model, facts)

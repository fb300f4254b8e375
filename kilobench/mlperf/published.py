# SPDX-License-Identifier: Apache-2.0
"""Results of MLPerf Tiny that others measured on silicon, as ``benchmarks/mlperf-tiny/published.csv`` lists them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from kilobench.contracts import UserError
from kilobench.paths import contributions_dir, hardware_dir

Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w ,.+()/-]+$")]


def _known(core: str) -> str:
    """A core that has a file. Raises ValueError for others."""
    if core not in (known := sorted(path.stem for path in (hardware_dir() / "cores").glob("*.yaml"))):
        raise ValueError(f"there is no such core; there are {', '.join(known)}")
    return core


class Result(BaseModel):
    """One row: what a submitter measured with an engine on a board, of one round, for one benchmark."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    round: Literal["1.0", "1.1", "1.2", "1.3"]
    division: Literal["closed", "open"]
    submitter: Text
    board: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,59}$")]
    """As a board file here is called, or would be."""
    core: Annotated[str, AfterValidator(_known)]
    """As the core's file here is called."""
    mhz: Annotated[int, Field(ge=1, le=2000)]
    """Of the processor, by the system's description."""
    engine: Text
    weights: Literal["int8", "float32"]
    benchmark: Literal["ic01", "kws01", "vww01", "ad01", "sww01"]
    inferences_per_second: Annotated[float, Field(gt=0, le=1e6)]
    """The median, as published; of the streaming wake word by its duty cycle, features included."""
    quality: Annotated[float, Field(ge=0, le=1)] | None
    """Top-1 accuracy, of ad01 the area under the ROC curve; none is stated for the streaming wake word."""
    energy_uj: Annotated[float, Field(gt=0)] | None
    """Microjoules per inference, where a meter was in the supply."""
    path: Text
    """Of the folder that it was read from, in mlcommons/tiny_results_vROUND."""

    @property
    def latency_ms(self) -> float:
        """Of one inference."""
        return 1000 / self.inferences_per_second

    @property
    def cycles(self) -> float:
        """Of one inference, at the processor's clock."""
        return 1e6 * self.mhz / self.inferences_per_second

    @property
    def who(self) -> tuple[str, str, str, str]:
        """What has to be the same for two boards to be compared."""
        return self.round, self.submitter, self.engine, self.weights


def read_published(path: Path | None = None) -> tuple[Result, ...]:
    """All rows of a file, by default the project's. Raises UserError naming file, line and column for what is no such row."""
    path = path or contributions_dir() / "benchmarks" / "mlperf-tiny" / "published.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, restkey="more", restval=None))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not rows:
        raise UserError(f"{path} has no rows")
    return tuple(_result(path, number, row) for number, row in enumerate(rows, 2))


def _result(path: Path, number: int, row: dict[str, str | None]) -> Result:
    optional = ("quality", "energy_uj")
    values = {key: None if key in optional and value == "" else value for key, value in row.items()}
    for key in Result.model_fields:
        if row.get(key) is None:
            raise UserError(f"{path}, line {number}: there is no {key}")
    try:
        return Result.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}, line {number}: {where}: {row.get(where)!r}: {first['msg']}") from None

"""The record: everything measured on one cell and everything needed to repeat it."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SCHEMA: Literal["kilobench/1"] = "kilobench/1"


def _quoted(command: str) -> str:
    """People copy it into a shell."""
    words = shlex.split(command)
    if words[:2] != ["kilobench", "run"] or shlex.join(words) != command:
        raise ValueError("is no quoted command of kilobench run")
    return command


# Records come from anybody, and their texts go into file names and pages.
Line = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f<>`|]*$")]
"""Text that is nothing but text in a table of a page."""
Name = Annotated[str, Field(max_length=300, pattern=r"^[A-Za-z0-9][^\x00-\x1f\x7f<>`|()/\\]*$")]
"""A name or specification, harmless in a file name too."""
Command = Annotated[Line, AfterValidator(_quoted)]
"""A command of kilobench and nothing else."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class Accuracy(_Part):
    """Of the emitted C compiled for the host on the whole test set, with a 95 % Wilson interval; shares of 1."""

    mean: float
    low: float
    high: float
    correct: int
    total: int
    bitmap: str
    """Base64 of the per-sample correctness, packed most significant bit first (numpy.packbits)."""


class FlashSplit(_Part):
    """Flash by use, in bytes."""

    weights: int
    runtime: int
    """Kernels, the model's code and tables, and the protocol."""
    board_support: int


class RamSplit(_Part):
    """RAM by use, in bytes."""

    arena: int
    arena_lower_bound: int
    """The most that is live at once: what no placing of the arena can go below."""
    peak: Line
    """The operator during which it is."""
    static: int
    stack: int
    """Peak, by painting."""


class Layer(_Part):
    """One operator as measured on the board."""

    name: Line
    kind: Line
    output: Line
    """Type and shape of its output, as in ``int8 16x16x32`` (height x width x channels)."""
    cycles: int


class Times(_Part):
    """Seconds spent, and when: the only part that differs between two runs of one cell on one machine."""

    created: str
    """UTC, ISO 8601."""
    train_s: float
    """Training and compression, all stages of the recipe (as first spent; cached stages keep their figure)."""
    build_s: float
    evaluate_s: float
    run_s: float


class ModelFacts(_Part):
    """What is known of a trained and compressed model, whatever board it runs on."""

    task: Name
    classes: int
    synthetic: bool
    network: Name
    training: dict[str, bool | int | float | str] = {}
    """All settings of the full network's training (kilobench.api.Training)."""
    training_changes: Line = ""
    """Those that differ from the task's own, as in ``epochs=40``."""
    recipe: Name
    seed: int
    fold: int
    accuracy: Accuracy
    """Audio: of one window of every clip, as deployed; the figure that ranks."""
    accuracy_10_crops: Accuracy | None = None
    """Audio whose clips are longer than the window: by the mean softmax over 10 windows, as the papers report."""
    macs: dict[str, int]
    """Counted, by type: fp32, int8, binary."""
    parameters: int
    model_digest: str
    data_digest: str
    partial: int = 0
    """Inputs that the published data set has and this run lacked."""
    notes: tuple[str, ...] = ()


class Record(ModelFacts):
    """One cell as measured. Keys carry their units."""

    schema_version: Literal["kilobench/1"] = Field(alias="schema")
    cell: str
    """Content hash of everything that the result depends on."""
    board: Name
    board_flash_bytes: int
    board_ram_bytes: int
    """What the board has; RAM in all its regions."""
    clock_hz: int
    """As the board read it back."""
    conditions: dict[Name, Line] = {}
    """What else cycles depend on, as the board read it back: counter, flash wait states, caches, ..."""
    link: Literal["emulator", "serial"]
    timing: Line
    """How cycles came about, as in ``emulated cortex-m4`` or ``estimated cortex-m7``."""
    toolchain: Line
    flags: Line
    flash_bytes: int
    ram_bytes: int
    """Arena + static + stack peak."""
    stack_bytes: int
    flash: FlashSplit
    ram: RamSplit
    fits: bool
    over_flash_bytes: int
    over_ram_bytes: int
    """By how much it misses the board's memory; its cycles are then those of the same core with more memory."""
    cycles: int
    """Per inference: the mean over the verified inputs, rounded."""
    cycles_low: int
    cycles_high: int
    energy_uj: float | None = Field(default=None, ge=0)
    """Per inference, of the whole board, by a meter (kilobench.api.PowerTrace); None where none was attached."""
    layers: tuple[Layer, ...]
    verified_inputs: int
    """Synthetic inputs (kilobench.evaluate.measured_inputs) on which the board's outputs equalled host C bit for bit."""
    versions: dict[str, str]
    git_commit: Line
    command: Command
    times: Times

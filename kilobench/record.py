# SPDX-License-Identifier: Apache-2.0
"""The record: everything measured on one cell and everything needed to repeat it."""

from __future__ import annotations

import base64
import math
import re
import shlex
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from kilobench.contracts import LINE

SCHEMA: Literal["kilobench/1"] = "kilobench/1"
Trust = Literal["claimed", "re-measured", "verified"]
"""What is known of a record, rising: what it says; that its model costs so much, measured here; and that it predicts so too."""
TRUST: tuple[Trust, ...] = get_args(Trust)
NORMAL = 1.959963984540054
"""The value that 97.5 % of a normal distribution are below: of 95 % intervals."""
NOT_RUN = "not run: too large"
"""What stands for the cycles of a program that no address of its core reaches."""


def milliseconds(cycles: tuple[int, int] | None, clock_hz: int) -> tuple[float, float] | None:
    """Both ends of an interval, where there is one."""
    return None if cycles is None else (1000 * cycles[0] / clock_hz, 1000 * cycles[1] / clock_hz)


def span(ends: tuple[float, float] | None) -> str:
    """`` (27-33)``, to go behind a latency; empty where there is no interval."""
    if ends is None:
        return ""
    digits = next((digits for digits, least in enumerate((20, 2)) if ends[0] >= least), 2)
    return f" ({ends[0]:.{digits}f}-{ends[1]:.{digits}f})"


def _quoted(command: str) -> str:
    """People copy it into a shell."""
    words = shlex.split(command)
    if words[:2] != ["kilobench", "run"] or shlex.join(words) != command:
        raise ValueError("is no quoted command of kilobench run")
    return command


def _unlinked(text: str) -> str:
    if "](" in text:
        raise ValueError("has a link")
    return text


# Records come from anybody: their texts go into file names and pages, their numbers into sums and logarithmic plots.
Line = Annotated[str, Field(max_length=1000, pattern=LINE), AfterValidator(_unlinked)]
Said = Annotated[Line, Field(pattern=r"\S")]
"""A line that is not empty."""
Name = Annotated[str, Field(max_length=300, pattern=r"^[A-Za-z0-9][^\x00-\x1f\x7f<>`|()/\\]*$")]
"""A name, harmless in a file name too."""
_NAMED = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_KEY, _VALUE = r"[A-Za-z0-9_]+=", r"[^\x00-\x1f\x7f<>`|()/\\,=\[\]]*"
_PARAMETER = rf"{_KEY}({_VALUE}|{_NAMED}\[{_KEY}{_VALUE}(,{_KEY}{_VALUE})*\])"
_SPEC = rf"{_NAMED}(\[{_PARAMETER}(,{_PARAMETER})*\])?"
Spec = Annotated[str, Field(max_length=150, pattern=rf"^{_SPEC}$")]
"""``name[key=value,...]``; two of them never have one file name."""
Recipe = Annotated[str, Field(max_length=200, pattern=rf"^{_SPEC}(\+{_SPEC})*$")]
Count = Annotated[int, Field(ge=0, lt=1 << 40)]
Positive = Annotated[int, Field(ge=1, lt=1 << 50)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, lt=1e9)]
_AMOUNT = r"(?!0+(\.0+)?[A-Za-z])\d{1,9}(\.\d{1,3})?"
_BUDGET = re.compile(
    rf"(flash={_AMOUNT}(B|KiB|MiB),)?(ram={_AMOUNT}(B|KiB|MiB),)?(latency={_AMOUNT}(us|ms|s),)?board=[A-Za-z0-9_.-]+"
)


def _budget(text: str) -> str:
    if text and _BUDGET.fullmatch(text) is None:
        raise ValueError("is no budget, as in flash=64KiB,board=nucleo_l476rg")
    return text


BudgetText = Annotated[str, Field(max_length=200), AfterValidator(_budget)]
"""As kilobench.plugins.budget writes it, or nothing."""
Command = Annotated[Line, AfterValidator(_quoted)]
"""A command of kilobench and nothing else."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class Accuracy(_Part):
    """Of the emitted C compiled for the host on the whole test set, with a 95 % Wilson interval; shares of 1."""

    mean: Share
    low: Share
    high: Share
    correct: Count
    total: int = Field(ge=1, le=10_000_000)
    bitmap: str
    """Base64 of the per-sample correctness, packed most significant bit first (numpy.packbits)."""

    @model_validator(mode="after")
    def _agrees(self) -> Accuracy:
        packed = base64.b64decode(self.bitmap, validate=True)
        if len(packed) != -(-self.total // 8):
            raise ValueError(f"the bitmap has {len(packed)} bytes, not those of {self.total} samples")
        if int.from_bytes(packed).bit_count() != self.correct or int.from_bytes(packed[-1:]) % (1 << -self.total % 8):
            raise ValueError(f"the bitmap has not {self.correct} correct samples of {self.total}")
        if abs(self.mean - self.correct / self.total) > 1e-6 or not self.low <= self.mean <= self.high:
            raise ValueError("mean is not correct / total, or not between low and high")
        return self


def wilson(correct: float, total: float, z: float = NORMAL) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson, JASA 22, 1927), 95 % unless another quantile ``z`` is given.

    ``correct`` may be a mean over seeds and ``total`` an effective number of samples.
    """
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy(correct: NDArray[np.bool_]) -> Accuracy:
    """The record's accuracy from the correctness of every test sample."""
    count, total = int(correct.sum()), len(correct)
    low, high = wilson(count, total)
    return Accuracy(
        mean=round(count / total, 6),
        low=round(low, 6),
        high=round(high, 6),
        correct=count,
        total=total,
        bitmap=base64.b64encode(np.packbits(correct).tobytes()).decode(),
    )


def correctness(accuracy: Accuracy) -> NDArray[np.bool_]:
    """The inverse of ``accuracy``: the correctness of every test sample."""
    packed = np.frombuffer(base64.b64decode(accuracy.bitmap), dtype=np.uint8)
    return np.unpackbits(packed)[: accuracy.total].astype(bool)


class Auc(_Part):
    """Area under the ROC curve: of how many pairs of a usual and an unusual recording the latter has the higher score, ties half.

    Of the emitted C compiled for the host on the whole test set, with a 95 % interval (``delong``); shares of 1.
    """

    mean: Share
    low: Share
    high: Share
    usual: int = Field(ge=1, le=1_000_000)
    unusual: int = Field(ge=1, le=1_000_000)
    """How many recordings were judged."""
    scores: str
    """Base64 of the scores of the usual ones, then of the unusual ones, as little-endian float32."""

    @property
    def total(self) -> int:
        """All recordings."""
        return self.usual + self.unusual

    def values(self) -> NDArray[np.float32]:
        """The scores, those of the usual ones first."""
        return np.frombuffer(base64.b64decode(self.scores, validate=True), dtype="<f4")

    def agrees(self, other: object) -> bool:
        """Whether another one has these scores, but for what machines differ in where they add up floats."""
        if not isinstance(other, Auc) or (other.usual, other.unusual) != (self.usual, self.unusual):
            return False
        return np.allclose(self.values(), other.values(), rtol=1e-5, atol=0)

    @model_validator(mode="after")
    def _fits(self) -> Auc:
        scores = self.values()
        if len(scores) != self.total or not np.isfinite(scores).all():
            raise ValueError(f"the scores are not {self.total} finite numbers")
        found = delong(scores[: self.usual], scores[self.usual :])
        if max(abs(a - b) for a, b in zip(found, (self.mean, self.low, self.high), strict=True)) > 1e-6:
            raise ValueError("mean, low and high are not those of the scores")
        return self


def auc(usual: NDArray[np.float32], unusual: NDArray[np.float32]) -> Auc:
    """The record's area under the ROC curve from the scores of all recordings."""
    mean, low, high = (round(share, 6) for share in delong(usual, unusual))
    scores = base64.b64encode(np.concatenate([usual, unusual]).astype("<f4").tobytes()).decode()
    return Auc(mean=mean, low=low, high=high, usual=len(usual), unusual=len(unusual), scores=scores)


def delong(usual: NDArray[np.floating], unusual: NDArray[np.floating]) -> tuple[float, float, float]:
    """The area under the ROC curve with its 95 % interval, of scores.

    By the variance of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), on the logit scale. Where none is to be seen, as
    all or no pairs are in order, or a group has one score, it is Wilson's of as many samples as the smaller group has.
    """
    groups = np.sort(usual), np.sort(unusual)

    def below(group: NDArray[np.floating], scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """The share of a sorted group that is below each score, ties half."""
        return (np.searchsorted(group, scores, "left") + np.searchsorted(group, scores, "right")) / (2 * len(group))

    places = 1 - below(groups[1], groups[0]), below(groups[0], groups[1])
    area = float(places[1].mean())
    size = min(map(len, groups))
    variance = sum(float(place.var(ddof=1)) / len(place) for place in places) if size > 1 else 0.0
    if not 0 < area < 1 or not variance:
        return area, *wilson(area * size, size)
    half = NORMAL * math.sqrt(variance) / (area * (1 - area))
    odds = area / (1 - area)
    low, high = (1 / (1 + math.exp(-side * half) / odds) for side in (-1, 1))
    return area, low, high


class FlashSplit(_Part):
    """Flash by use, in bytes."""

    weights: Count
    runtime: Count
    """Kernels, the model's code and tables, and the protocol."""
    board_support: Count


class RamSplit(_Part):
    """RAM by use, in bytes."""

    arena: Count
    arena_lower_bound: Count
    """The most that is live at once: what no placing of the arena can go below."""
    peak: Line
    """The operator during which it is."""
    static: Count
    stack: Count
    """Peak, by painting; as reserved where it was not run."""


class Layer(_Part):
    """One operator as measured on the board."""

    name: Line
    kind: Line
    output: Line
    """Type and shape of its output, as in ``int8 16x16x32`` (height x width x channels)."""
    cycles: Count
    cycles_flash: Count | None = None
    """Of the first input, as those of the record."""


class Times(_Part):
    """Seconds spent, and when: the only part that differs between two runs of one cell on one machine."""

    created: str = Field(max_length=40, pattern=r"^\d{4}-\d{2}-\d{2}T[0-9:.]+(Z|[+-]\d{2}:\d{2})$")
    """UTC, ISO 8601."""
    train_s: Seconds
    """Training and compression, all stages of the recipe (as first spent; cached stages keep their figure)."""
    build_s: Seconds
    evaluate_s: Seconds
    run_s: Seconds


class ModelFacts(_Part):
    """What is known of a trained and compressed model, whatever board it runs on."""

    task: Spec
    classes: Positive
    synthetic: bool
    network: Spec
    training: dict[str, bool | int | float | str] = {}
    """All settings of the full network's training (kilobench.api.Training)."""
    training_changes: Line = ""
    """Those that differ from the task's own, as in ``epochs=40``."""
    recipe: Recipe
    effort: float | None = Field(default=None, gt=0, lt=1e6)
    """All that the recipe was trained, in trainings of the task; None of records from before it was made equal."""
    steps: dict[Name, Count] = {}
    """Of the optimiser: those of the first training, ``train``, and of every method."""
    budget: BudgetText = ""
    """That it was made as large as allowed for, as in ``flash=64KiB,board=nucleo_l476rg``; empty where no budget was given."""
    size: Line = ""
    """What was found for the budget: the network's width, or the share of weights that pruning kept."""
    contributions: dict[Name, Annotated[int, Field(ge=1, lt=10_000)]] = {}
    """Versions of task, network, methods and kernels (kilobench.api.Task.changes)."""
    seed: Count
    fold: Count
    accuracy: Accuracy | None = None
    """Audio: of one window of every clip, as deployed; the figure that ranks."""
    auc: Auc | None = None
    """In place of the accuracy where the task is to reconstruct."""
    accuracy_10_crops: Accuracy | None = None
    """Audio whose clips are longer than the window: by the mean softmax over 10 windows, as the papers report."""
    macs: dict[Name, Count]
    """Counted, by type: fp32, int8, binary."""
    parameters: Count
    model_digest: str
    data_digest: str
    partial: Count = 0
    """Inputs that the published data set has and this run lacked."""
    transcoded: Count = 0
    """Inputs that were not as published but resampled, or coded anew, before this run; the notes say how."""
    notes: tuple[Line, ...] = ()

    @property
    def quality(self) -> Accuracy | Auc:
        """That of the two which it has."""
        found = self.accuracy or self.auc
        assert found is not None, "checked as it was read"
        return found

    @property
    def measure(self) -> str:
        """What people call it."""
        return "AUC" if self.accuracy is None else "accuracy"

    @model_validator(mode="after")
    def _has_one_quality(self) -> Self:
        if (self.accuracy is None) == (self.auc is None):
            raise ValueError("it has not one of accuracy and auc")
        return self

    @model_serializer(mode="wrap")
    def _without_the_other(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Files of tasks with classes say nothing of other qualities."""
        other = "auc" if self.auc is None else "accuracy"
        return {name: value for name, value in written(self).items() if name != other}


class Record(ModelFacts):
    """One cell as measured. Keys carry their units."""

    schema_version: Literal["kilobench/1"] = Field(alias="schema")
    cell: str
    """Content hash of everything that the result depends on."""
    board: Spec
    board_flash_bytes: Positive
    board_ram_bytes: Positive
    """What the board has; RAM in all its regions."""
    clock_hz: Positive
    """As the board read it back."""
    conditions: dict[Name, Line] = {}
    """What else cycles depend on, as the board read it back: counter, flash wait states, caches, ..."""
    link: Literal["emulator", "serial"]
    timing: Line
    """How cycles came about, as in ``emulated cortex-m4`` or ``estimated cortex-m7``."""
    toolchain: Said
    flags: Line
    flash_bytes: Positive
    ram_bytes: Positive
    """Arena + static + stack peak."""
    stack_bytes: Count
    flash: FlashSplit
    ram: RamSplit
    fits: bool
    over_flash_bytes: Count
    over_ram_bytes: Count
    """By how much it misses the board's memory; its cycles are then those of the same core with more memory."""
    cycles: Positive | None
    """Per inference: the mean over the verified inputs, rounded; None where the program is too large for the core to run."""
    cycles_low: Positive | None
    cycles_high: Positive | None
    cycles_flash: Positive | None = None
    """Cycles, and what the first input waits for the flash as it is on the board: *estimated*, by a model of it
    (docs/timing.md); None where there is none, or where a real board measured."""
    cycles_expected: tuple[Positive, Positive] | None = None
    """Between which a real board is expected to be; None where ``cycles_flash`` is, or of a core not held against silicon."""
    energy_uj: float | None = Field(default=None, ge=0, lt=1e12)
    """Per inference, of the whole board, by a meter (kilobench.api.PowerTrace); None where none was attached."""
    layers: tuple[Layer, ...]
    """Empty where it was not run."""
    verified_inputs: Count
    """Synthetic inputs (kilobench.measuring.evaluate) on which the board's outputs equalled those of host C bit for bit."""
    versions: dict[Name, Line]
    git_commit: Line
    command: Command
    trust: Trust = "claimed"
    """By kilobench run and measure as made; published, as who took it in found it, whatever it says (docs/trust.md)."""
    times: Times

    @property
    def latency_ms(self) -> float | None:
        """Of one inference at the board's clock: with the flash as on the board where there is a model of it."""
        return None if self.cycles is None else 1000 * (self.cycles_flash or self.cycles) / self.clock_hz

    @property
    def expected_ms(self) -> tuple[float, float] | None:
        """Between which the latency of a real board is expected to be."""
        return milliseconds(self.cycles_expected, self.clock_hz)

    @model_validator(mode="after")
    def _was_run_or_not(self) -> Record:
        figures = (self.cycles, self.cycles_low, self.cycles_high)
        if None not in figures:
            return self
        if (
            any(figures)
            or self.cycles_flash
            or self.cycles_expected
            or self.layers
            or self.verified_inputs
            or self.fits
        ):
            raise ValueError(
                "cycles, cycles_low and cycles_high are missing together, of a program that fits no such core"
            )
        return self


class TooLarge(_Part):
    """A recipe no size of which keeps a budget: nothing was trained."""

    schema_version: Literal["kilobench/1"] = Field(default=SCHEMA, alias="schema")
    task: Spec
    network: Spec
    """Without its width."""
    training_changes: Line = ""
    recipe: Recipe
    effort: float = Field(gt=0, lt=1e6)
    budget: BudgetText
    board: Spec
    link: Literal["emulator", "serial"]
    toolchain: Line
    flash_bytes: Positive
    ram_bytes: Positive
    """Of the smallest size."""
    latency_ms: float | None = Field(ge=0)
    """None where it is too large to run."""


class Unsuited(_Part):
    """A recipe one of whose methods does not suit the network, as it says itself: nothing was measured."""

    schema_version: Literal["kilobench/1"] = Field(default=SCHEMA, alias="schema")
    task: Spec
    network: Spec
    """Without its width where a budget chooses it."""
    recipe: Recipe
    reason: Said


class BoardCost(_Part):
    """What the program of a core takes on one of its boards."""

    board: Spec
    clock_hz: Positive
    board_flash_bytes: Positive
    board_ram_bytes: Positive
    over_flash_bytes: Count
    over_ram_bytes: Count
    cycles_flash: Positive | None
    """With the board's flash, *estimated*; None without a model of it, or where the program does not fit."""
    cycles_expected: tuple[Positive, Positive] | None
    """As those of a record."""


class CoreCost(_Part):
    """What a model takes on all emulated boards of one core, as one program says that was built for ``built_for``."""

    core: Name
    timing: Line
    key: str
    """Of all that the figures depend on."""
    built_for: Spec
    flash_bytes: Positive
    ram_bytes: Positive
    cycles: Positive | None
    """The mean over the measured inputs; None where no board holds the program."""
    boards: tuple[BoardCost, ...]


class Costs(_Part):
    """What a published model takes on boards that it has no record of: that of the first seed and fold of a recipe."""

    schema_version: Literal["kilobench/1"] = Field(default=SCHEMA, alias="schema")
    task: Spec
    network: Spec
    training_changes: Line
    recipe: Recipe
    effort: float = Field(gt=0, lt=1e6)
    budget: BudgetText
    model_digest: str
    toolchain: Said
    cores: tuple[CoreCost, ...]

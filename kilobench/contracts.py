# SPDX-License-Identifier: Apache-2.0
"""The contracts that contributions import: Task, Network, Method, and what passes between them.

This module imports nothing of kilobench and no torch, so that listing contributions stays fast.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Protocol, dataclass_transform

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Shape = tuple[int, int, int]
"""Channels, height, width of one input, as in PyTorch."""

Optimiser = Literal["adamw", "adam", "sgd"]
Schedule = Literal["cosine", "step"]
Precision = Literal["float32", "bfloat16"]
_DROPS = r"[1-9]\d?(-[1-9]\d?)*"

EFFORT = 2.6
"""Of a contest, in trainings of its task, unless another is asked for."""

LINE = r"^[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff<>`|]*$"
"""Text that is nothing but text in a table of a page, as all that records hold is, if it has no link: no control characters, nor
such as are not seen or turn the direction of what follows."""


class UserError(Exception):
    """A mistake in what the user gave: shown as one line, exit code 2, no traceback."""


class DataUnavailable(UserError):
    """A data set, or part of it, is neither on this machine nor to be downloaded."""


class PassingError(UserError):
    """The machine lacked something that may be there again (disk, memory, a process that was killed): worth another try."""


class Unsuited(UserError):
    """A method does not suit a network: a row that says why, no failure."""

    def __init__(self, reason: str, recipes: Mapping[str, str] | None = None) -> None:
        """``recipes``: why each does not, where several were tried; none where it is said by the one that is being done."""
        super().__init__(reason)
        self.recipes = dict(recipes or {})


def skip(reason: str) -> NoReturn:
    """Say that a method does not suit the network that it is given, and why: its recipe becomes a row with the reason."""
    raise Unsuited(reason)


class CellError(Exception):
    """One cell cannot be finished (a crash on the board, a mismatch, ...): shown as one line."""


def require_positive(contribution: Contribution, *names: str) -> None:
    """Raises UserError for the first of some parameters that is not above 0, or not finite."""
    for name in names:
        if not 0 < (value := getattr(contribution, name)) < math.inf:
            raise UserError(f"{contribution.name}: {name} must be positive, not {value:g}")


def is_line(text: object) -> bool:
    """Whether a record may hold it as a line."""
    return isinstance(text, str) and len(text) <= 1000 and re.fullmatch(LINE, text) is not None and "](" not in text


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Contribution:
    """Base of everything that can be plugged in.

    A subclass gives a ``name``, a docstring whose first line is its listing, a ``reference`` (where it was
    published) and typed parameters with defaults; it becomes a frozen keyword-only dataclass by itself.
    Parameters are of type bool, int, float, str or a Literal of strings.
    """

    name: ClassVar[str]
    reference: ClassVar[str] = ""
    changes: ClassVar[tuple[str, ...]] = ()
    """Its changelog: what results depend on and was changed, a line for every version but the first; results of different
    versions are never ranked together."""

    @classmethod
    def version(cls) -> int:
        """1, and one more for every change."""
        return 1 + len(cls.changes)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)


_ANY = 1e12
_TRAINING_RANGES = {
    "epochs": (1, _ANY),
    "steps": (0, _ANY),
    "lr": (1e-12, _ANY),
    "batch": (1, _ANY),
    "weight_decay": (0, _ANY),
    "label_smoothing": (0, 1),
    "mix": (0, 1),
    "stretch": (1, 100),
    "tilt": (0, 1),
    "beyond": (0, 1),
    "turn": (0, 180),
    "warm_up": (0, 1),
    "ema": (0, 0.99999),
}
"""What the settings of a training may be; the comparison is false for NaN."""


@dataclass(frozen=True)
class Training:
    """How a network is trained: what a task sets, and ``--training`` or a suite changes."""

    epochs: int = 12
    steps: int = 0
    """Its length in steps of the optimiser, in place of epochs; 0 where these say it."""
    lr: float = 4e-3
    """Peak learning rate."""
    batch: int = 50
    optimiser: Optimiser = "adamw"
    """AdamW (arXiv 1711.05101), Adam (arXiv 1412.6980), or SGD with Nesterov momentum 0.9."""
    schedule: Schedule = "cosine"
    """After a warm-up: a cosine to zero (arXiv 1608.03983), or a tenth each at ``drops``."""
    drops: str = "30-60-90"
    """Where the schedule ``step`` drops, in % of the steps."""
    warm_up: float = 0.05
    """Share of the steps, one at least; 0 for none."""
    warm_up_rate: Literal["rising", "tenth"] = "rising"
    """What the learning rate does there: it rises to its peak, or is a tenth of that."""
    weight_decay: float = 1e-2
    label_smoothing: float = 0.1
    mix: float = 0.0
    """Share of the training inputs that are mixtures of two classes (between-class learning, arXiv 1711.10282)."""
    stretch: float = 1.0
    """Sounds are stretched in time by up to this factor either way."""
    tilt: float = 0.0
    """Sounds are filtered by 1 - a/z with a random a of up to this magnitude: other microphones, other distances."""
    beyond: float = 0.1
    """How far windows of sounds may reach beyond their clip, as a share of a window."""
    polarity: bool = True
    """Whether the sign of sounds is changed at random."""
    flip: bool = False
    """Whether images are mirrored at random."""
    turn: float = 0.0
    """Images are turned by up to so many degrees either way."""
    edges: Literal["repeated", "black"] = "repeated"
    """What comes in where images are shifted or turned: the pixels at their edges, or black."""
    ema: float = 0.0
    """Decay per step of an exponential moving average of the weights, which then is the result; 0 for none."""
    precision: Precision = "float32"
    """Of convolutions and matrix products while training; with bfloat16 the weights, and what the optimiser keeps of them, stay
    float32 (arXiv 1905.12322)."""

    def __post_init__(self) -> None:
        """Raises UserError for a value that no training can have."""
        for name, (low, high) in _TRAINING_RANGES.items():
            if not low <= (value := getattr(self, name)) <= high:
                wanted = f"at least {low:g}" if high == _ANY and not value > high else f"from {low:g} to {high:g}"
                raise UserError(f"training: {name} must be {wanted}, not {value}")
        if not re.fullmatch(_DROPS, self.drops) or sorted({*(at := self.dropping)}) != list(at):
            raise UserError(f"training: drops must be rising numbers of % as in 30-60-90, not {self.drops!r}")

    @property
    def dropping(self) -> tuple[int, ...]:
        """``drops`` as numbers."""
        return tuple(map(int, self.drops.split("-")))

    def length(self, samples: int) -> int:
        """Steps of one training on so many samples."""
        return self.steps or self.epochs * -(-samples // self.batch)


FRONTEND_RANGES = {
    "rate": (8000, 192_000),
    "points": (16, 2048),
    "frame": (2, 2048),
    "hop": (1, 65_535),
    "bands": (2, 128),
    "coefficients": (0, 128),
}


@dataclass(frozen=True)
class Frontend:
    """What boards make of sound before a network: the logarithms of mel energies of frames, or their cepstra, in 8 bits.

    In integers, a part of every model of its task and of all that is measured (docs/arithmetic.md); training computes the same.
    """

    rate: int
    """Samples per second, as the task's."""
    frame: int
    """Samples of a frame, an even number; Hann's window is as long."""
    hop: int
    """Samples from one frame to the next."""
    bands: int
    """Equally wide on the mel scale, from hertz to hertz; each overlaps half of its neighbours."""
    points: int
    """Of the Fourier transform, a power of two; zeros fill up what the frame leaves."""
    hertz: tuple[int, int] = (20, 4000)
    """Where the lowest band begins and the highest ends."""
    decibels: tuple[int, int] = (-90, 0)
    """What the lowest and the highest code say, of a sine of full scale."""
    coefficients: int = 0
    """Of the cepstrum, a DCT of the bands, 0 for the bands themselves."""

    def __post_init__(self) -> None:
        """Raises UserError for what no front end can be."""
        for name, (low, high) in FRONTEND_RANGES.items():
            if type(value := getattr(self, name)) is not int or not low <= value <= high:
                raise UserError(f"frontend: {name} must be a whole number from {low} to {high}, not {value!r}")
        (low_hertz, high_hertz), (quiet, loud) = self.hertz, self.decibels
        wrong = {
            "points must be a power of two": self.points & (self.points - 1),
            "frame must be even, and at most points": self.frame % 2 or self.frame > self.points,
            "coefficients must be at most bands": self.coefficients > self.bands,
            "hertz must rise, from 0 to half the rate": not 0 <= low_hertz < high_hertz <= self.rate // 2,
            "decibels must be at least 40 apart, from -160 to 40": not -160 <= quiet <= loud - 40 <= 0,
        }
        if found := next((text for text, broken in wrong.items() if broken), ""):
            raise UserError(f"frontend: {found}")

    @property
    def values(self) -> int:
        """Of every frame."""
        return self.coefficients or self.bands

    def shape(self, samples: int) -> Shape:
        """Of what it makes of so many samples: frames lie within the sound as a whole. Raises UserError for less than a frame."""
        if samples < self.frame:
            raise UserError(f"frontend: a sound of {samples} samples is shorter than a frame of {self.frame}")
        return 1, (samples - self.frame) // self.hop + 1, self.values


@dataclass(frozen=True)
class Budget:
    """What a finished model may take on a board, whose own memory is a limit too; written as ``flash=64KiB,latency=100ms``."""

    board: str
    flash_bytes: float = math.inf
    ram_bytes: float = math.inf
    latency_ms: float = math.inf


@dataclass(frozen=True)
class Cost:
    """What a model takes on a board, measured on the program built for it."""

    flash_bytes: int
    ram_bytes: int
    cycles: int | None
    """None where it is too large to run, even on the same core with more memory."""
    latency_ms: float
    """The cycles, and what they wait for the board's flash where there is a model of it, at its clock; infinite without them."""
    over_flash_bytes: int
    """By how much it misses the board's flash; 0 if it fits."""
    over_ram_bytes: int

    def exceeds(self, budget: Budget) -> str:
        """What it exceeds of a budget, or of what the board has, and by how much; empty if it keeps it."""
        over = (
            ("flash", max(self.flash_bytes - budget.flash_bytes, self.over_flash_bytes) / 1024, "KiB"),
            ("RAM", max(self.ram_bytes - budget.ram_bytes, self.over_ram_bytes) / 1024, "KiB"),
            ("time", self.latency_ms - budget.latency_ms, "ms"),
        )
        return ", ".join(f"{what} by {by:.1f} {unit}" for what, by, unit in over if by > 0)


@dataclass(frozen=True)
class Split:
    """The data of one fold.

    ``train_x`` is float32 [n, channels, height, width] in [-1, 1]; its width may exceed the input shape's, then training crops
    windows from it. ``test_x`` has the input shape exactly: the window as deployed on the board. Images are pixels p of 8 bits,
    as (p - 128) / 128, and boards are sent them as uint8 [height, width, channels]; values in between are rounded as they arrive.
    ``train_y`` and ``test_y`` are int64 [n] class indices. ``classes`` names them. ``digest`` is a hex SHA-256 of all of it.
    ``test_clips`` are the whole test clips, float32 [n, channels, height, clip width], for the protocol of 10 crops (audio only).
    Where the task is to reconstruct, ``test_x`` holds whole recordings, as wide as those of ``train_x`` or other than the input;
    of these all are usual, class 0, and class 1 is unusual. ``partial`` counts the inputs that the published set has and this one
    lacks, ``transcoded`` those that are not as published but were resampled, or coded anew, before they came here.
    ``train_groups`` are int64 [n]: training inputs with the same number (a speaker, a recording) belong together, so that a
    validation part is cut between groups. Arrays may be memory-mapped and read-only.
    """

    train_x: NDArray[np.float32]
    train_y: NDArray[np.int64]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]
    classes: tuple[str, ...]
    digest: str
    notes: tuple[str, ...] = ()
    test_clips: NDArray[np.float32] | None = None
    partial: int = 0
    train_groups: NDArray[np.int64] | None = None
    transcoded: int = 0


@dataclass(frozen=True)
class Source:
    """A published data set: what its folder is called, where it comes from, and under which licence."""

    folder: str
    """Name of the unpacked folder; its inside is as the publisher lays it out."""
    marks: tuple[str, ...]
    """Paths inside by all of which an import recognises it under another name; empty if only the name tells."""
    licence: str
    bytes: int
    """Rough size, unpacked."""
    page: str
    """Where a person finds it."""
    url: str = ""
    """Of the archive; empty where there is no download."""
    checksum: str = ""
    """Of the archive, as ``sha256:`` or ``md5:`` and hex digits; empty where none is published (contents are checked)."""
    files: int = 10_000
    """Rough number of files; an archive of twice as many, and of twice as many bytes, is refused."""


class Task(Contribution):
    """A data set, its split into folds, a class subset and an input shape."""

    kind: ClassVar[Literal["audio", "image", "spectrogram"]]
    """What its inputs are: samples of sound, pixels, or values of frames in time; of these a task with classes has one channel,
    with a row for each frame."""
    network: ClassVar[str]
    """Specification of the default network."""
    objective: ClassVar[Literal["classes", "reconstruction"]] = "classes"
    """What networks learn: to tell the classes of inputs, or to give back what is usual as they got it. The latter are judged by
    how well their errors tell what is unusual, class 1, from what is usual, class 0: by the area under the ROC curve."""
    folds: ClassVar[int] = 1
    synthetic: ClassVar[bool] = False
    sample_rate: ClassVar[int] = 0
    """Samples per second of audio tasks, 0 for others."""
    frontend: ClassVar[Frontend | None] = None
    """What boards make of its sound, for networks that take that; None where they take samples."""
    source: ClassVar[Source | None] = None
    """The published data that it reads; None if it comes with a package or is made here."""
    further: ClassVar[tuple[Source, ...]] = ()
    """Published data that it reads besides ``source``."""
    from_code: ClassVar[bool] = False
    """Whether its data is made by code or comes with a package, so that code and versions tell what it is. What a task without
    ``source`` reads otherwise is loaded whenever kilobench has to know whether it has changed."""

    @classmethod
    def sources(cls) -> tuple[Source, ...]:
        """All published data that it reads."""
        return (cls.source, *cls.further) if cls.source else ()

    @property
    def training(self) -> Training:
        """How the network is trained first; its length is the unit of effort (docs/training.md)."""
        return Training()

    trainings: ClassVar[Mapping[str, Training]] = {}
    """Others, by names that ``--training`` may begin with, as that of a paper."""

    @property
    def class_count(self) -> int:
        """Number of classes, known without loading data."""
        raise NotImplementedError

    @property
    def input_shape(self) -> Shape:
        """Channels, height, width of one input, known without loading data; of sound in samples, with a front end too."""
        raise NotImplementedError

    @property
    def network_shape(self) -> Shape:
        """Of what its networks take: an input, or what the front end makes of it."""
        return self.input_shape if self.frontend is None else self.frontend.shape(self.input_shape[2])

    @property
    def outputs(self) -> int:
        """Of its networks: a logit for each class, or a value for each of the input, in the order that these have on boards: by
        height, width, channel.
        """
        return self.class_count if self.objective == "classes" else math.prod(self.input_shape)

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """Load (downloading, generating, decoding into ``cache`` where needed) one fold.

        Raises UserError when the data is not to be had, naming what to do.
        """
        raise NotImplementedError


class Network(Contribution):
    """An architecture builder. By its parameter ``width``, a positive float, it is made as large as a budget allows."""

    def build(self, input_shape: Shape, classes: int, sample_rate: int) -> torch.nn.Module:
        """An untrained float32 module: [n, *input_shape] -> logits [n, classes].

        Where the task is to reconstruct, ``classes`` is the number of values of an input (``Task.outputs``).
        """
        raise NotImplementedError


class Method(Contribution):
    """Turns one trained model into a smaller one."""

    order: ClassVar[int] = 25
    """Place in a recipe, which must rise from left to right: full 0, distill 10, prune 20, xnor 30, int8 40."""
    teaches: ClassVar[bool] = False
    """Whether the model that comes out of it teaches every training after it in the recipe (knowledge distillation)."""

    @property
    def effort(self) -> float:
        """Its weight: methods share the steps of a recipe after the first training in proportion to it; 0 trains nothing."""
        return 0.0

    @property
    def from_scratch(self) -> bool:
        """Whether it begins with an untrained network: the recipe's own, and so with all steps, if it is the first method of it;
        behind one that ``resizes``, that one's network with weights drawn anew.
        """
        return False

    @property
    def resizes(self) -> bool:
        """Whether its ``apply`` makes the model as large as a budget allows, by Job.fit and Job.cost; else the network's width is
        chosen."""
        return False

    @property
    def taught_by(self) -> str:
        """Specification of another network, where it ``teaches``: that is trained on the task and teaches in place of the model
        that comes out of the method. Its training is one training of the task, out of the recipe's effort.
        """
        return ""

    @property
    def boards(self) -> tuple[str, ...]:
        """Names of the boards that it measures candidates on."""
        return ()

    def apply(self, model: torch.nn.Module, job: Job) -> torch.nn.Module:
        """The compressed model. ``model`` is the job's own copy and may be changed in place."""
        raise NotImplementedError


class Progress(Protocol):
    """Where work that takes seconds reports how far it is: a text, and ``done`` of ``total``."""

    def __call__(self, text: str, done: float, total: float) -> None:
        """Say how far it is."""
        ...


def silent(text: str, done: float, total: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Step:
    """One step of a training, as a loss sees it: all that is needed to say how far the model is from what it is to learn."""

    inputs: torch.Tensor
    """[n, *input_shape]."""
    targets: torch.Tensor
    """Shares of the classes, [n, classes]; where the task is to reconstruct, what is to be made of the inputs, [n, outputs]."""
    outputs: torch.Tensor
    """Of the model, as ``targets``; logits where these are shares."""
    taught: torch.Tensor | None
    """Outputs of the teacher, without a gradient; None where none teaches."""
    usual: torch.Tensor
    """The loss of a training that is given none: the task's, and that of the teacher."""


class Job(Protocol):
    """What a method gets to work with: training data only, never the test fold."""

    seed: int
    train_x: NDArray[np.float32]
    """As the task loads it; ``batches`` are what networks take."""
    train_y: NDArray[np.int64]
    input_shape: Shape
    """Of what networks take."""
    steps: int
    """Of the optimiser, that the method's trainings have together; 0 if it states no effort."""
    budget: Budget | None
    """What the finished model may take, where its size is not given otherwise."""
    progress: Progress
    teacher: torch.nn.Module | None
    """The model of an earlier method of the recipe that teaches (``distill``); None where none does."""

    def cost(self, model: torch.nn.Module, board: str = "") -> Cost:
        """Flash, RAM, cycles and time of a model on a board, by building its firmware and running one input there.

        ``board`` must be one of the method's ``boards``: there the model is measured as it is. Without one it is the budget's,
        for a method that ``resizes``, and what is measured is the model's finished form, as for ``fit``. Raises UserError
        elsewhere.
        """
        ...

    def held_out(self, share: float) -> AbstractContextManager[list[tuple[torch.Tensor, torch.Tensor]]]:
        """Inside, ``train`` and ``batches`` know nothing of about that share of the training data, balanced over classes and with
        whole groups; up to 512 inputs of it are given as batches, to judge candidates by.

        What was trained before has seen them: a method that judges begins ``from_scratch``.
        """
        ...

    def fit(self, make: Callable[[float], torch.nn.Module], low: float, high: float) -> torch.nn.Module:
        """``make(size)`` of the largest size in [low, high] whose finished form keeps within ``budget``.

        ``make`` must return a new model, not smaller for a larger size; its finished form is what the recipe's further methods
        make of it without training, built for the budget's board and run there. Raises CellError where the smallest is too large.
        """
        ...

    def train(
        self,
        model: torch.nn.Module,
        *,
        lr: float,
        share: float = 1.0,
        optimiser: Optimiser | Callable[[list[dict[str, Any]]], torch.optim.Optimizer] | None = None,
        weight_decay: float | None = None,
        after_step: Callable[[torch.nn.Module], None] | None = None,
        loss: Callable[[Step], torch.Tensor] | None = None,
        parameters: Iterable[Mapping[str, Any]] = (),
        schedule: Schedule | Callable[[int, int], float] | None = None,
    ) -> torch.nn.Module:
        """Train in place with the engine's one loop; returns the model in eval mode.

        It takes a ``share`` of the method's ``steps``; those of all its trainings must add up to 1. ``lr`` is the peak learning
        rate; what else is not given is as the task's Training says. ``after_step`` is called after every optimiser step (to clamp
        or mask weights). If an earlier method of the recipe teaches, its model's outputs are part of the loss.

        - ``loss`` gives the loss of a Step, one number with a gradient; ``step.usual`` is that of a training without it.
        - ``parameters`` are groups with a learning rate or weight decay of their own, as ``{"params": [...], "lr": 1e-4}``; all
          parameters of the model that are in none keep those of the training. Some may be of no model, as those of a loss.
        - ``optimiser`` may make one of the groups, which have ``params``, ``lr`` and ``weight_decay``.
        - ``schedule`` may be a function of a step, from 0, and their number: a factor on every group's learning rate.

        A training that is cut goes on from model, parameters, optimiser and random numbers: functions keep nothing else between
        steps. One whose loss is not finite ends at that step, naming the layer where it began.
        """
        ...

    def features(
        self, model: torch.nn.Module, names: Iterable[str]
    ) -> AbstractContextManager[Mapping[str, torch.Tensor]]:
        """Inside, a mapping of the named layers (paths, as of ``named_modules``) to their outputs in the last forward pass.

        ``model`` may be the teacher: its outputs are those for the inputs of the same step. Raises UserError for a name that is
        no layer's.
        """
        ...

    def batches(self, count: int, size: int = 64) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """``count`` batches of unaugmented training data, the same for a seed.

        Each is inputs float32 [size, *input_shape] and classes int64 [size]; where the task is to reconstruct, what is to be made
        of the inputs, float32 [size, outputs], is in place of the classes.
        """
        ...

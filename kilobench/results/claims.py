# SPDX-License-Identifier: Apache-2.0
"""What arXiv 2108.06128 (*the study*) claims, in our words, with its figures and where they stand."""

from __future__ import annotations

from dataclasses import dataclass

ABSTRACT = "arXiv 2108.06128, abstract"
CALCULATOR = "its published code, `common/calculator.py`, run on its networks"
ACDNET = "arXiv 2103.03483, abstract: the networks that the study compresses"
STUDY_TRAINING = "study"
"""How a record's training begins that is the study's own."""
FEW = 10
"""Classes of the study's smallest data sets: ESC-10, CIFAR-10, UrbanSound8K, ten of AudioEvent."""


@dataclass(frozen=True)
class Claim:
    """One of the study's."""

    name: str
    title: str
    said: str
    figure: str
    """As the study gives it."""
    obtained: str
    """How the study came to it."""
    source: str


@dataclass(frozen=True)
class Ratio(Claim):
    """One that says how many times smaller or faster."""

    times: float
    counted: dict[str, float]
    """What the study's own calculator gives for its networks."""


@dataclass(frozen=True)
class Published:
    """An accuracy that a network in full precision is said to have."""

    task: str
    network: str
    title: str
    accuracy: float
    """Share of 1."""


MEMORY = Ratio(
    name="memory",
    title="Memory",
    said="The XNOR-Net of a network needs 32 times less memory than the network in full precision.",
    figure="32 times",
    obtained="counted: a weight has 1 bit instead of 32",
    source=ABSTRACT,
    times=32,
    counted={"ACDNet": 32.0, "Micro-ACDNet": 31.9, "ResNet-18": 31.8},
)
COMPUTATION = Ratio(
    name="computation",
    title="Computation",
    said="The XNOR-Net of a network needs 58 times less computation than the network in full precision.",
    figure="58 times",
    obtained="counted: 64 binary operations are one, and no other is counted beside them",
    source=ABSTRACT,
    times=58,
    counted={"ACDNet": 61.3, "Micro-ACDNet": 47.9, "ResNet-18": 46.2},
)
EIGHT = Ratio(
    name="eight",
    title="Eight times the computation",
    said="In the same space, a network that is pruned and quantised needs about eight times the computation of an XNOR-Net.",
    figure="about 8 times",
    obtained="counted, as above",
    source=ABSTRACT,
    times=8,
    counted={},
)
FEW_CLASSES = Claim(
    name="few",
    title="Few classes",
    said="With few classes an XNOR-Net is about as accurate as the network in full precision.",
    figure=f"comparable, at {FEW} classes",
    obtained="accuracies of PyTorch on a GPU, each of the epoch that was best on the test fold",
    source=ABSTRACT,
)
MANY_CLASSES = Claim(
    name="many",
    title="Many classes",
    said="As classes grow the XNOR-Net falls behind, and pruning with quantisation is to be preferred.",
    figure="from 10 to 50 (sound) and to 100 classes (images)",
    obtained="accuracies of PyTorch on a GPU, each of the epoch that was best on the test fold",
    source=ABSTRACT,
)
SPACE = Claim(
    name="space",
    title="Pruning against XNOR in the same space",
    said="A network that is pruned and quantised fits where an XNOR-Net does, and is then the more accurate.",
    figure="the same space",
    obtained="sizes counted in bits; accuracies of PyTorch on a GPU, of the best test epoch",
    source=ABSTRACT,
)
KINDS = Claim(
    name="kinds",
    title="Images and sound",
    said="What holds for sound holds for images.",
    figure="consistent",
    obtained="by the same experiments with ResNet-18 on CIFAR",
    source=ABSTRACT,
)
ACCURACIES = Claim(
    name="accuracies",
    title="Accuracies of the full-size networks",
    said="ACDNet, and Micro-ACDNet, which is 97 % smaller, are this accurate on four data sets of sound.",
    figure="78.3 to 96.7 %",
    obtained="of PyTorch on a GPU, ten windows a clip, the epoch that was best on the test fold",
    source=ACDNET,
)
CLAIMS = (MEMORY, COMPUTATION, EIGHT, FEW_CLASSES, MANY_CLASSES, SPACE, KINDS, ACCURACIES)

PUBLISHED = tuple(
    Published(task, f"acdnet[channels={channels}]", title, accuracy)
    for channels, title, accuracies in (
        ("paper", "ACDNet", (0.9665, 0.8710, 0.8445, 0.9257)),
        ("micro", "Micro-ACDNet", (0.9625, 0.8365, 0.7827, 0.8969)),
    )
    for task, accuracy in zip(("esc10", "esc50", "urbansound8k", "audioevent"), accuracies, strict=True)
)

BEST_EPOCH = {"cifar100[classes=10]": 0.73, "esc10": 4.58}
"""By task, by how many points the best of 60 epochs on the test fold is above the last, in the mean of three trainings
(docs/study.md, ``benchmarks/best_epoch.py``): no records, as no run looks at the test fold twice."""

SOUND = ("audioevent", "esc10", "esc10-logmel", "esc50", "fsdd", "kws", "speech-commands", "spoken-words",
         "spoken-words-logmel", "urbansound8k")  # fmt: skip
IMAGES = ("cifar10", "cifar100", "digits", "vww")
"""Tasks by what their inputs are."""

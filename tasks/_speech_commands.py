# SPDX-License-Identifier: Apache-2.0
"""Speech Commands version 0.02 as published: its words, its lists, and what is wrong with a copy of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from kilobench.api import Source, data

RATE = 16_000
TEN = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
"""The words to be told apart when there are 10 or 12 classes."""
COUNTS = {
    **{"yes": 4044, "no": 3941, "up": 3723, "down": 3917, "left": 3801, "right": 3778, "on": 3845, "off": 3745},
    **{"stop": 3872, "go": 3880, "zero": 4052, "one": 3890, "two": 3880, "three": 3727, "four": 3728, "five": 4052},
    **{"six": 3860, "seven": 3998, "eight": 3787, "nine": 3934, "backward": 1664, "bed": 2014, "bird": 2064},
    **{"cat": 2031, "dog": 2128, "follow": 1579, "forward": 1557, "happy": 2054, "house": 2113, "learn": 1575},
    **{"marvin": 2100, "sheila": 2022, "tree": 1759, "visual": 1592, "wow": 2123},
}
"""Utterances of every word in version 0.02 (arXiv 1804.03209, figure 1)."""
NOISES = 6
SOURCE = Source(
    "speech_commands_v0.02",
    ("validation_list.txt", "testing_list.txt", "yes"),
    "CC BY 4.0",
    3_800_000_000,
    "https://www.tensorflow.org/datasets/catalog/speech_commands",
    "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    files=105_900,
)
Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Utterance:
    """A word, said once."""

    name: str
    path: Path
    label: str
    speaker: str
    part: Part


def utterances(folder: Path, damage: data.Damage) -> dict[Part, list[Utterance]]:
    """All utterances by official part, sorted by word and name; reports all that is wrong with lists and files."""
    listed: dict[str, Part] = {}
    for name, part in (("validation_list.txt", "validation"), ("testing_list.txt", "test")):
        lines = data.text(folder / name).split()
        damage.add("in the wrong fold", [f"{line} is in both lists" for line in lines if line in listed])
        listed |= dict.fromkeys(lines, cast(Part, part))
    result: dict[Part, list[Utterance]] = {"train": [], "validation": [], "test": []}
    places: dict[str, set[Part]] = {}
    for word, expected in COUNTS.items():
        names = [f"{word}/{path.name}" for path in data.sound_files(folder / word)]
        odd = [name for name in names if "_nohash_" not in name]
        gone = sorted(name for name in listed.keys() - set(names) if name.startswith(f"{word}/"))
        rest = expected - len(names) - len(gone)
        damage.add("unexpected", odd + ([f"{word}: {len(names)} of {expected}"] if rest < 0 and not gone else []))
        damage.add("missing", gone)
        damage.add("missing", [f"{word}: {len(names)} of {expected}"] if rest > 0 else [], rest)
        for name in sorted(set(names) - set(odd)):
            speaker, part = Path(name).name.split("_nohash_")[0], listed.get(name, "train")
            places.setdefault(speaker, set()).add(part)
            result[part].append(Utterance(name, folder / name, word, speaker, part))
    strangers = {name.split("/")[0] for name in listed} - COUNTS.keys()
    strangers |= (
        {path.parent.name for path in data.sound_files(folder, "*/*.wav")} - COUNTS.keys() - {"_background_noise_"}
    )
    damage.add("unexpected", [f"{word}/" for word in sorted(strangers)])
    damage.add(
        "in the wrong fold",
        [f"speaker {who} is in {' and '.join(sorted(ps))}" for who, ps in places.items() if len(ps) > 1],
    )
    return result


def noise_files(folder: Path, damage: data.Damage) -> list[Path]:
    """The recordings of noise; reports how many are missing."""
    noises = data.sound_files(folder / "_background_noise_")
    damage.add("missing", [f"_background_noise_: {len(noises)} of {NOISES}"] if len(noises) < NOISES else [])
    return noises

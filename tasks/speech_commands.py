# SPDX-License-Identifier: Apache-2.0
"""Speech Commands: one-second utterances of single words by thousands of speakers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from kilobench.api import Progress, Shape, Source, Split, Task, Training, UserError, data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
_NOISES = 6
_SOURCE = Source(
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


class SpeechCommands(Task):
    """Real speech: single words of Speech Commands v0.02, 1 s at 16 kHz, one loudness, the official split by speaker.

    ``classes``: 35, all words; 10, the words yes, no, up, down, left, right, on, off, stop, go; 12, these, "unknown" (as
    many utterances of the other 25 words as a word has on average, chosen by a hash of their names) and "silence" (as many
    excerpts of the background noises, 0 to 40 dB below the words' loudness; those for testing from the last fifth of each
    noise), as in section 7 of the paper. The validation list is left out of training, and not used.
    """

    name = "speech-commands"
    reference = "Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition, arXiv 1804.03209"
    kind = "audio"
    network = "acdnet"
    sample_rate = RATE
    training = Training(epochs=12, batch=100, stretch=1.25, tilt=0.9)
    source = _SOURCE
    classes: int = 12

    @property
    def class_count(self) -> int:
        """As asked for, 10, 12 or 35."""
        if self.classes not in (10, 12, len(COUNTS)):
            raise UserError(f"speech-commands: classes must be 10, 12 or {len(COUNTS)}, not {self.classes}")
        return self.classes

    @property
    def input_shape(self) -> Shape:
        """1 s of raw audio."""
        return 1, 1, RATE

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """From ``speech_commands_v0.02/{word}/{speaker}_nohash_{n}.wav`` and its two lists.

        Training utterances whose file also is a test utterance are left out, and noted.
        """
        import numpy as np

        folder = data.fetched(_SOURCE, cache, progress)
        words = TEN if self.class_count == 10 else tuple(COUNTS)
        damage = data.Damage(folder.name, sum(COUNTS.values()), "utterances")
        utterances = _utterances(folder, damage)
        found = [clip for part in utterances.values() for clip in part if clip.label in words]
        classes: tuple[str, ...] = words
        if self.class_count == 12:
            classes = (*TEN, "unknown", "silence")
            noises = data.sound_files(folder / "_background_noise_")
            damage.add("missing", [f"_background_noise_: {len(noises)} of {_NOISES}"] if len(noises) < _NOISES else [])
            utterances = {part: _twelve(part, clips, noises) for part, clips in utterances.items()}
        train, test = ([clip for clip in utterances[part] if clip.label in classes] for part in ("train", "test"))
        items = {clip.name: clip for clip in (*train, *test)}
        digests = _digests(list(items.values()), cache, progress)
        name = f"speech-commands-{self.classes}"
        clips, problems = data.decoded(name, items, digests, _prepare, RATE, cache, progress)
        damage.add("corrupt", filter(None, problems))
        damage.check()
        is_test = np.arange(len(items)) >= len(train)
        copied, notes = data.copied_from_test(digests, is_test.tolist(), list(items))
        good = np.array([not problem for problem in problems], dtype=np.bool_)
        labels = np.array([classes.index(clip.label) for clip in items.values()], dtype=np.int64)
        _, speakers = np.unique([clip.speaker for clip in items.values()], return_inverse=True)
        chosen, tested = (
            np.flatnonzero(good & ~is_test & ~np.array(copied, dtype=np.bool_)),
            np.flatnonzero(good & is_test),
        )
        data.require_classes(classes, labels[chosen], labels[tested])
        train_x, test_x = (data.rows(clips, part)[:, None, None, :] for part in (chosen, tested))
        identity = data.digest([train_x, labels[chosen], test_x, labels[tested]])
        expected = sum(COUNTS[word] for word in words)
        partial, partial_notes = data.lacking({"utterances": (len(found) - int((~good).sum()), expected)})
        return Split(
            train_x,
            labels[chosen],
            test_x,
            labels[tested],
            classes,
            identity,
            (*partial_notes, *notes),
            partial=partial,
            train_groups=speakers[chosen],
        )


@dataclass(frozen=True)
class _Clip:
    """One input: an utterance, or an excerpt of a noise."""

    name: str
    path: Path
    label: str
    speaker: str
    part: Part
    place: float = 0.0
    """Of an excerpt: where in its part of the noise, 0 to 1."""
    below: float = 0.0
    """Of an excerpt: by how many dB it is less loud than a word."""


def _utterances(folder: Path, damage: data.Damage) -> dict[Part, list[_Clip]]:
    """All utterances by official part, sorted by word and name; reports all that is wrong with lists and files."""
    listed: dict[str, Part] = {}
    for name, part in (("validation_list.txt", "validation"), ("testing_list.txt", "test")):
        lines = data.text(folder / name).split()
        damage.add("in the wrong fold", [f"{line} is in both lists" for line in lines if line in listed])
        listed |= dict.fromkeys(lines, cast(Part, part))
    result: dict[Part, list[_Clip]] = {"train": [], "validation": [], "test": []}
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
            result[part].append(_Clip(name, folder / name, word, speaker, part))
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


def _twelve(part: Part, clips: list[_Clip], noises: list[Path]) -> list[_Clip]:
    """The ten words, then as many of the others and of noise as a word has on average."""
    words = [clip for clip in clips if clip.label in TEN]
    count = round(len(words) / len(TEN))
    others = [clip for clip in clips if clip.label not in TEN]
    others.sort(key=lambda clip: hashlib.sha256(clip.name.encode()).hexdigest())
    unknown = [replace(clip, label="unknown") for clip in others[:count]]
    silence = []
    for index in range(count if noises else 0):
        path = noises[index % len(noises)]
        place, below = (index // len(noises) + 0.5) / -(-count // len(noises)), 40 * (index * 0.6180339887 % 1)
        name = f"{path.parent.name}/{path.name}: {part} excerpt {index}"
        silence.append(_Clip(name, path, "silence", f"noise {path.name}", part, place, below))
    return words + unknown + silence


def _digests(clips: list[_Clip], cache: Path, progress: Progress) -> list[str]:
    """Of the contents that each clip is made of."""
    digests = data.file_digests([clip.path for clip in clips], cache, progress)
    return [
        f"{digest} {clip.part} {clip.place} {clip.below}" if clip.label == "silence" else digest
        for clip, digest in zip(clips, digests, strict=True)
    ]


def _prepare(clip: _Clip) -> NDArray[np.float32]:
    """1 s at one loudness, padded at the end; excerpts of noise come from the first four fifths for training."""
    sound = data.decode(clip.path, RATE)
    if clip.label != "silence":
        return data.normalise(data.window(sound, RATE))
    border = len(sound) * 4 // 5
    begin, end = (border, len(sound)) if clip.part == "test" else (0, border)
    if end - begin < RATE:
        raise UserError(f"{clip.path.name} is shorter than 5 s")
    start = begin + int(clip.place * (end - begin - RATE))
    return data.normalise(sound[start : start + RATE], 0.1 * 10 ** (-clip.below / 20))

# SPDX-License-Identifier: Apache-2.0
"""Speech Commands: one-second utterances of single words by thousands of speakers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kilobench.contrib.tasks._speech_commands import (
    COUNTS,
    RATE,
    SOURCE,
    TEN,
    Part,
    Utterance,
    noise_files,
    utterances,
)

from kilobench.api import Progress, Shape, Split, Task, Training, UserError, data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    source = SOURCE
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

        folder = data.fetched(SOURCE, cache, progress)
        words = TEN if self.class_count == 10 else tuple(COUNTS)
        damage = data.Damage(folder.name, sum(COUNTS.values()), "utterances")
        parts: dict[Part, list[Utterance]] = utterances(folder, damage)
        found = [clip for part in parts.values() for clip in part if clip.label in words]
        classes: tuple[str, ...] = words
        if self.class_count == 12:
            classes = (*TEN, "unknown", "silence")
            noises = noise_files(folder, damage)
            parts = {part: _twelve(part, clips, noises) for part, clips in parts.items()}
        train, test = ([clip for clip in parts[part] if clip.label in classes] for part in ("train", "test"))
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
class _Excerpt(Utterance):  # type: ignore[misc]
    """Silence: an excerpt of a noise."""

    place: float
    """Where in its part of the noise, 0 to 1."""
    below: float
    """By how many dB it is less loud than a word."""


def _twelve(part: Part, clips: list[Utterance], noises: list[Path]) -> list[Utterance]:
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
        silence.append(_Excerpt(name, path, "silence", f"noise {path.name}", part, place, below))
    return words + unknown + silence


def _digests(clips: Sequence[Utterance], cache: Path, progress: Progress) -> list[str]:
    """Of the contents that each clip is made of."""
    digests = data.file_digests([clip.path for clip in clips], cache, progress)
    return [
        f"{digest} {clip.part} {clip.place} {clip.below}" if isinstance(clip, _Excerpt) else digest
        for clip, digest in zip(clips, digests, strict=True)
    ]


def _prepare(clip: Utterance) -> NDArray[np.float32]:
    """1 s at one loudness, padded at the end; excerpts of noise come from the first four fifths for training."""
    sound = data.decode(clip.path, RATE)
    if not isinstance(clip, _Excerpt):
        return data.normalise(data.window(sound, RATE))
    border = len(sound) * 4 // 5
    begin, end = (border, len(sound)) if clip.part == "test" else (0, border)
    if end - begin < RATE:
        raise UserError(f"{clip.path.name} is shorter than 5 s")
    start = begin + int(clip.place * (end - begin - RATE))
    return data.normalise(sound[start : start + RATE], 0.1 * 10 ** (-clip.below / 20))

"""Free Spoken Digit Dataset."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from kilobench.api import Progress, Shape, Split, Task, UserError, data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPEAKERS = ("jackson", "george", "lucas", "nicolas", "theo", "yweweler")
"""The test speaker of each fold."""
RATE = 8000
LENGTH = 6400
_TAKES = 50
_URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz"
_CONTENT = "45a9b976ba3397a2fd5c70a9f2e43c34f442a3a6be47392ecfc41174b678f37e"
"""SHA-256 over the names and bytes of all 3 000 recordings in the order of their names."""


class Fsdd(Task):
    """Real speech: single digits of the Free Spoken Digit Dataset; every fold tests on a speaker not heard in training.

    0.8 s at 8 kHz, one loudness; 250 training and 50 test clips per class and fold. ``classes``: the digits 0 to N - 1.
    """

    name = "fsdd"
    reference = "Jackson et al., Free Spoken Digit Dataset v1.0.10, doi:10.5281/zenodo.1342401, CC BY-SA 4.0"
    kind = "audio"
    network = "acdnet"
    folds = len(SPEAKERS)
    sample_rate = RATE
    classes: int = 10

    @property
    def class_count(self) -> int:
        """As asked for, 2 to 10."""
        if not 2 <= self.classes <= 10:
            raise UserError(f"fsdd: classes must be from 2 to 10, not {self.classes}")
        return self.classes

    @property
    def input_shape(self) -> Shape:
        """0.8 s of raw audio."""
        return 1, 1, LENGTH

    def load(self, fold: int, cache: Path, progress: Progress) -> Split:
        """From ``$KILOBENCH_DATA/free-spoken-digit-dataset`` or the publisher; verified against the pinned contents."""
        import numpy as np

        arrays = data.cached_arrays(cache, f"fsdd-{_CONTENT[:12]}", lambda: _decode(cache, progress))
        parts = []
        for test in (False, True):
            chosen = [
                (clip, digit)
                for speaker, digit, clip in zip(arrays["speaker"], arrays["digit"], arrays["clips"], strict=True)
                if digit < self.class_count and (speaker == fold) == test
            ]
            parts.append(np.stack([clip for clip, _ in chosen])[:, None, None, :])
            parts.append(np.array([digit for _, digit in chosen], dtype=np.int64))
        train_x, train_y, test_x, test_y = parts
        names = tuple(str(digit) for digit in range(self.class_count))
        return Split(train_x, train_y, test_x, test_y, names, data.digest(parts))


def _decode(cache: Path, progress: Progress) -> dict[str, NDArray[np.generic]]:
    import numpy as np

    folder = data.fetched("free-spoken-digit-dataset", _URL, cache, progress) / "recordings"
    expected = {f"{d}_{s}_{i}.wav" for d in range(10) for s in SPEAKERS for i in range(_TAKES)}
    data.check_files(folder, expected, {path.name for path in folder.glob("*.wav")})
    hasher = hashlib.sha256()
    clips, digits, speakers = [], [], []
    for done, name in enumerate(sorted(expected)):
        contents = (folder / name).read_bytes()
        hasher.update(name.encode() + contents)
        digit, speaker, _ = name.split("_")
        clips.append(data.normalise(data.window(data.decode(folder / name, RATE), LENGTH)))
        digits.append(int(digit))
        speakers.append(SPEAKERS.index(speaker))
        progress("decoding", done + 1, len(expected))
    if hasher.hexdigest() != _CONTENT:
        raise UserError(f"{folder} differs from release v1.0.10 (SHA-256 {hasher.hexdigest()}, not {_CONTENT})")
    return {"clips": np.stack(clips), "digit": np.array(digits), "speaker": np.array(speakers)}

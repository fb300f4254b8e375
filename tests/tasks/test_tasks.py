# SPDX-License-Identifier: Apache-2.0
"""Class counts, and the synthetic words in fresh processes."""

import os
import subprocess
import sys
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest

from kilobench.contracts import UserError
from tests.tasks.loading import task


@pytest.mark.parametrize("spec", ["fsdd[classes=11]", "fsdd[classes=1]", "spoken-words[classes=101]"])
def test_impossible_class_counts_are_refused(spec: str) -> None:
    with pytest.raises(UserError, match="classes must be from 2 to"):
        task(spec).class_count  # noqa: B018


def test_words_are_the_same_in_every_process_and_for_any_number_of_classes(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom kilobench.plugins.registry import load_registry\n"
        "if __name__ == '__main__':\n"
        "    split = load_registry().get('tasks', f'spoken-words[classes={sys.argv[2]}]')"
        ".load(0, Path(sys.argv[1]), lambda *a: None)\n"
        "    print(split.digest, hash(split.train_x[split.train_y < 2].tobytes()))\n"
    )
    script = tmp_path / "digest.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(Path(__file__).parents[2])}

    def digests(cache: str, classes: int) -> list[str]:
        command = [sys.executable, str(script), str(tmp_path / cache), str(classes)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return done.stdout.split()

    first, second, more = digests("a", 2), digests("b", 2), digests("b", 3)
    assert first == second
    assert first[0] != more[0]
    assert first[1] == more[1]


def test_more_voices_to_train_with_leave_the_test_clips_as_they_are(tmp_path: Path) -> None:
    few, many = (task(f"spoken-words[classes=2,voices={n}]").load(0, tmp_path, lambda *_: None) for n in (9, 94))
    assert np.array_equal(few.test_x, many.test_x) and np.array_equal(few.test_y, many.test_y)
    assert np.array_equal(few.train_x, many.train_x[: len(few.train_x)])
    assert few.train_groups is not None and many.train_groups is not None
    assert np.bincount(few.train_groups).tolist() == [2 * 7 * 3] * 9
    assert np.bincount(many.train_groups).tolist() == [2 * 7 * 3] * 9 + [2 * 7] * 85
    assert np.bincount(many.train_y).tolist() == [9 * 7 * 3 + 85 * 7] * 2
    with pytest.raises(UserError, match="voices must be 9 or 94, not 10"):
        task("spoken-words[voices=10]")


def test_no_training_voice_is_nearly_a_test_voice() -> None:
    from tasks.spoken_words import _SPEAKERS

    variants = Path(str(espeakng_loader.get_data_path())) / "voices" / "!v"

    def settings(voice: str) -> set[str]:
        lines = [" ".join(line.split()) for line in (variants / voice).read_text().splitlines()]
        return {line for line in lines if line and not line.startswith(("//", "language", "name", "gender"))}

    for heard in map(settings, _SPEAKERS["test"]):
        for voice in map(settings, _SPEAKERS["train"] + _SPEAKERS["more"]):
            assert 2 * len(heard & voice) < len(heard | voice)

"""Class counts, and the synthetic words in fresh processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kilobench.api import UserError
from tests.unit.loading import task


@pytest.mark.parametrize("spec", ["fsdd[classes=11]", "fsdd[classes=1]", "spoken-words[classes=101]"])
def test_impossible_class_counts_are_refused(spec: str) -> None:
    with pytest.raises(UserError, match="classes must be from 2 to"):
        task(spec).class_count  # noqa: B018


def test_words_are_the_same_in_every_process_and_for_any_number_of_classes(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom kilobench.registry import load_registry\n"
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

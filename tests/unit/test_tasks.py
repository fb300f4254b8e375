"""The tasks on the publishers' layouts, and the synthetic one in fresh processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kilobench.api import Task, UserError
from kilobench.registry import load_registry

CATEGORIES = ("dog", "rooster", "rain", "waves", "fire", "baby", "sneeze", "clock", "helicopter", "saw")


def task(spec: str) -> Task:
    built: Task = load_registry().get("tasks", spec)
    return built


def silent(text: str, done: float, total: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def esc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ESC-10 in the publisher's layout: short tones at mixed rates and formats, one tone per class."""
    folder = tmp_path / "data" / "ESC-50-master"
    (folder / "meta").mkdir(parents=True)
    (folder / "audio").mkdir()
    rows = ["filename,fold,target,category,esc10,src_file,take", "1-1-A-9.wav,1,9,crow,False,1,A"]
    for target, category in enumerate(CATEGORIES):
        for fold in range(1, 6):
            for take in range(8):
                stem, rate = f"{fold}-{take}-A-{target * 3}", (8000, 44_100)[take % 2]
                tone = np.sin(np.arange(rate // 20) * (0.1 + target / 10 + take / 1000 + fold / 10_000)) / 2
                soundfile.write(folder / "audio" / f"{stem}.{('wav', 'flac')[take % 2]}", tone, rate)
                rows.append(f"{stem}.wav,{fold},{target * 3},{category},True,{take},A")
    (folder / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path / "data"))
    return folder


def test_esc10_reads_the_publishers_layout(esc: Path, tmp_path: Path) -> None:
    esc10 = task("esc10")
    split = esc10.load(1, tmp_path / "cache", silent)
    assert split.train_x.shape == (320, 1, 1, 100_000)
    assert split.test_x.shape == (80, *esc10.input_shape)
    assert split.classes == CATEGORIES
    assert np.bincount(split.test_y).tolist() == [8] * 10
    others = {esc10.load(fold, tmp_path / "cache", silent).digest for fold in range(5)}
    assert len(others) == 5


def test_esc10_names_what_is_missing(esc: Path, tmp_path: Path) -> None:
    for name in ("1-0-A-0.wav", "2-1-A-3.flac"):
        (esc / "audio" / name).unlink()
    with pytest.raises(UserError, match=r"audio has 2 missing \(1-0-A-0, 2-1-A-3\) of 400 files"):
        task("esc10").load(0, tmp_path / "cache", silent)


def test_esc10_refuses_folds_that_are_not_the_official_ones(esc: Path, tmp_path: Path) -> None:
    table = esc / "meta" / "esc50.csv"
    table.write_text(table.read_text().replace("1-0-A-0.wav,1,", "1-0-A-0.wav,2,"))
    with pytest.raises(UserError, match="dog fold 1 has 7"):
        task("esc10").load(0, tmp_path / "cache", silent)


def test_esc10_refuses_a_silent_clip(esc: Path, tmp_path: Path) -> None:
    soundfile.write(esc / "audio" / "1-0-A-0.wav", np.zeros(400), 8000)
    with pytest.raises(UserError, match=r"1-0-A-0\.wav is silent throughout"):
        task("esc10").load(0, tmp_path / "cache", silent)


def test_esc10_names_a_file_that_is_no_sound(esc: Path, tmp_path: Path) -> None:
    (esc / "audio" / "1-0-A-0.wav").write_text("not a sound")
    with pytest.raises(UserError, match=r"1-0-A-0\.wav cannot be decoded"):
        task("esc10").load(0, tmp_path / "cache", silent)


def test_fsdd_refuses_another_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    recordings = tmp_path / "free-spoken-digit-dataset" / "recordings"
    recordings.mkdir(parents=True)
    soundfile.write(recordings / "extra.wav", np.zeros(80), 8000)
    with pytest.raises(UserError, match=r"3000 missing .* and 1 unexpected \(extra.wav\) of 3000 files"):
        task("fsdd").load(0, tmp_path / "cache", silent)
    (recordings / "extra.wav").unlink()
    for digit in range(10):
        for speaker in ("jackson", "george", "lucas", "nicolas", "theo", "yweweler"):
            for take in range(50):
                soundfile.write(recordings / f"{digit}_{speaker}_{take}.wav", np.full(80, 0.1), 8000)
    with pytest.raises(UserError, match=r"differs from release v1\.0\.10"):
        task("fsdd").load(0, tmp_path / "cache", silent)


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

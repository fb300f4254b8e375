# SPDX-License-Identifier: Apache-2.0
"""ESC-10 and ESC-50 on the publisher's layout, whole and damaged."""

import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kilobench import data
from kilobench.contracts import Split, UserError
from tests.tasks.loading import load, needs_real, scratch, task, tone

ESC10 = (0, 1, 10, 11, 12, 20, 21, 38, 40, 41)
STUDY = (
    "0 10 11 20 38 21 40 41 1 12 5 31 18 27 48 8 15 45 25 34 3 14 23 36 43 7 22 28 30 49 6 9 16 17 24 29 32 35 37 44"
)


def stem(target: int, fold: int, take: int) -> str:
    return f"{fold}-{1000 * target + 10 * fold + take // 2}-{'AB'[take % 2]}-{target}"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The table of ESC-50 and the sounds of ESC-10 in the publisher's layout: short tones at mixed rates and formats."""
    with scratch(tmp_path_factory) as folder:
        rows = ["filename,fold,target,category,esc10,src_file,take"]
        for fold, target, take in product(range(1, 6), range(50), range(8)):
            name = stem(target, fold, take)
            source = name.split("-")[1]
            rows.append(f"{name}.wav,{fold},{target},class{target},{target in ESC10},{source},{'AB'[take % 2]}")
            if target in ESC10:
                pitch = 0.1 + target / 50 + take / 1000 + fold / 10_000
                tone(folder / "audio" / f"{name}.{('wav', 'flac')[take % 2]}", pitch, (8000, 44_100)[take % 2])
        (folder / "meta").mkdir()
        (folder / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
        yield folder


@pytest.fixture
def esc(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage."""
    monkeypatch.delenv("KILOBENCH_ALLOW_PARTIAL", raising=False)
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path))
    return Path(shutil.copytree(pristine, tmp_path / "ESC-50-master"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Shared, as it is keyed by content: whatever a test damages gets a place of its own."""
    with scratch(tmp_path_factory) as folder:
        yield folder


def edit(esc: Path, old: str, new: str) -> None:
    table = esc / "meta" / "esc50.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))


def test_the_publishers_layout_is_read(esc: Path, cache: Path) -> None:
    split = load("esc10", cache, 1)
    assert split.train_x.shape == (320, 1, 1, 100_000)
    assert split.test_x.shape == (80, *task("esc10").input_shape)
    assert split.test_clips is not None and split.test_clips.shape == (80, 1, 1, 100_000)
    assert split.classes == tuple(f"class{target}" for target in ESC10)
    assert np.bincount(split.test_y).tolist() == [8] * 10
    assert split.partial == 0
    assert len({load("esc10", cache, fold).digest for fold in range(5)}) == 5


def test_clips_that_are_not_as_published_are_counted_and_said(esc: Path, cache: Path) -> None:
    split = load("esc10", cache)
    forms = "200 WAV PCM_16 8000 Hz, 200 FLAC PCM_16 44100 Hz"
    assert split.transcoded == 400
    assert split.notes == (f"transcoded: of 400 clips {forms}; as published they are WAV PCM_16 44100 Hz",)
    for index, path in enumerate(sorted((esc / "audio").iterdir())):
        path.unlink()
        tone(path.with_suffix(".wav" if index else ".ogg"), 0.1 + index / 500, 44_100)
    split = load("esc10", cache)
    assert split.transcoded == 1
    assert split.notes == ("transcoded: of 400 clips 1 OGG VORBIS 44100 Hz; as published they are WAV PCM_16 44100 Hz",)


def test_no_source_recording_is_in_training_and_test(esc: Path, cache: Path) -> None:
    folds = [{group // 10 % 10 for group in groups(load("esc10", cache, fold))} for fold in range(5)]
    assert folds == [{1, 2, 3, 4, 5} - {fold + 1} for fold in range(5)]


def test_the_test_window_is_the_loudest_of_its_clip(esc: Path, cache: Path) -> None:
    samples = np.sin(np.arange(100_000) * 0.3) * 0.01
    samples[60_000:95_000] *= 30
    soundfile.write(esc / "audio" / f"{stem(0, 1, 0)}.wav", samples, 20_000)
    split = load("esc10", cache, 0)
    assert split.test_clips is not None
    assert np.abs(split.test_x[0]).max() == np.abs(split.test_clips[0]).max()
    assert np.mean(split.test_x[0] ** 2) > 2 * np.mean(split.test_clips[0] ** 2)


def test_the_ten_classes_of_the_study_are_those_of_esc10(esc: Path, cache: Path) -> None:
    ten, small = load("esc10", cache), load("esc50[classes=10]", cache)
    assert small.classes == tuple(f"class{target}" for target in STUDY.split()[:10])
    assert np.array_equal(np.array(small.classes)[small.train_y], np.array(ten.classes)[ten.train_y])
    assert np.array_equal(small.train_x, ten.train_x)


@pytest.mark.parametrize("count", [20, 30, 40])
def test_subsets_are_the_studys(count: int) -> None:
    assert " ".join(map(str, task(f"esc50[classes={count}]").targets)) == " ".join(STUDY.split()[:count])


def test_all_fifty_classes_begin_with_the_subsets() -> None:
    targets = task("esc50").targets
    assert sorted(targets) == list(range(50)) and " ".join(map(str, targets[:40])) == STUDY


@pytest.mark.parametrize("count", [0, 15, 60])
def test_other_counts_are_refused(count: int) -> None:
    with pytest.raises(UserError, match=f"classes must be 10, 20, 30, 40 or 50, not {count}"):
        task(f"esc50[classes={count}]").class_count  # noqa: B018


def test_missing_and_cut_files_are_named_and_counted(esc: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, cut, text = (esc / "audio" / f"{stem(0, 1, take)}.{('wav', 'flac')[take % 2]}" for take in (0, 1, 2))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-400])
    text.write_text("not a sound")
    with pytest.raises(data.Damaged) as caught:
        load("esc10", cache)
    message = str(caught.value)
    assert f"should have 400 clips: 1 missing ({gone.stem}), 2 corrupt ({cut.name}: " in message
    assert message.endswith("--allow-partial uses the rest and marks the record") and "\n" not in message
    assert len(caught.value.lines) == 3
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    split = load("esc10", cache)
    assert split.partial == 3
    assert split.notes[0] == "partial: 397 of 400 clips"
    assert np.bincount(split.test_y).tolist() == [5] + [8] * 9


def test_a_wav_that_ends_early_is_cut_short(esc: Path, cache: Path) -> None:
    path = esc / "audio" / f"{stem(0, 1, 0)}.wav"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=rf"1 corrupt \({path.name}: is cut short\)"):
        load("esc10", cache)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_samples_that_are_no_numbers_are_corrupt(value: float, esc: Path, cache: Path) -> None:
    path = esc / "audio" / f"{stem(0, 1, 0)}.wav"
    soundfile.write(path, np.full(400, value), 8000, subtype="FLOAT")
    with pytest.raises(UserError, match=rf"1 corrupt \({path.name}: holds samples that are NaN or infinite\)"):
        load("esc10", cache)


def test_a_silent_clip_is_corrupt(esc: Path, cache: Path) -> None:
    path = esc / "audio" / f"{stem(0, 1, 0)}.wav"
    soundfile.write(path, np.zeros(400), 8000)
    with pytest.raises(UserError, match=rf"1 corrupt \({path.name}: is silent throughout\)"):
        load("esc10", cache)


def damaged_table(esc: Path) -> None:
    edit(esc, f"{stem(0, 1, 0)}.wav,1,0,", f"{stem(0, 1, 0)}.wav,2,0,")


def damaged_label(esc: Path) -> None:
    edit(esc, f"{stem(0, 1, 0)}.wav,1,0,", f"{stem(0, 1, 0)}.wav,1,1,")


def extra_file(esc: Path) -> None:
    tone(esc / "audio" / "1-99-A-0.wav", 1.0)


def second_file(esc: Path) -> None:
    tone(esc / "audio" / f"{stem(0, 1, 0)}.flac", 1.0)


def second_row(esc: Path) -> None:
    row = next(line for line in (esc / "meta" / "esc50.csv").read_text().splitlines() if stem(0, 1, 0) in line)
    edit(esc, row, f"{row}\n{row}")


def copied_file(esc: Path) -> None:
    (esc / "audio" / f"{stem(1, 2, 0)}.wav").write_bytes((esc / "audio" / f"{stem(0, 1, 0)}.wav").read_bytes())


def sixth_fold(esc: Path) -> None:
    edit(esc, f"{stem(0, 1, 0)}.wav,1,0,", f"{stem(0, 1, 0)}.wav,6,0,")


def second_name(esc: Path) -> None:
    edit(esc, f"{stem(0, 1, 0)}.wav,1,0,class0", f"{stem(0, 1, 0)}.wav,1,0,other")


def open_quote(esc: Path) -> None:
    edit(esc, f"{stem(0, 1, 0)}.wav,1,0,", f'"{stem(0, 1, 0)}.wav,1,0,')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (sixth_fold, rf"esc50\.csv: '{stem(0, 1, 0)}\.wav' is not a row of ESC-50's table"),
        (second_name, r"1 mislabelled \(table: 2 names of class 0\)"),
        (open_quote, r"esc50\.csv: line 2 has a (quote that is not closed|field of more than 1000 characters)"),
        (damaged_table, rf"1 in the wrong fold \({stem(0, 1, 0)}\)"),
        (damaged_label, rf"1 mislabelled \({stem(0, 1, 0)}\)"),
        (extra_file, r"1 unexpected \(1-99-A-0\.wav\)"),
        (second_file, r"1 unexpected \(1-10-A-0\.wav\)"),
        (second_row, r"1 unexpected \(table: 9 of 8 of class 0 in fold 1\)"),
        (copied_file, rf"1 in training and test \({stem(0, 1, 0)}.wav = {stem(1, 2, 0)}.wav\)"),
    ],
)
def test_what_would_make_results_wrong_is_refused_even_if_partial_data_is_allowed(
    damage: Callable[[Path], None], message: str, esc: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    damage(esc)
    with pytest.raises(UserError, match=message):
        load("esc10", cache)


def test_without_any_clip_of_a_class_there_is_nothing_to_learn(
    esc: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILOBENCH_ALLOW_PARTIAL", "1")
    for path in (esc / "audio").glob("*-0.*"):
        path.unlink()
    with pytest.raises(UserError, match=r"^no training inputs are left of class 0$"):
        load("esc10", cache)
    shutil.rmtree(esc / "audio")
    with pytest.raises(UserError, match=r"^no training inputs are left of class 0, class 1, class 10, \.\.\.$"):
        load("esc10", cache)


def test_a_table_of_another_kind_is_refused(esc: Path, cache: Path) -> None:
    (esc / "meta" / "esc50.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"esc50\.csv has no column 'filename'; its first line is 'a, b'$"):
        load("esc10", cache)


def test_fifty_classes_need_the_other_files(esc: Path, cache: Path) -> None:
    with pytest.raises(UserError, match=r"should have 2000 clips: 1600 missing"):
        load("esc50", cache)


def test_decoding_happens_once_and_again_when_a_file_changes(esc: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def progress(text: str, done: float, total: float) -> None:
        seen.append(text)

    task("esc10").load(0, tmp_path / "cache", progress)
    assert seen.count("decoding esc50-0") == 40
    before = len(seen)
    task("esc10").load(1, tmp_path / "cache", progress)
    assert len(seen) == before
    tone(esc / "audio" / f"{stem(0, 1, 0)}.wav", 2.0, 16_000)
    task("esc10").load(0, tmp_path / "cache", progress)
    assert seen[before:] == ["checking files"] + ["decoding esc50-0"] * 40


@needs_real("ESC-50-master")
def test_the_real_esc10_is_complete_and_its_folds_share_no_recording(cache: Path) -> None:
    splits = [load("esc10", cache, fold) for fold in range(5)]
    assert {(len(split.train_x), len(split.test_x), split.partial) for split in splits} == {(320, 80, 0)}
    assert splits[0].classes[:3] == ("dog", "rooster", "rain")
    everything = set().union(*(groups(split) for split in splits))
    tested = [everything - groups(split) for split in splits]
    assert sum(map(len, tested)) == len(everything)


def groups(split: Split) -> set[int]:
    assert split.train_groups is not None
    return set(split.train_groups.tolist())

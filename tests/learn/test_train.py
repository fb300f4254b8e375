# SPDX-License-Identifier: Apache-2.0
"""The training loop: determinism, going on after a kill, averages, mixtures, teachers, and that no test data gets in."""

import copy
import dataclasses
import math
import multiprocessing
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kilobench.contracts import CellError, Job, Method, Network, Shape, Split, Task, Training
from kilobench.learn import train
from kilobench.learn.augment import AudioAugmenter, ImageAugmenter, SpectrogramAugmenter, loudness
from kilobench.learn.effort import spans
from kilobench.learn.optimisers import schedule
from kilobench.learn.stage import Settings, drawn_anew, make_stage
from kilobench.learn.train import Teacher, TrainingJob, seed_everything
from kilobench.plugins.registry import load_registry


class Tones(Task):
    """Two tones in noise; clips are longer than the window."""

    name = "tones"
    kind = "audio"
    network = "acdnet"
    sample_rate = 8000
    training = Training(epochs=4, batch=10, lr=1e-2, mix=0.5, stretch=1.25, ema=0.9)

    @property
    def class_count(self) -> int:
        return 2

    @property
    def input_shape(self) -> Shape:
        return 1, 1, 256

    def load(self, fold: int, cache: Path, progress: object) -> Split:
        y = np.arange(60) % 2
        generator = np.random.default_rng(0)
        tones = np.sin(np.arange(400) * np.where(y == 0, 0.3, 0.9)[:, None])
        x = (0.3 * tones + generator.normal(0, 0.3, tones.shape)).clip(-1, 1).astype(np.float32)[:, None, None]
        return Split(x[:40], y[:40], x[40:, ..., :256], y[40:], ("low", "high"), "tones")


def silent(text: str, done: float, total: float) -> None:
    """Progress that nobody watches."""


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, (1, 9), (1, 4)), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1), nn.AvgPool2d((1, 62))]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 2))


def job(checkpoints: Path | None = None, steps: int = 32, **changes: object) -> TrainingJob:
    task = Tones()
    seed_everything(0)
    training = dataclasses.replace(task.training, **changes)  # type: ignore[arg-type]
    split = task.load(0, Path(), silent)
    return TrainingJob(split, task, seed=0, progress=silent, training=training, checkpoints=checkpoints, steps=steps)


def weights(model: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in model.state_dict().values()]


def accuracy(model: nn.Module) -> float:
    split = Tones().load(0, Path(), silent)
    with torch.no_grad():
        return float((model(torch.from_numpy(split.test_x)).argmax(1).numpy() == split.test_y).mean())


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimiser": "sgd", "schedule": "step", "mix": 0.0, "ema": 0.0}, {"precision": "bfloat16"}],
)
def test_training_learns_and_is_the_same_twice(changes: dict[str, object]) -> None:
    first, second = (job(**changes).train(network(), lr=2e-2) for _ in range(2))
    assert weights(first) == weights(second)
    assert accuracy(first) >= 0.9


def interrupted(folder: Path, steps: int) -> None:
    """Train two models in turn, with a checkpoint at every step, and kill this process without warning."""
    train.CHECKPOINT_SECONDS = -1.0
    count = 0

    def die(model: nn.Module) -> None:
        nonlocal count
        count += 1
        if count == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    both(folder, die)


def both(folder: Path, after_step: object = None) -> list[nn.Module]:
    """Two trainings of one job, as a method makes that prunes and fine-tunes."""
    here = job(folder, 28)
    first = here.train(network(), lr=1e-2, share=16 / 28, after_step=after_step)  # type: ignore[arg-type]
    return [first, here.train(network(), lr=5e-3, share=12 / 28, after_step=after_step)]  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [7, 16, 23])
def test_a_killed_training_goes_on_to_the_same_bits(steps: int, tmp_path: Path) -> None:
    """Killed in the first training, at its end, and in the second."""
    process = multiprocessing.get_context("spawn").Process(target=interrupted, args=(tmp_path, steps))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert list(tmp_path.glob("*.pt"))
    done: list[int] = []
    resumed = both(tmp_path, lambda model: done.append(1))
    assert len(done) <= 28 - steps + 1
    assert [weights(model) for model in resumed] == [weights(model) for model in both(tmp_path / "other")]


@pytest.mark.parametrize("damage", ["cut", "zeros", "one bit", "empty"])
def test_a_damaged_checkpoint_is_as_good_as_none(damage: str, tmp_path: Path) -> None:
    """What a loss of power leaves: the training starts anew and comes to the same weights."""
    expected = [weights(model) for model in both(tmp_path)]
    path = tmp_path / "1.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    harm = {"cut": content[:-100], "zeros": bytes(len(content)), "one bit": content, "empty": b""}
    path.write_bytes(harm[damage])
    done: list[int] = []
    assert [weights(model) for model in both(tmp_path, lambda model: done.append(1))] == expected
    assert len(done) == 12


def test_a_checkpoint_is_written_every_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    monkeypatch.setattr(train._Run, "save", lambda run, path: saved.append(run.step))
    clock = iter(range(0, 100_000, 13))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    job(tmp_path, 16).train(network(), lr=1e-2)
    assert saved == [5, 10, 15, 16]


def test_the_average_follows_the_weights() -> None:
    plain, averaged = (job(ema=decay).train(network(), lr=2e-2) for decay in (0.0, 0.8))
    assert weights(plain) != weights(averaged)
    assert accuracy(averaged) >= 0.8


def test_a_teacher_moves_a_student_towards_it() -> None:
    teacher = job().train(network(), lr=2e-2)
    split = Tones().load(0, Path(), silent)
    shuffled = dataclasses.replace(split, train_y=np.random.default_rng(0).permutation(split.train_y))
    accuracies = []
    for weight in (0.0, 1.0):
        seed_everything(0)
        taught = TrainingJob(
            shuffled, Tones(), seed=0, progress=silent, teacher=Teacher(teacher, weight, 2.0), steps=32
        )
        accuracies.append(accuracy(taught.train(network(), lr=2e-2)))
    assert accuracies[1] >= 0.8 and accuracies[0] < accuracies[1] - 0.2


def test_test_data_does_not_reach_training() -> None:
    """A job that is given other test data makes the same model and the same batches."""
    task = Tones()
    split = task.load(0, Path(), silent)
    poisoned = dataclasses.replace(split, test_x=np.full_like(split.test_x, np.nan), test_y=1 - split.test_y)
    made = []
    for data in (split, poisoned):
        seed_everything(0)
        here = TrainingJob(data, task, seed=0, progress=silent, steps=4)
        made.append((weights(here.train(network(), lr=1e-2)), [x.numpy().tobytes() for x, _ in here.batches(2, 8)]))
    assert made[0] == made[1]


def test_mixtures_have_shares_of_two_classes() -> None:
    split = Tones().load(0, Path(), silent)
    training = dataclasses.replace(Tones.training, mix=1.0)
    x, y = torch.from_numpy(split.train_x), torch.from_numpy(split.train_y)
    augmenter = AudioAugmenter(x, y, 2, (1, 1, 256), 8000, training)
    sounds, shares = augmenter.batch(np.arange(40), np.random.default_rng(0))
    assert sounds.shape == (40, 1, 1, 256) and float(sounds.abs().max()) <= 1
    assert torch.allclose(shares.sum(1), torch.ones(40))
    assert ((shares > 0).sum(1) == 2).all()
    again, _ = augmenter.batch(np.arange(40), np.random.default_rng(0))
    assert torch.equal(sounds, again)


def test_loudness_is_a_weighted() -> None:
    """A tone of 100 Hz is heard 19.1 dB below one of 1 kHz (IEC 61672-1, table 3)."""
    time_ = np.arange(20_480) / 20_000
    tones = np.stack([np.sin(2 * np.pi * frequency * time_) for frequency in (97.65625, 1000.9765625)])
    levels = loudness(torch.from_numpy(tones.astype(np.float32))[:, None, None], 20_000)
    assert levels.shape == (2, 20)
    assert float(levels[1].mean() - levels[0].mean()) == pytest.approx(19.1, abs=0.6)


def test_weights_are_drawn_anew_by_the_seed_alone() -> None:
    """Layers keep their shapes; what has no way to draw its weights is named."""
    settings = Settings(Tones(), Network(), Tones().training, seed=3, threads=1, device="cpu")
    trained = job().train(network(), lr=1e-2)
    again = [weights(drawn_anew(model, settings)) for model in (copy.deepcopy(trained), network())]
    assert again[0] == again[1] != weights(trained)
    layer = nn.Module()
    layer.scale = nn.Parameter(torch.ones(1))
    with pytest.raises(CellError, match=r"1 \(Module\) has no reset_parameters to draw its weights anew"):
        drawn_anew(nn.Sequential(nn.Linear(2, 2), layer), settings)


def test_images_are_mirrored_only_where_asked_for() -> None:
    x = torch.zeros(64, 1, 8, 8)
    x[..., :4] = 1
    y = torch.zeros(64, dtype=torch.int64)
    for flip in (False, True):
        images, _ = ImageAugmenter(x, y, 2, Training(flip=flip)).batch(np.arange(64), np.random.default_rng(0))
        right_is_lighter = images[..., 7].sum((1, 2)) > images[..., 0].sum((1, 2))
        assert bool(right_is_lighter.any()) == flip


def test_images_are_turned_and_what_comes_in_is_black_or_their_edge() -> None:
    """A bright image with a line from its centre to the right, which shows by how much it is turned."""
    x = torch.zeros(200, 1, 65, 65)
    x[:, :, 32, 33:] = 0.5
    y = torch.zeros(200, dtype=torch.int64)
    angles = []
    for edges in ("black", "repeated"):
        augmenter = ImageAugmenter(x, y, 2, Training(turn=15, edges=edges))
        augmenter.reach = 0
        images, _ = augmenter.batch(np.arange(200), np.random.default_rng(0))
        assert set(images.unique().tolist()) == ({-1.0, 0.0, 0.5} if edges == "black" else {0.0, 0.5})
        rows = [int(image[0, :, 60].argmax()) for image in images]
        angles = [math.degrees(math.atan2(row - 32, 28)) for row in rows]
        assert 13 < max(angles) < 16 and -16 < min(angles) < -13 and abs(np.mean(angles)) < 2
    augmenter = ImageAugmenter(x, y, 2, Training(edges="black"))
    assert -1.0 in augmenter.batch(np.arange(200), np.random.default_rng(0))[0]


@pytest.mark.parametrize("polarity", [False, True])
def test_sounds_keep_their_sign_where_polarity_is_not_varied(polarity: bool) -> None:
    augmenter = AudioAugmenter(
        torch.full((50, 1, 1, 400), 0.1),
        torch.zeros(50, dtype=torch.int64),
        2,
        (1, 1, 256),
        8000,
        Training(polarity=polarity),
    )
    batch, _ = augmenter.batch(np.arange(50), np.random.default_rng(0))
    assert bool((batch < 0).any()) == polarity


@pytest.mark.parametrize("beyond", [0.0, 0.1, 0.5])
def test_windows_reach_beyond_clips_as_far_as_they_may(beyond: float) -> None:
    clips, y = torch.full((2, 1, 1, 400), 0.1), torch.zeros(2, dtype=torch.int64)
    augmenter = AudioAugmenter(clips, y, 2, (1, 1, 200), 8000, Training(beyond=beyond))
    batch, _ = augmenter.batch(np.zeros(300, dtype=np.int64), np.random.default_rng(0))
    silent_samples = (batch == 0).sum(dim=3)
    assert 0.9 * 200 * beyond <= silent_samples.max() <= 200 * beyond


def test_spectrograms_are_shifted_in_time_alone() -> None:
    x = torch.arange(49.0)[None, None, :, None].expand(2, 1, 49, 10) + torch.arange(10) / 100
    augmenter = SpectrogramAugmenter(x, torch.tensor([1, 0]), 3)
    shifted, y = augmenter.batch(np.tile([0, 1], 100), np.random.default_rng(0))
    assert shifted.shape == (200, 1, 49, 10) and y[:2].tolist() == [[0, 1, 0], [1, 0, 0]]
    assert torch.allclose(shifted[..., 1:] - shifted[..., :-1], torch.tensor(0.01), atol=1e-5)
    frames = shifted[:, 0, :, 0]
    moves = frames[:, 24] - 24
    assert sorted(set(moves.tolist())) == list(range(-4, 5))
    wanted = (torch.arange(49) + moves[:, None]).clamp(0, 48)
    assert torch.equal(frames, wanted)


def test_schedules() -> None:
    assert schedule(Training(), 0, 1000) == pytest.approx(1 / 50)
    assert schedule(Training(), 50, 1000) == 1
    assert schedule(Training(), 999, 1000) < 1e-4
    step = Training(schedule="step")
    assert [schedule(step, at, 1000) for at in (100, 300, 600, 900)] == pytest.approx([1, 0.1, 0.01, 0.001])


@pytest.mark.parametrize(("task", "drops"), [("esc50", (30, 60, 90)), ("cifar100", (12, 30, 75))])
def test_the_studys_schedule_begins_and_goes_on_in_steps(task: str, drops: tuple[int, ...]) -> None:
    """10 epochs at a tenth of the rate, which is 0.1 then and drops tenfold at these shares of the epochs."""
    training = load_registry().get("tasks", task).trainings["study"]
    rates = [training.lr * schedule(training, epoch, training.epochs) for epoch in range(training.epochs)]
    assert [epoch for epoch, (a, b) in enumerate(pairwise(rates), 1) if a != b] == [
        10,
        *(training.epochs * drop // 100 for drop in drops),
    ]
    assert sorted({*rates}) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1]) and rates[0] == pytest.approx(1e-2)


def test_a_warm_up_may_be_left_out() -> None:
    assert schedule(Training(warm_up=0), 0, 1000) == 1


def steps_of(steps: int, *shares: float) -> list[int]:
    """Of trainings that take shares of a job, one after the other."""
    here, counts = job(steps=steps), []
    for share in shares:
        taken: list[int] = []
        here.train(network(), lr=1e-2, share=share, after_step=lambda model, taken=taken: taken.append(1))
        counts.append(len(taken))
    assert here.done == sum(counts)
    return counts


@pytest.mark.parametrize(
    ("steps", "shares", "expected"),
    [
        (10, (0.5, 0.5), [5, 5]),
        (11, (0.25, 0.75), [3, 8]),
        (10, (1 / 3, 1 / 3, 1 / 3), [3, 4, 3]),
        (8, (0.1,) * 10, [1, 1, 0, 1, 1, 1, 1, 0, 1, 1]),
        (3, (1.0,), [3]),
        (3, (0.0, 1.0, 0.0), [0, 3, 0]),
        (0, (0.4, 0.6), [0, 0]),
    ],
)
def test_shares_that_add_up_to_1_are_all_steps(steps: int, shares: tuple[float, ...], expected: list[int]) -> None:
    assert steps_of(steps, *shares) == expected


@pytest.mark.parametrize("steps", [0, 1, 7, 100, 3511])
@pytest.mark.parametrize("parts", [1, 2, 3, 7, 13, 101])
def test_no_step_is_lost_to_rounding(steps: int, parts: int) -> None:
    here = job(steps=steps)
    taken = [here._take(1 / parts) for _ in range(parts)]
    assert sum(taken) == here.done == steps and max(taken) - min(taken) <= 1


@pytest.mark.parametrize(
    ("shares", "sum_"), [((0.5, 0.6), "1.1"), ((1.0, 1.0), "2"), ((1.01,), "1.01"), ((-0.5,), "-0.5")]
)
def test_more_than_all_steps_cannot_be_taken(shares: tuple[float, ...], sum_: str) -> None:
    with pytest.raises(CellError, match=f"trainings take {sum_} of the method's steps; shares must add up to 1"):
        steps_of(4, *shares)


def test_a_share_that_is_no_number_is_refused() -> None:
    with pytest.raises(CellError, match="shares must add up to 1"):
        steps_of(4, float("nan"))


class Sharing(Method):
    """Trains for a share of its steps."""

    name, reference = "sharing", "none"
    share: float = 1.0
    effort: float = 1.0

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        return job.train(model, lr=1e-2, share=self.share)


class Own(Network):
    """The network of these tests."""

    name, reference = "own", "none"

    def build(self, input_shape: Shape, classes: int, sample_rate: int) -> nn.Module:
        return network()


def stage(method: Method | None, steps: int, tmp_path: Path) -> nn.Module:
    task = Tones()
    settings = Settings(task, Own(), task.training, 0, 2, "cpu")
    before = None if method is None else network()
    split = task.load(0, Path(), silent)
    return make_stage(settings, split, method, steps, before, None, tmp_path, None, None, None, silent)  # type: ignore[arg-type]


def test_a_method_that_trains_less_than_its_steps_is_refused(tmp_path: Path) -> None:
    stage(None, 4, tmp_path / "first")
    stage(Sharing(), 4, tmp_path / "all")
    with pytest.raises(CellError, match="sharing trained for 2 steps, not for the 4 that it has"):
        stage(Sharing(share=0.5), 4, tmp_path / "half")
    with pytest.raises(CellError, match=r"trainings take 1.5 of the method's steps"):
        stage(Sharing(share=1.5), 4, tmp_path / "more")


def test_a_method_without_effort_that_trains_gets_no_step(tmp_path: Path) -> None:
    """It is no way round the effort: the model comes out as it went in."""
    method = Sharing(effort=0.0)
    _, span = spans([method], 2.6)
    assert span.steps(100) == 0
    made = stage(method, span.steps(100), tmp_path)
    assert weights(made) == weights(network())


def test_a_training_may_have_another_optimiser_than_the_tasks() -> None:
    changes: list[dict[str, object]] = [{}, {"weight_decay": 0.0}, {"optimiser": "sgd"}]
    made = [tuple(weights(job(steps=3).train(network(), lr=1e-2, **each))) for each in changes]  # type: ignore[arg-type]
    same = job(steps=3).train(network(), lr=1e-2, optimiser="adamw", weight_decay=Training.weight_decay)
    assert len(set(made)) == 3 and tuple(weights(same)) == made[0]

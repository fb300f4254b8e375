# SPDX-License-Identifier: Apache-2.0
"""What a method may change in the training loop: loss, groups of parameters, optimiser, schedule, features of layers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from kilobench.contracts import CellError, Step, UserError
from kilobench.learn import train
from kilobench.learn.latent import weights_through
from kilobench.learn.train import Teacher, TrainingJob
from tests.learn.test_train import Tones, job, network, silent, weights

STEPS = 12


class Stopped(Exception):
    """A training that is cut."""


def taught(folder: Path | None = None) -> TrainingJob:
    """A job with a teacher."""
    here, task = job(folder, STEPS), Tones()
    torch.manual_seed(1)
    teacher = Teacher(network(), 0.5, 4.0)
    split = task.load(0, Path(), silent)
    return TrainingJob(
        split, task, seed=0, progress=silent, checkpoints=folder, teacher=teacher, steps=STEPS, training=here.training
    )


def hinted(folder: Path | None = None, stop: int = 0, momentum: float = 0.9) -> tuple[nn.Module, nn.Parameter]:
    """Every hook at once: a student whose features, through a layer of the loss, are to be those of the teacher."""
    here, student = taught(folder), network()
    bridge = nn.Parameter(torch.eye(8) + torch.arange(64.0).view(8, 8) / 64)
    done = 0

    def stopping(model: nn.Module) -> None:
        nonlocal done
        done += 1
        if done == stop:
            raise Stopped

    assert here.teacher is not None
    with here.features(student, ["1"]) as ours, here.features(here.teacher, ["1"]) as theirs:

        def loss(step: Step) -> Tensor:
            mapped = torch.einsum("oc,nchw->nohw", bridge, ours["1"])
            return step.usual + functional.mse_loss(mapped, theirs["1"])

        here.train(
            student,
            lr=1e-2,
            after_step=stopping,
            loss=loss,
            parameters=[{"params": [bridge], "lr": 1e-3, "weight_decay": 0.0}],
            optimiser=lambda groups: torch.optim.SGD(groups, momentum=momentum),
            schedule=lambda step, steps: 1 - step / steps,
        )
    return student, bridge


def test_a_cut_training_with_all_hooks_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", -1.0)
    whole = hinted()
    with pytest.raises(Stopped):
        hinted(tmp_path, stop=7)
    again = hinted(tmp_path)
    assert weights(whole[0]) == weights(again[0]) and torch.equal(whole[1], again[1])
    assert weights(hinted(momentum=0.0)[0]) != weights(whole[0])
    assert not whole[0][1]._forward_hooks  # type: ignore[index]


@pytest.mark.parametrize(
    ("group", "moves"),
    [({}, True), ({"lr": 0.0}, False), ({"lr": 0.0, "weight_decay": 9.0}, False), ({"weight_decay": 9.0}, True)],
)
def test_a_group_has_its_own_rate_and_decay(group: dict[str, Any], moves: bool) -> None:
    plain = job(steps=3).train(network(), lr=1e-2)
    model = network()
    here = job(steps=3)
    here.train(model, lr=1e-2, parameters=[{"params": [model[6].weight], **group}])  # type: ignore[index]
    assert torch.equal(model[6].weight, network()[6].weight) == (not moves)  # type: ignore[index]
    assert (weights(plain) == weights(model)) == (not group)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_factory_of_the_same_optimiser_and_schedule_changes_nothing(name: str) -> None:
    made: dict[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]] = {
        "adamw": lambda groups: torch.optim.AdamW(groups, fused=True),
        "sgd": lambda groups: torch.optim.SGD(groups, momentum=0.9, nesterov=True, fused=True),
    }
    own = job(steps=4).train(network(), lr=1e-2, optimiser=made[name], schedule="cosine", loss=lambda step: step.usual)
    named = job(steps=4).train(network(), lr=1e-2, optimiser=name)  # type: ignore[arg-type]
    assert weights(own) == weights(named)


WRONG: dict[str, dict[str, Any]] = {
    r"the method's loss returned a tensor of shape \(10, 2\); it is to return one number": {
        "loss": lambda s: s.outputs
    },
    "the method's loss returned float": {"loss": lambda step: 0.5},
    "the method's loss has no gradient": {"loss": lambda step: step.usual.detach()},
    r"optimiser: the function returned NoneType, not a torch\.optim\.Optimizer": {"optimiser": lambda groups: None},
    "optimiser: it is one of adamw, adam, sgd, or a function, not 'lion'": {"optimiser": "lion"},
    "schedule: it is one of cosine, step, or a function, not 'flat'": {"schedule": "flat"},
    r"a group's params are a list of torch\.nn\.Parameter": {"parameters": [{"params": [torch.zeros(1)]}]},
    "parameters: one is in two groups": {"parameters": [{"params": [parameter := nn.Parameter(torch.zeros(1))]}] * 2},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_hook_is_one_line(message: str) -> None:
    with pytest.raises(CellError, match=message):
        job(steps=2).train(network(), lr=1e-2, **WRONG[message])


def explode(weight: Tensor) -> Tensor:
    return weight / (weight - weight.detach())


def test_a_training_that_diverges_says_where_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", -1.0)
    model, count = network(), 0

    def harm(model: nn.Module) -> None:
        nonlocal count
        count += 1
        if count == 3:
            model[6].bias.data[0] = float("nan")  # type: ignore[index]

    where = r"not finite: training diverged at step 4 of 8, first in the output of 6 \(Linear\)$"
    with pytest.raises(CellError, match=where):
        job(tmp_path, 8).train(model, lr=1e-2, after_step=harm)
    assert not list(tmp_path.glob("*.pt"))
    through = r"at step 1 of 8, first in the output of 0 \(Conv2d\)$"
    with pytest.raises(CellError, match=through), weights_through([model[0]], explode):  # type: ignore[index]
        job(None, 8).train(model, lr=1e-2)
    with pytest.raises(CellError, match=r"at step 1 of 8, in the loss alone$"):
        job(None, 8).train(network(), lr=1e-2, loss=lambda step: step.usual * float("inf"))


def test_a_layer_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="the model has no layer '9'"), job().features(network(), ["9"]):
        pass

# SPDX-License-Identifier: Apache-2.0
"""What each method does to a network, and that nothing but training data reaches it."""

import copy
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from kilobench.compile.counts import macs
from kilobench.compile.lower import lower
from kilobench.compile.operator import bind
from kilobench.contracts import Method, UserError
from kilobench.learn.layers import XnorConv2d
from kilobench.learn.pruning import ChannelRanking
from kilobench.plugins.registry import load_registry
from kilobench.plugins.spec import parameters
from tests.learn.trained import Trained, digits, residual, run_in_c, tones, weights

SHORT = {
    "int8": "int8",
    "int4": "int4[batches=2]",
    "mixed": "mixed[batches=2]",
    "qat": "qat",
    "ternary": "ternary",
    "nm": "nm[m=4]",
    "xnor": "xnor",
    "lsq": "lsq[bits=2]",
    "pact": "pact",
    "bireal": "bireal",
    "reactnet": "reactnet",
    "adabin": "adabin",
    "prune": "prune[keep=0.5]",
    "lowrank": "lowrank",
    "search": "search[keep=0.4]",
    "distill": "distill",
    "full": "full",
}
INTEGER = [
    "int8",
    "int8[calibrate=percentile]",
    "qat",
    "lsq[bits=2]",
    "pact[bits=2]",
    "ternary",
    "nm[m=4]",
    "int4[batches=2]",
    "mixed[bits=3.5,batches=2]",
    "xnor",
    "xnor[keep=none,gradient=xnor]",
    "xnor[layout=study]",
    "xnor+int8[calibrate=percentile]",
    "xnor+qat",
    "prune+int8",
    "prune+qat",
    "lowrank+int8",
    "search[keep=0.4]+int8",
    "prune[keep=0.5]+xnor",
    "bireal[keep=first]",
    "bireal+qat",
    "reactnet",
    "prune[keep=0.5]+adabin",
]
DEEP = [
    "int8",
    "distill+qat",
    "lsq[bits=2]",
    "pact[bits=2]",
    "ternary",
    "nm",
    "int4[batches=1]",
    "mixed[bits=7,batches=1]",
    "xnor",
    "xnor[layout=study]",
    "bireal",
    "reactnet",
    "prune[keep=0.5]+adabin",
    "lowrank+int8",
    "search[keep=0.9]+int8",
]
"""Every method, on a network of 20 convolutions with shortcuts."""
BINARY = ("xnor", "bireal", "reactnet", "adabin")


def test_every_method_is_tested_here() -> None:
    assert set(load_registry().entries["methods"]) == set(SHORT)


@pytest.mark.parametrize("recipe", INTEGER)
@pytest.mark.parametrize("trained", [digits, tones], ids=["digits", "tones"])
def test_no_float_is_left_and_c_equals_the_simulation(trained: object, recipe: str, tmp_path: Path) -> None:
    _require_integer(trained(), recipe, 4, tmp_path)  # type: ignore[operator]


@pytest.mark.parametrize("recipe", DEEP)
def test_the_studys_residual_network_goes_through_every_method(recipe: str, tmp_path: Path) -> None:
    _require_integer(residual(), recipe, 2, tmp_path)


def test_every_method_is_tried_on_a_deep_network() -> None:
    assert {name.partition("[")[0] for recipe in DEEP for name in recipe.split("+")} | {"full"} == set(SHORT)


@pytest.mark.parametrize("recipe", [*SHORT.values(), "xnor[layout=study]"])
def test_what_every_method_trains_in_bfloat16_is_float32_afterwards(recipe: str) -> None:
    half, whole = (digits().apply(recipe, digits().job(precision=precision)) for precision in ("bfloat16", "float32"))
    assert {tensor.dtype for tensor in half.state_dict().values() if tensor.is_floating_point()} <= {torch.float32}
    shape, trains = digits().task.input_shape, load_registry().get("methods", recipe).effort > 0
    assert (lower(half, shape).digest() != lower(whole, shape).digest()) == trains


@pytest.mark.parametrize("rank", get_args(parameters(load_registry().loaded("methods", "prune").value)["rank"][0]))
def test_channels_of_a_deep_network_go_by_every_rank(rank: str) -> None:
    network, how = residual(), "activation" if rank == "hybrid" else rank
    small = ChannelRanking(copy.deepcopy(network.model), network.job().batches(1), how).without(0.5, (1, 8, 8))  # type: ignore[arg-type]
    assert 0 < weights(small) < 0.7 * weights(network.model)
    assert 0 < macs(lower(small, (1, 8, 8)))["fp32"] < macs(lower(network.model, (1, 8, 8)))["fp32"]


def _require_integer(network: Trained, recipe: str, steps: int, folder: Path) -> None:
    """After a recipe no float is left, and C equals the simulation."""
    graph, c, simulated = run_in_c(network.apply(recipe, steps=steps), network, folder)
    counts = macs(graph)
    assert counts["fp32"] == 0 < counts["int8"]
    assert (counts["binary"] > 0) == any(name in recipe for name in BINARY)
    assert np.array_equal(c, simulated) and len(np.unique(c)) > 2


@pytest.mark.parametrize("name", SHORT)
def test_test_data_changes_nothing(name: str) -> None:
    clean, poisoned = (
        digits().apply(SHORT[name], digits().job()),
        digits().apply(SHORT[name], digits().job(poisoned=True)),
    )
    shape = digits().task.input_shape
    assert lower(clean, shape).digest() == lower(poisoned, shape).digest()


def test_a_job_holds_no_test_data() -> None:
    job, split = digits().job(), digits().split
    arrays = [value for value in vars(job).values() if isinstance(value, np.ndarray)]
    assert arrays and not any(
        np.shares_memory(value, test) for value in arrays for test in (split.test_x, split.test_y)
    )


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("int8[batches=0]", "batches must be from 1 to 1000"),
        ("int4[first=2]", "first must be 4 or 8, not 2"),
        ("mixed[bits=1.5]", "bits must be from 2 to 8, not 1.5"),
        ("xnor[keep=stm]", "keep must be stem, first, none or a number of convolutions, not 'stm'"),
        ("xnor[keep=40]", "no convolution of this network becomes binary"),
        ("reactnet[keep=stm]", "reactnet: keep must be stem, first, none or a number of convolutions, not 'stm'"),
        ("bireal[keep=40]", "bireal: with keep=40 no convolution of this network becomes binary"),
        ("prune[keep=0]", "keep must be above 0"),
        ("prune[iterative=0]", "iterative must be from 1 to 100"),
        ("prune[keep=0.0001]", "keep=0.0001 is too little; the smallest network has"),
        ("prune[rank=tailor]", "rank must be one of taylor, .*, not 'tailor'; nearest is 'taylor'"),
        ("lowrank[keep=0]", "keep must be above 0"),
        ("lowrank[keep=0.1]", "keep=0.1 is too little; factors keep 0.26 of the network at least"),
        ("search[keep=0.001]", "keep=0.001 is too little; the smallest network has"),
        ("search[shared=1]", "shared must be above 0 and below 1"),
        ("distill[weight=1.5]", "weight must be above 0 and at most 1"),
        ("distill[temperature=0]", "temperature must be positive"),
        ("distill[teacher=]", "teacher must be full or a network"),
        ("ternary[threshold=-1]", "threshold must not be negative"),
        ("nm[n=2,m=4]", "nm: n=2,m=4 has no kernel that pays; at most a third may be kept"),
        ("nm[decay=-1]", "nm: decay must not be negative, but is -1.0"),
    ],
)
def test_wrong_parameters_are_named(recipe: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        digits().apply(recipe)


@pytest.mark.parametrize("trained", [digits, tones], ids=["digits", "tones"])
def test_nm_keeps_one_weight_of_every_group_where_the_board_leaves_out_the_others(trained: object) -> None:
    network: Trained = trained()  # type: ignore[operator]
    graph = lower(network.apply("nm[m=4]"), network.task.input_shape)
    convs = [op for op in graph.ops if op.kind == "conv2d"]
    large = [op for op in convs[1:] if op.params["weight"].size >= 1024]
    assert large and large == [op for op in convs if "sparse" in bind(graph, op).kernel]
    for weight in (op.params["weight"] for op in large):
        channels = weight.shape[3]
        assert (np.count_nonzero(weight, axis=3) <= channels // 4).all()
        if channels % 4 == 0:
            assert (np.count_nonzero(weight.reshape(-1, 4), axis=1) <= 1).all()


def test_distill_teaches_what_follows() -> None:
    method: Method = load_registry().get("methods", "distill[weight=0.3,temperature=2]")
    assert method.teaches and (method.weight, method.temperature) == (0.3, 2.0)  # type: ignore[attr-defined]
    assert method.apply(digits().model, digits().job()) is digits().model
    assert not any(load_registry().get("methods", name).teaches for name in SHORT if name != "distill")


@pytest.mark.parametrize(
    ("keep", "kept"), [("stem", 3), ("first", 1), ("none", 0), ("2", 2)], ids=["stem", "first", "none", "2"]
)
def test_xnor_keeps_what_it_is_told_to(keep: str, kept: int) -> None:
    model = tones().apply(f"xnor[keep={keep}]", steps=0)
    convolutions = [module for name, module in model.named_children() if name.startswith("conv")]
    binary = [isinstance(module, XnorConv2d) for module in convolutions]
    assert binary == [False] * kept + [True] * (10 - kept) + [False]


def test_training_twice_gives_the_same_weights() -> None:
    states = [digits().apply("prune[keep=0.5]").state_dict() for _ in range(2)]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])

# SPDX-License-Identifier: Apache-2.0
"""Networks against published figures."""

from itertools import pairwise
from math import prod
from typing import Any

import pytest
import torch

from kilobench.compile.counts import macs, parameters
from kilobench.compile.graph import Graph
from kilobench.compile.imports import load_model, lowering
from kilobench.compile.lower import lower
from kilobench.contracts import Network, UserError
from kilobench.plugins.registry import load_registry
from tests.compile import mlperf
from tests.untrained import untrained

REGISTRY = load_registry()


@pytest.mark.parametrize(
    ("channels", "classes", "parameters", "million_macs"),
    [
        ("paper", 50, 4_735_378, 541.9),
        ("paper", 10, 4_712_378, 541.7),
        ("micro", 50, 131_474, 14.29),
        ("nano", 50, 65_941, 10.05),
        ("gap8", 50, 501_544, 44.3),
    ],
)
def test_acdnet_has_the_published_size(channels: str, classes: int, parameters: int, million_macs: float) -> None:
    """At 20 kHz and 1.51 s (arXiv 2103.03483)."""
    network = load_registry().get("networks", f"acdnet[channels={channels}]")
    model = network.build((1, 1, 30225), classes, 20_000).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert macs(lower(model, (1, 1, 30225)))["fp32"] / 1e6 == pytest.approx(million_macs, rel=1e-3)


@pytest.mark.parametrize(
    ("network", "classes", "parameters", "million_macs"),
    [("resnet18", 10, 11_173_962, 218.7), ("resnet8", 10, 78_042, 12.5)],
)
def test_residual_networks_have_the_published_size(
    network: str, classes: int, parameters: int, million_macs: float
) -> None:
    """The study's ResNet-18; ResNet-8 as in MLPerf Tiny (arXiv 2106.07597), whose convolutions also have biases."""
    model = load_registry().get("networks", network).build((3, 32, 32), classes, 0).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert macs(lower(model, (3, 32, 32)))["fp32"] / 1e6 == pytest.approx(million_macs, rel=2e-3)


@pytest.mark.parametrize(
    ("network", "size", "million_parameters", "million_macs"),
    [
        ("mobilenet_v2[width=1]", 224, 3.5, 300),  # table 4, where the parameters are 3.4
        ("mcunet", 96, 0.64, 12.8),  # of mcunet-5fps in the model zoo
    ],
)
def test_mobile_networks_have_the_published_size(
    network: str, size: int, million_parameters: float, million_macs: float
) -> None:
    """On ImageNet."""
    model = REGISTRY.get("networks", network).build((3, size, size), 1000, 0).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(million_parameters, 8e-3)
    assert macs(lower(model, (3, size, size)))["fp32"] / 1e6 == pytest.approx(million_macs, 3e-3)


REFERENCES = {
    "ds_cnn": ("kws_ref_model", (1, 49, 10), 12, 22_604, 2_656_768),
    "mobilenet_v1": ("vww_96_int8", (3, 96, 96), 2, 210_850, 7_489_664),
    "resnet8": ("pretrainedResnet_quant", (3, 32, 32), 10, 77_706, 12_501_632),
}
"""MLPerf Tiny's reference file, input, classes, weights and biases, multiply-accumulates."""


@pytest.mark.parametrize("network", REFERENCES)
def test_the_int8_network_has_the_size_of_the_reference(network: str) -> None:
    _, shape, classes, weights, work = REFERENCES[network]
    graph = untrained(network, "int8", shape, classes)
    assert parameters(graph) == weights
    assert macs(graph) == {"fp32": 0, "int8": work, "binary": 0}


@pytest.mark.parametrize("network", REFERENCES)
@pytest.mark.skipif(not mlperf.there(), reason="KILOBENCH_DATA holds no mlperf-tiny")
def test_the_int8_network_is_the_reference_layer_by_layer(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the softmax at its end; resnet8 pads the maps that it halves on both sides, not on one. Dead channels count."""
    monkeypatch.setattr(lowering, "without_dead_channels", lambda graph: graph)
    file, shape, classes, weights, work = REFERENCES[network]
    reference, ours = load_model(mlperf.path_of(file), "once"), untrained(network, "int8", shape, classes)
    assert (parameters(reference), macs(reference)["int8"]) == (weights, work)
    assert reference.ops[-1].kind == "softmax"
    moved = {"padding", "extra"} if network == "resnet8" else set()
    assert layers(ours, moved) == layers(reference, moved)[:-1]


@pytest.mark.parametrize("shape", [(640, 1, 1), (128, 1, 5)], ids=str)
def test_the_autoencoder_has_the_size_of_the_reference(shape: tuple[int, int, int]) -> None:
    """Its input is five frames of 128 bands, which are 640 values one after the other."""
    graph = untrained("autoencoder", "int8", shape, 640)
    assert (parameters(graph), macs(graph)) == (265_864, {"fp32": 0, "int8": 264_192, "binary": 0})
    work = [op.params["weight"].size for op in graph.ops]
    assert work == [640 * 128, *[128 * 128] * 3, 128 * 8, 8 * 128, *[128 * 128] * 3, 128 * 640]
    if mlperf.there():
        reference = load_model(mlperf.path_of("ad01_int8"))
        assert [op.params["weight"].size for op in reference.ops] == work
        if shape == (640, 1, 1):
            assert layers(graph, set()) == layers(reference, set())


def layers(graph: Graph, without: set[str]) -> list[Any]:
    """What is fixed of every operator before the weights are known."""
    return [
        (
            op.kind,
            [graph.tensors[name].shape for name in (*op.inputs, op.output)],
            {name: value for name, value in op.attrs.items() if name not in without},
            {name: array.shape for name, array in op.params.items()},
        )
        for op in graph.ops
    ]


@pytest.mark.parametrize("network", ["mobilenet_v1", "mobilenet_v2", "mcunet"])
@pytest.mark.parametrize(("size", "last"), [(4, 4), (8, 4), (32, 4), (33, 3), (64, 4), (65, 3), (96, 3), (224, 7)])
def test_the_last_map_of_a_mobile_network_has_three_rows_or_more(network: str, size: int, last: int) -> None:
    with torch.device("meta"):
        model = REGISTRY.get("networks", network).build((1, size, size + 1), 2, 0)
    average = next(module for module in model if isinstance(module, torch.nn.AvgPool2d))
    assert isinstance(average.kernel_size, tuple) and min(average.kernel_size) == last


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        ("ds_cnn", (1, 49, 3), "ds_cnn takes spectrograms, frames by bands, of at least 10 x 4, not (1, 49, 3)"),
        ("ds_cnn", (1, 1, 8000), "at least 10 x 4, not (1, 1, 8000); acdnet takes raw sound"),
        ("mobilenet_v1", (3, 3, 9), "mobilenet_v1 takes images of at least 4 x 4, not (3, 3, 9)"),
        ("mobilenet_v2", (1, 1, 8000), "not (1, 1, 8000); acdnet takes raw sound"),
        ("mcunet", (3, 32, 3), "mcunet takes images of at least 4 x 4, not (3, 32, 3)"),
    ],
)
def test_other_inputs_are_refused(network: str, shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(UserError) as error:
        REGISTRY.get("networks", network).build(shape, 2, 8000)
    assert str(error.value).endswith(message)


IMAGE, SOUND = ((3, 32, 32), 0), ((1, 1, 30225), 20_000)
WIDTHS = {
    "resnet8": (16.0, *IMAGE),
    "resnet18": (64.0, *IMAGE),
    "ds_cnn": (64.0, (1, 49, 10), 0),
    "mobilenet_v1": (0.25, *IMAGE),
    "mobilenet_v2": (0.35, *IMAGE),
    "mcunet": (1.0, *IMAGE),
    "autoencoder": (1.0, (128, 1, 5), 0),
    **{f"acdnet[channels={name}]": (1.0, *SOUND) for name in ("small", "paper", "micro", "nano", "gap8")},
}
"""Networks with their usual width, an input and its rate."""


def size(network: str, shape: tuple[int, int, int], rate: int, width: float | None) -> int:
    """Parameters of a network of a width, which take no memory."""
    parts = [network.partition("[")[2].rstrip("]"), f"width={width!r}" if width else ""]
    built: Network = REGISTRY.get("networks", f"{network.partition('[')[0]}[{','.join(filter(None, parts))}]")
    with torch.device("meta"):
        outputs = prod(shape) if network == "autoencoder" else 10
        return sum(parameter.numel() for parameter in built.build(shape, outputs, rate).parameters())


def test_all_networks_have_a_width() -> None:
    """Which is a float, so that a budget can choose it."""
    assert set(REGISTRY.entries["networks"]) == {name.partition("[")[0] for name in WIDTHS}
    for name, (usual, shape, rate) in WIDTHS.items():
        network = REGISTRY.get("networks", name)
        assert type(network.width) is float and network.width == usual
        assert size(name, shape, rate, usual) == size(name, shape, rate, None)


@pytest.mark.parametrize("name", WIDTHS)
def test_a_wider_network_is_never_smaller(name: str) -> None:
    """From a sixteenth of the usual width to four times as much, in steps of a hundredth; sizes lie close together.

    The ends of an autoencoder, half of it, grow with its width, and not with its square.
    """
    usual, shape, rate = WIDTHS[name]
    sizes = [size(name, shape, rate, usual / 16 * 1.01**step) for step in range(420)]
    assert sizes == sorted(sizes)
    most = 8 if name == "autoencoder" else 12
    assert sizes[0] < size(name, shape, rate, usual) / 12 and sizes[-1] > most * size(name, shape, rate, usual)
    assert max(after / before for before, after in pairwise(sizes) if before > 20_000) < 1.26


PUBLISHED_BY_FOURS = set(WIDTHS) - {f"acdnet[channels={name}]" for name in ("micro", "nano", "gap8")}


@pytest.mark.parametrize("name", sorted(PUBLISHED_BY_FOURS))
def test_the_usual_width_lies_in_between(name: str) -> None:
    usual, shape, rate = WIDTHS[name]
    sizes = [size(name, shape, rate, usual * factor) for factor in (0.96, 0.999, 1, 1.001, 1.04)]
    assert sizes == sorted(sizes)


def test_an_autoencoder_gives_back_what_it_takes() -> None:
    with pytest.raises(UserError, match=r"the 640 values of \(128, 1, 5\), not 10"):
        REGISTRY.get("networks", "autoencoder").build((128, 1, 5), 10, 0)

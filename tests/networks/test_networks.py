# SPDX-License-Identifier: Apache-2.0
"""Networks against published figures."""

import pytest

from kilobench.compile.counts import macs
from kilobench.compile.lower import lower
from kilobench.plugins.registry import load_registry


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

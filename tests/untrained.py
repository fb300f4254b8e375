# SPDX-License-Identifier: Apache-2.0
"""Networks with random weights, compressed and lowered: what they cost does not depend on what they learnt."""

from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.host import HostModel
from kilobench.compile.lower import lower
from kilobench.contracts import Network, Shape, silent
from kilobench.learn.train import seed_everything
from kilobench.measuring.evaluate import Reference, reference
from kilobench.plugins.registry import load_registry
from kilobench.plugins.spec import parse_recipe


def untrained(network: str, recipe: str, input_shape: Shape, classes: int, sample_rate: int = 0) -> Graph:
    """The graph of a network after a recipe whose methods do all but train; ranges come from noise."""
    registry = load_registry()
    builder: Network = registry.get("networks", network)
    seed_everything(0)
    model = builder.build(input_shape, classes, sample_rate).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.02, 0.1)
    noise = [(torch.rand(4, *input_shape) * 2 - 1, torch.zeros(4, dtype=torch.long)) for _ in range(2)]
    job = SimpleNamespace(
        batches=lambda count: noise,
        train=lambda model, **_: model.eval(),
        budget=None,
        input_shape=input_shape,
        progress=silent,
    )
    for spec in parse_recipe(recipe):
        model = registry.get("methods", str(spec)).apply(model, job)
    return lower(model, input_shape)


def emitted(graph: Graph, folder: Path, count: int) -> Reference:
    """Emit a graph into ``folder``; what its C makes of ``count`` measured inputs on the host."""
    folder.mkdir(parents=True, exist_ok=True)
    emit(graph, folder, "untrained")
    return reference(graph, HostModel(folder), count)

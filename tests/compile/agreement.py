# SPDX-License-Identifier: Apache-2.0
"""Whether a lowered model computes what torch does, on random inputs in [-1, 1]."""

import torch
from torch import nn

from kilobench.compile.graph import Graph
from kilobench.compile.lower import lower
from kilobench.compile.simulate import quantise_input, simulate
from kilobench.contracts import Shape
from kilobench.learn.quantise import quantise

STEPS = 3
"""Of an int8 output, by which the rounding of weights may move it in these small networks."""


def lowered(model: nn.Module, shape: Shape, *, int8: bool = False) -> Graph:
    """The graph of a model, in int8 if wanted, after its simulation was found to be what torch gives."""
    x = torch.rand(16, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    model = model.eval()
    if int8:
        model = quantise(model, [(x, torch.zeros(16))])
    graph = lower(model, shape)
    simulated = simulate(graph, quantise_input(graph, x.numpy()))[graph.output][:, 0, 0]
    with torch.no_grad():
        wanted = model(x).double().numpy()
    output = graph.tensors[graph.output]
    scale = max(1.0, abs(wanted).max())
    if output.dtype == "int8":
        simulated, scale = (simulated.astype(float) - output.zero_point) * output.scale, output.scale * STEPS / 1e-5
    assert simulated.shape == wanted.shape and abs(simulated - wanted).max() <= 1e-5 * scale
    return graph

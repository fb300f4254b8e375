# SPDX-License-Identifier: Apache-2.0
"""The simulation against exact integers and torch; tests/fuzz holds the C to the simulation."""

import numpy as np
import torch
from torch.nn import functional

from kilobench.compile.counts import macs
from kilobench.compile.lower import multiplier
from kilobench.compile.ops._integers import TWICE, requantise
from kilobench.compile.simulate import simulate
from tests.compile.graphs import Builder, random_inputs


def test_requantisation_rounds_once() -> None:
    random = np.random.default_rng(0)
    acc = random.integers(-(2**31), 2**31, 100_000)
    m, t = multiplier(np.exp(random.uniform(np.log(1e-9), np.log(0.9), 100_000)))
    exact = [(int(a) * int(f) * 2 + (1 << int(s))) >> (int(s) + 1) for a, f, s in zip(acc, m, t, strict=True)]
    assert np.array_equal(requantise(acc, m, t), exact)
    assert np.all((m >= 2**30) & (m < 2**31))


def gemmlowp(acc: int, multiplier: int, t: int) -> int:
    """MultiplyByQuantizedMultiplier of TFLite, of exact integers: gemmlowp's SaturatingRoundingDoublingHighMul, which cannot
    saturate here, and RoundingDivideByPOT (fixedpoint/fixedpoint.h). The shift to the left saturates.
    """
    shifted = min(max(acc * 2 ** max(31 - t, 0), -(2**31)), 2**31 - 1)
    product = shifted * multiplier
    nudged = product + (2**30 if product >= 0 else 1 - 2**30)
    high = nudged // 2**31 if nudged >= 0 else -(-nudged // 2**31)  # C rounds to zero
    exponent = max(t - 31, 0)
    mask = 2**exponent - 1
    return (high >> exponent) + ((high & mask) > (mask >> 1) + (high < 0))


def test_two_roundings_are_those_of_gemmlowp() -> None:
    random, count = np.random.default_rng(0), 1_000_000
    acc = np.trunc(random.choice([-1, 1], count) * np.exp(random.uniform(0, 31 * np.log(2), count))).astype(np.int64)
    acc[:4] = [-(2**31), 2**31 - 1, 0, -1]
    factor = random.integers(2**30, 2**31, count)
    factor[random.random(count) < 0.1] = 2**30  # halves are frequent
    t = random.integers(1, 63, count)
    exact = [gemmlowp(*values) for values in zip(acc.tolist(), factor.tolist(), t.tolist(), strict=True)]
    got = requantise(acc, factor.astype(np.int32), (t + TWICE).astype(np.int32))
    assert np.array_equal(got, exact)
    once = requantise(acc, factor.astype(np.int32), t.astype(np.int32))
    assert np.sum(got != once) > 100
    mixed = np.where(np.arange(count) % 2, t + TWICE, t)
    assert np.array_equal(requantise(acc, factor, mixed), np.where(np.arange(count) % 2, got, once))


def test_a_convolution_of_int16_is_that_of_integers() -> None:
    b = Builder(0)
    source = b.tensor((5, 40, 3), "int16")
    graph = b.graph(source, b.conv(source, "int8", out=7, kernel=(3, 9), stride=(1, 2), padding=(1, 4)))
    x = random_inputs(graph, 2, 0)
    conv, output = graph.ops[0], graph.tensors[graph.output]
    assert int(np.abs(x).max()) > 2**14
    padded = np.pad(x.astype(np.int64), ((0, 0), (1, 1), (4, 4), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 9), axis=(1, 2))[:, :, ::2]
    acc = np.einsum("nyxcij,oijc->nyxo", windows, conv.params["weight"].astype(np.int64)) + conv.params["bias"]
    wanted = requantise(acc, conv.params["multiplier"], conv.params["shift"]) + output.zero_point
    low = output.zero_point if conv.attrs["relu"] else -128
    assert np.array_equal(simulate(graph, x)[graph.output], np.clip(wanted, low, 127))
    assert macs(graph) == {"fp32": 0, "int8": 0, "binary": 0, "int16": 5 * 20 * 7 * 81}
    assert source.bytes == 2 * 5 * 40 * 3


def test_binary_convolution_is_that_of_signs() -> None:
    b = Builder(0)
    source = b.tensor((7, 6, 40), "bit")
    graph = b.graph(source, b.conv(source, "bit", out=33, kernel=(3, 2), stride=(2, 1), padding=(1, 1)))
    maps = simulate(graph, random_inputs(graph, 2, 0))
    conv = graph.ops[0]
    x = torch.from_numpy(maps[conv.inputs[0]].transpose(0, 3, 1, 2) * 2.0 - 1)
    channels = x.shape[1]
    bits = np.unpackbits(conv.params["weight"].view(np.uint8), axis=-1, bitorder="little")[..., :channels]
    weight = torch.from_numpy(bits.transpose(0, 3, 1, 2) * 2.0 - 1)
    acc = functional.conv2d(x, weight, stride=conv.attrs["stride"], padding=conv.attrs["padding"]).numpy()
    flip = np.unpackbits(conv.params["flip"].view(np.uint8), bitorder="little")[: len(weight)]
    wanted = (acc.transpose(0, 2, 3, 1) >= conv.params["threshold"]) ^ flip.astype(bool)
    assert np.array_equal(maps[conv.output], wanted)

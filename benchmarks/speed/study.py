# SPDX-License-Identifier: Apache-2.0
"""The study's input pipeline and training step, re-created from its description as the baseline of the trainer's speed.

Batch 64 of 1.51 s at 20 kHz from clips of 5 s: per clip, in NumPy, time-scale, pad, crop, A-weighted mixing and gain
(arXiv 2108.06128, section 4; between-class learning, arXiv 1711.10282); then SGD on the KL divergence, default memory layout,
generator and step in turn. XNOR layers as there: batch norm, sign, weights centred, clamped and binarised before every step.
"""

import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from kilobench.plugins.registry import load_registry

RATE, LENGTH, CLIP, BATCH, CLASSES = 20_000, 30_225, 100_000, 64, 50
N_FFT = 2048
STEM = 3
"""Convolutions that the XNOR form of this comparison keeps."""


def clips(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, float32 [count, CLIP], and its classes."""
    generator = np.random.default_rng(0)
    return generator.uniform(-0.5, 0.5, (count, CLIP)).astype(np.float32), np.arange(count) % CLASSES


def gain(sound: np.ndarray) -> float:
    """The A-weighted level of the loudest frame in dB."""
    frequency = np.fft.rfftfreq(N_FFT, 1 / RATE)
    f2 = np.maximum(frequency, 1e-9) ** 2
    response = 12194.0**2 * f2**2 / ((f2 + 20.6**2) * np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2)) * (f2 + 12194.0**2))
    levels = []
    for start in range(0, len(sound) - N_FFT + 1, N_FFT // 2):
        power = np.abs(np.fft.rfft(np.hanning(N_FFT) * sound[start : start + N_FFT])) ** 2
        levels.append(np.sum(power * response**2))
    return float(10 * np.log10(max(levels) + 1e-12))


def variation(clip: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Scaled in time, padded by half a window each side, and a window cut from it."""
    factor = 1.25 ** generator.uniform(-1, 1)
    positions = np.arange(int(len(clip) * factor)) / factor
    padded = np.pad(np.interp(positions, np.arange(len(clip)), clip), LENGTH // 2)
    start = generator.integers(0, len(padded) - LENGTH)
    return padded[start : start + LENGTH]


def batch(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of mixtures, float32 [BATCH, 1, 1, LENGTH], and their class shares."""
    sounds, labels = [], []
    for _ in range(BATCH):
        while True:
            first, second = generator.integers(0, len(x), 2)
            if y[first] != y[second]:
                break
        a, b = variation(x[first], generator), variation(x[second], generator)
        share = generator.random()
        p = 1 / (1 + 10 ** ((gain(a) - gain(b)) / 20) * (1 - share) / share)
        mixed = (a * p + b * (1 - p)) / np.sqrt(p**2 + (1 - p) ** 2)
        sounds.append((mixed * 10 ** (generator.uniform(-6, 6) / 20)).astype(np.float32))
        labels.append(share * np.eye(CLASSES)[y[first]] + (1 - share) * np.eye(CLASSES)[y[second]])
    return torch.from_numpy(np.stack(sounds))[:, None, None], torch.tensor(np.stack(labels), dtype=torch.float32)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        grad = grad.clone()
        grad[x.ge(1)] = 0
        grad[x.le(-1)] = 0
        return grad


class _BinaryBlock(nn.Module):
    """Batch norm, sign, convolution, in place of a convolution."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(conv.in_channels), conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(_Sign.apply(self.norm(x)))


def binarise(model: nn.Sequential) -> list[nn.Conv2d]:
    """Replace all but the first convolutions and the last, 1 x 1, one; returns the binary ones."""
    names = [name for name, module in model.named_children() if isinstance(module, nn.Conv2d)][STEM:-1]
    for name in names:
        index = name.removeprefix("conv")
        setattr(model, name, _BinaryBlock(getattr(model, name)))
        setattr(model, f"norm{index}", nn.Identity())
    return [getattr(model, name).conv for name in names]


def main(channels: str, binary: bool, steps: int) -> float:
    """Seconds per batch, generator and step, after one to warm up."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    model = load_registry().get("networks", f"acdnet[channels={channels}]").build((1, 1, LENGTH), CLASSES, RATE).train()
    convs = binarise(model) if binary else []
    optimiser = torch.optim.SGD(model.parameters(), 0.01, 0.9, weight_decay=5e-4, nesterov=True)
    generator = np.random.default_rng(0)
    x, y = clips(128)
    for step in range(steps + 1):
        if step == 1:
            start = time.perf_counter()
        sounds, labels = batch(x, y, generator)
        saved = []
        with torch.no_grad():
            for conv in convs:
                conv.weight.sub_(conv.weight.mean(1, keepdim=True)).clamp_(-1, 1)
                saved.append(conv.weight.clone())
                conv.weight.copy_(conv.weight.sign() * conv.weight.abs().mean((1, 2, 3), keepdim=True))
        loss = functional.kl_div(functional.log_softmax(model(sounds), 1), labels, reduction="batchmean")
        optimiser.zero_grad()
        loss.backward()
        with torch.no_grad():
            for conv, latent in zip(convs, saved, strict=True):
                alpha = latent.abs().mean((1, 2, 3), keepdim=True) * (latent.abs() < 1)
                conv.weight.copy_(latent)
                conv.weight.grad.mul_(alpha + 1 / latent[0].numel())
        optimiser.step()
    return (time.perf_counter() - start) / steps


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2] == "xnor", int(sys.argv[3])))

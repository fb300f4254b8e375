# SPDX-License-Identifier: Apache-2.0
"""Random variations of training data, on the device that holds it; every step draws from a generator of its own.

So a batch depends on the seed and the number of its step alone, and training can go on from any step.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kilobench.contracts import Frontend, Shape, Training
from kilobench.data.frontend import features
from kilobench.learn.objective import as_on_board

_GAIN_DB = 6.0
_FRAME = 1024
"""Samples per frame of a loudness curve."""
_AUDIBLE_DB = -100.0
_BLACK = -1.0
"""A pixel of 0, as (p - 128) / 128."""


class AudioAugmenter:
    """Random windows of clips, stretched in time, filtered, changed in gain and sign, and mixed with other classes.

    As in the study (arXiv 2108.06128) and between-class learning (arXiv 1711.10282): a factor of ``stretch**U(-1, 1)`` by
    linear interpolation, windows that may reach beyond the clip, mixing by A-weighted loudness.
    Sign and spectral tilt may vary because a microphone's polarity and frequency response are not what is to be learnt.
    """

    def __init__(self, x: Tensor, y: Tensor, classes: int, shape: Shape, rate: int, training: Training) -> None:
        self.clips, self.y, self.classes, self.length, self.training = x[:, 0, 0], y, classes, shape[2], training
        self.labels = y.tolist()
        self.loudness = loudness(x, rate).cpu().numpy() if training.mix > 0 else None

    def batch(self, chosen: np.ndarray, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Inputs float32 [n, 1, 1, length] and class shares float32 [n, classes] for the clips ``chosen``."""
        out = torch.empty(len(chosen), 1, 1, self.length, device=self.clips.device)
        y = functional.one_hot(self.y[torch.from_numpy(chosen)], self.classes).to(torch.float32)
        gains = 10 ** (generator.uniform(-_GAIN_DB, _GAIN_DB, len(chosen)) / 20)
        if self.training.polarity:
            gains *= generator.choice([-1.0, 1.0], len(chosen))
        for row, index in enumerate(chosen):
            window, level = self._window(int(index), generator)
            if generator.random() < self.training.mix:
                other = self._other_class(int(index), generator)
                second, second_level = self._window(other, generator)
                share = generator.random()
                p = _mixing_factor(share, level, second_level)
                window = torch.lerp(second, window, p)
                gains[row] /= np.hypot(p, 1 - p)
                y[row] *= share
                y[row, self.labels[other]] += 1 - share
            torch.mul(window, gains[row], out=out[row, 0, 0])
        return out.clamp_(-1, 1), y

    def _other_class(self, index: int, generator: np.random.Generator) -> int:
        while True:
            other = int(generator.integers(len(self.labels)))
            if self.labels[other] != self.labels[index]:
                return other

    def _window(self, index: int, generator: np.random.Generator) -> tuple[Tensor, float]:
        """A window of a clip, [length], and its loudness in dB (0 where nothing is mixed)."""
        clip = self.clips[index]
        length = round(self.length * self.training.stretch ** generator.uniform(-1, 1))
        margin = int(self.length * self.training.beyond)
        bounds = sorted((-margin, self.clips.shape[1] + margin - length))
        start = int(generator.integers(bounds[0], bounds[1] + 1))
        low, high = max(start, 0), min(start + length, self.clips.shape[1])
        window = clip[low:high]
        if high - low < length:
            window = functional.pad(window, (low - start, start + length - high))
        if length != self.length:
            window = functional.interpolate(window[None, None], size=self.length, mode="linear")[0, 0]
        if self.training.tilt:
            window = _tilted(window, float(generator.uniform(-self.training.tilt, self.training.tilt)))
        if self.loudness is None:
            return window, 0.0
        first = low // _FRAME
        return window, float(self.loudness[index, first : max(high // _FRAME, first + 1)].max())


class Heard:
    """What the board's front end makes of windows, however these are varied."""

    def __init__(self, windows: AudioAugmenter, frontend: Frontend) -> None:
        self.windows, self.frontend = windows, frontend

    def batch(self, chosen: np.ndarray, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Inputs float32 [n, 1, frames, values] and class shares float32 [n, classes] for the clips ``chosen``."""
        x, y = self.windows.batch(chosen, generator)
        return heard(x, self.frontend), y


def heard(x: Tensor, frontend: Frontend) -> Tensor:
    """Of samples [n, 1, 1, length] what networks take of the front end, (code - 128) / 128: [n, 1, frames, values]."""
    samples = (x[:, 0, 0].cpu() * 32768).round_().clamp_(-32768, 32767).to(torch.int16)
    codes = torch.from_numpy(features(frontend, samples.numpy()))
    return ((codes[:, None].to(torch.float32) - 128) / 128).to(x.device)


class ImageAugmenter:
    """Images shifted by up to an eighth of their size, mirrored at random where ``flip``, and turned by up to ``turn``."""

    def __init__(self, x: Tensor, y: Tensor, classes: int, training: Training) -> None:
        self.reach = max(1, x.shape[2] // 8)
        self.x, self.y, self.classes, self.training = x, y, classes, training

    def batch(self, chosen: np.ndarray, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Inputs float32 [n, c, h, w] and class shares float32 [n, classes] for the images ``chosen``."""
        indices = torch.from_numpy(chosen)
        height, width = self.x.shape[2:]
        repeated = self.training.edges == "repeated"
        mode, value = ("replicate", None) if repeated else ("constant", _BLACK)
        padded = functional.pad(self.x[indices], (self.reach,) * 4, mode=mode, value=value)
        tops, lefts = generator.integers(0, 2 * self.reach + 1, (2, len(chosen)))
        mirrored = generator.random(len(chosen)) < 0.5
        out = torch.empty(len(chosen), *self.x.shape[1:], device=self.x.device)
        for row, (top, left, mirror) in enumerate(zip(tops, lefts, mirrored, strict=True)):
            image = padded[row, :, top : top + height, left : left + width]
            out[row] = image.flip(2) if mirror and self.training.flip else image
        if turn := self.training.turn:
            angles = generator.uniform(-turn, turn, len(chosen)).astype(np.float32)
            out = _turned(out, torch.from_numpy(angles).to(out.device), "border" if repeated else "zeros")
        return out, functional.one_hot(self.y[indices], self.classes).to(torch.float32)


class SpectrogramAugmenter:
    """Spectrograms, or cepstra, a frame in each row, shifted in time by up to a tenth of their length, the ends repeated."""

    def __init__(self, x: Tensor, y: Tensor, classes: int) -> None:
        self.reach = max(1, x.shape[2] // 10)
        self.x, self.y, self.classes = x, y, classes

    def batch(self, chosen: np.ndarray, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Inputs float32 [n, 1, frames, values] and class shares float32 [n, classes] for the spectrograms ``chosen``."""
        indices, frames = torch.from_numpy(chosen), self.x.shape[2]
        shifts = generator.integers(-self.reach, self.reach + 1, (len(chosen), 1))
        rows = torch.from_numpy((np.arange(frames) + shifts).clip(0, frames - 1)).to(self.x.device)
        x = self.x[indices]
        return (
            x.gather(2, rows[:, None, :, None].expand_as(x)),
            functional.one_hot(self.y[indices], self.classes).to(torch.float32),
        )


class Windows:
    """Random windows of recordings that are wider than the input, and what is to be made of them: the same, ``as_on_board``.

    Nothing else is varied: what is unusual of a sound may be its level or its pitch.
    """

    def __init__(self, x: Tensor, width: int) -> None:
        self.x, self.width = x, width

    def batch(self, chosen: np.ndarray, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Inputs float32 [n, c, h, width] and values float32 [n, c * h * width] of the recordings ``chosen``."""
        starts = generator.integers(0, self.x.shape[3] - self.width + 1, len(chosen))
        pairs = zip(chosen, starts, strict=True)
        out = torch.stack([self.x[index, ..., start : start + self.width] for index, start in pairs])
        return out, as_on_board(out)


def loudness(x: Tensor, rate: int) -> Tensor:
    """A-weighted level of every frame of clips [n, 1, 1, samples] in dB, [n, frames] (IEC 61672-1, annex E)."""
    frames = functional.pad(x[:, 0, 0], (0, -x.shape[3] % _FRAME)).unflatten(1, (-1, _FRAME))
    f2 = torch.fft.rfftfreq(_FRAME, 1 / rate, device=x.device).to(torch.float64) ** 2
    a = 12194.0**2 * f2**2 / ((f2 + 20.6**2) * ((f2 + 107.7**2) * (f2 + 737.9**2)).sqrt() * (f2 + 12194.0**2))
    weights = (a**2).to(torch.float32)
    levels = [torch.fft.rfft(part).abs().square() @ weights for part in frames.split(64)]
    return 10 * torch.log10(torch.cat(levels).clamp(min=10 ** (_AUDIBLE_DB / 10)))


def _turned(images: Tensor, degrees: Tensor, padding: str) -> Tensor:
    """Images turned around their centres, each by its own angle; pixels are those that are nearest."""
    height, width = images.shape[2:]
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    zero, ratio = torch.zeros_like(cos), height / width
    rows = [torch.stack([cos, -sin * ratio, zero], 1), torch.stack([sin / ratio, cos, zero], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    turned = functional.grid_sample(images - _BLACK, grid, mode="nearest", padding_mode=padding, align_corners=False)
    return turned + _BLACK


def _tilted(sound: Tensor, a: float) -> Tensor:
    """A sound [samples] filtered by 1 - a/z, at the energy that it had."""
    filtered = sound.clone()
    filtered[1:].sub_(sound[:-1], alpha=a)
    return filtered.mul_(sound.norm() / filtered.norm().clamp(min=1e-6))


def _mixing_factor(share: float, level: float, other_level: float) -> float:
    """Weight of the first sound so that it is heard as ``share`` of both (arXiv 1711.10282, equation 2)."""
    ratio = (1 - share) / max(share, 1e-6)
    return float(1 / (1 + 10 ** ((level - other_level) / 20) * ratio))

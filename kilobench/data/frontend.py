# SPDX-License-Identifier: Apache-2.0
"""Log-mel spectrograms and cepstra in integers: to the bit what hardware/kernels/logmel_s16.c makes of the same sound.

Mel bands and cepstra are those of speech recognition (Davis and Mermelstein, IEEE TASSP 28(4), 1980). A frame's samples are the
real and imaginary parts of half as many complex numbers, whose Fourier transform is unravelled into that of the frame (Sorensen
et al., Real-valued fast Fourier transform algorithms, IEEE TASSP 35(6), 1987). docs/arithmetic.md has every formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from kilobench.contracts import Frontend, UserError
from kilobench.data.spectrogram import htk_mel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Parts = tuple[NDArray[np.float64], NDArray[np.float64]]
    """Real and imaginary: whole numbers below 2**53, which float64 holds, and vector units are fastest at."""

MOST_BINS = 256
"""Of a segment: sums of halves of their powers have 32 bits."""
_LOG_STEPS = 16
_GAIN_BITS = 20
_COSINE_BITS = 14
_FRAMES = 128
"""At a time, so that what is made of them stays in a core's cache."""


@dataclass(frozen=True)
class Tables:
    """The constants of a front end, in the types and the order in which kernels read them."""

    window: NDArray[np.int16]
    """Hann's, 0 to frame / 2: it is symmetric."""
    sine: NDArray[np.int16]
    """Of a turn in as many steps as the transform has points."""
    first: int
    """The first bin, a frequency of the transform, that lies in a band."""
    counts: NDArray[np.uint16]
    """Bins of every segment: between two neighbouring corners of bands, one more than bands."""
    weights: NDArray[np.uint8]
    """Of every bin of the segments in the band that rises in it, in 256ths; the rest is that in the one that falls."""
    log: NDArray[np.uint16]
    """1024 log2(1 + i / 16)."""
    cosine: NDArray[np.int16]
    """Of cepstra [coefficients, bands]; empty for bands."""
    gain: int
    offset: int
    """Of logarithms to 16ths of codes, both with 16 more bits: a code is what decibels say, from 0 to 255."""


def features(frontend: Frontend, sound: NDArray[np.int16]) -> NDArray[np.uint8]:
    """What boards make of sounds [n, samples]: [n, frames, values]."""
    import numpy as np

    frames = frontend.shape(sound.shape[1])[1]
    windows = np.lib.stride_tricks.sliding_window_view(sound, frontend.frame, axis=1)[:, :: frontend.hop][:, :frames]
    flat = np.empty((len(sound) * frames, frontend.values), dtype=np.uint8)
    for start in range(0, len(flat), _FRAMES):
        places = np.divmod(np.arange(start, min(start + _FRAMES, len(flat))), frames)
        flat[start : start + _FRAMES] = _codes(frontend, _levels(frontend, *_spectrum(frontend, windows[places])))
    return flat.reshape(len(sound), frames, frontend.values)


@cache
def tables(frontend: Frontend) -> Tables:
    """Its constants. Raises UserError for bands that are too narrow for the transform, or too wide for the kernel."""
    import numpy as np

    turn = 2 * np.pi * np.arange(frontend.points) / frontend.points
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frontend.frame // 2 + 1) / frontend.frame)
    first, counts, weights = _segments(frontend)
    gain, offset = _scale(frontend)
    return Tables(
        window=np.rint(32767 * hann).astype(np.int16),
        sine=np.rint(32767 * np.sin(turn)).astype(np.int16),
        first=first,
        counts=counts,
        weights=weights,
        log=np.rint(1024 * np.log2(1 + np.arange(_LOG_STEPS + 1) / _LOG_STEPS)).astype(np.uint16),
        cosine=_cosines(frontend),
        gain=gain,
        offset=offset,
    )


def _segments(frontend: Frontend) -> tuple[int, NDArray[np.uint16], NDArray[np.uint8]]:
    """The first bin, bins of every segment, and their weights: triangles with straight sides on the mel scale."""
    import numpy as np

    low, high = htk_mel(np.array(frontend.hertz, dtype=np.float64))
    corners = np.linspace(low, high, frontend.bands + 2)
    bins = htk_mel(np.arange(1, frontend.points // 2) * frontend.rate / frontend.points)
    segment = np.searchsorted(corners, bins, side="right") - 1
    inside = (segment >= 0) & (segment <= frontend.bands)
    bins, segment = bins[inside], segment[inside]
    counts = np.bincount(segment, minlength=frontend.bands + 1)
    if len(empty := np.flatnonzero(counts[:-1] + counts[1:] == 0)):
        raise UserError(f"frontend: no frequency of {frontend.points} points lies in band {empty[0]}; take fewer bands")
    if counts.max() > MOST_BINS:
        raise UserError(f"frontend: a band has more than {MOST_BINS} frequencies on one side; take more bands")
    shares = (bins - corners[segment]) / (corners[segment + 1] - corners[segment])
    weights = np.clip(np.rint(256 * shares), 0, 255).astype(np.uint8)
    return 1 + int(np.flatnonzero(inside)[0]), counts.astype(np.uint16), weights


def _scale(frontend: Frontend) -> tuple[int, int]:
    """Gain and offset of the codes: 0 dB is all that a sine of 16 bits' full scale puts into the bands that it lies in."""
    import numpy as np

    low, high = frontend.decibels
    amplitude = 2.0**15 * frontend.frame / 4 * 2.0 ** (9 - _passes(frontend))
    full = 1024 * np.log2(256 * 1.5 * amplitude**2)  # a Hann window leaves a quarter of the power in each neighbour
    decibel = 1024 * np.log2(10) / 10
    gain = 255 / ((high - low) * decibel) * 2**_GAIN_BITS
    return round(gain), -round(gain * (full + low * decibel))


def _passes(frontend: Frontend) -> int:
    """Of radix 4, each of which halves."""
    return (frontend.points.bit_length() - 2) // 2


def _cosines(frontend: Frontend) -> NDArray[np.int16]:
    """The DCT-II whose first coefficient is the mean, and the others twice the amplitude of their cosine."""
    import numpy as np

    order = np.arange(frontend.coefficients)[:, None]
    cosine = np.cos(np.pi / frontend.bands * (np.arange(frontend.bands) + 0.5) * order)
    return np.rint(2.0**_COSINE_BITS / frontend.bands * np.where(order, 4, 1) * cosine).astype(np.int16)


def _spectrum(frontend: Frontend, frames: NDArray[np.int16]) -> Parts:
    """Of frames [n, samples] the bins from 1 to below half the points, [n, bins]."""
    import numpy as np

    length, points, sine = frontend.frame, frontend.points, tables(frontend).sine.astype(np.float64)
    window = tables(frontend).window[np.minimum(np.arange(length), length - np.arange(length))]
    padded = np.zeros((len(frames), points))
    padded[:, :length] = np.floor(frames * (window / 64.0))
    re, im = _transform(padded[:, 0::2], padded[:, 1::2], sine, points)
    half = points // 4 + 1  # pairs of bins k and points / 2 - k
    near, far = (np.arange(1, half), points // 2 - np.arange(1, half))
    even = re[:, near] + re[:, far], im[:, near] - im[:, far]
    odd = re[:, near] - re[:, far], im[:, near] + im[:, far]
    turned = _turned(odd, sine[near + points // 4], sine[near])
    halves = np.floor(even[0] / 2), np.floor(even[1] / 2)
    made = np.empty((2, len(frames), points // 2 - 1))
    made[0][:, near - 1], made[1][:, near - 1] = halves[0] + turned[1], halves[1] - turned[0]
    made[0][:, far - 1], made[1][:, far - 1] = halves[0] - turned[1], -halves[1] - turned[0]
    return made[0], made[1]


def _transform(re: NDArray[np.float64], im: NDArray[np.float64], sine: NDArray[np.float64], points: int) -> Parts:
    """The Fourier transform of [n, points / 2]: passes of radix 4, which halve, after one of radix 2 where need be."""
    import numpy as np

    size = points // 2
    bits = size.bit_length() - 1
    order = np.array([int(f"{place:0{bits}b}"[::-1], 2) for place in range(size)])
    re, im, span = re[:, order], im[:, order], 1
    if bits % 2:
        pairs = [part.reshape(-1, size // 2, 2) for part in (re, im)]
        re, im = (np.stack([p[..., 0] + p[..., 1], p[..., 0] - p[..., 1]], axis=-1).reshape(-1, size) for p in pairs)
        span = 2
    while span < size:
        angles = np.arange(span) * (points // (4 * span))
        legs = list(zip(_legs(re, span), _legs(im, span), strict=True))
        turned = [_twiddled(leg, angles * times, sine, points) for leg, times in zip(legs, (0, 2, 1, 3), strict=True)]
        re, im = _joined(turned, len(re), size)
        span *= 4
    return re.reshape(-1, size), im.reshape(-1, size)


def _legs(part: NDArray[np.float64], span: int) -> list[NDArray[np.float64]]:
    """The four that every butterfly joins, [n, blocks, span] each."""
    blocks = part.reshape(len(part), -1, 4, span)
    return [blocks[:, :, leg] for leg in range(4)]


def _twiddled(leg: Parts, angles: NDArray[np.int64], sine: NDArray[np.float64], points: int) -> Parts:
    """Half of it, turned back by angles; what is not to be turned is halved exactly."""
    import numpy as np

    if not angles.any():
        return np.floor(leg[0] / 2), np.floor(leg[1] / 2)
    re, im = _turned(leg, sine[angles + points // 4], sine[angles])
    re[..., 0], im[..., 0] = np.floor(leg[0][..., 0] / 2), np.floor(leg[1][..., 0] / 2)
    return re, im


def _turned(parts: Parts, cosine: NDArray[np.float64], sine: NDArray[np.float64]) -> Parts:
    """(re + i im) (cos - i sin) / 2, each product rounded down."""
    import numpy as np

    (re, im), cosine, sine = parts, cosine / 65536, sine / 65536
    return np.floor(re * cosine) + np.floor(im * sine), np.floor(im * cosine) - np.floor(re * sine)


def _joined(legs: list[Parts], count: int, size: int) -> Parts:
    """Butterflies of radix 4, whose legs are in the order of reversed bits."""
    import numpy as np

    (a, b, c, d) = legs
    sums = a[0] + b[0], a[1] + b[1], c[0] + d[0], c[1] + d[1]
    gaps = a[0] - b[0], a[1] - b[1], c[0] - d[0], c[1] - d[1]
    re = sums[0] + sums[2], gaps[0] + gaps[3], sums[0] - sums[2], gaps[0] - gaps[3]
    im = sums[1] + sums[3], gaps[1] - gaps[2], sums[1] - sums[3], gaps[1] + gaps[2]
    return np.stack(re, axis=2).reshape(count, size), np.stack(im, axis=2).reshape(count, size)


def _levels(frontend: Frontend, re: NDArray[np.float64], im: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of spectra [n, bins] the bands' logarithms as 16ths of codes, 0 to 4080, [n, bands]."""
    import numpy as np

    made, (real, imaginary) = tables(frontend), (part.astype(np.int64) for part in (re, im))
    largest = np.bitwise_or.reduce(real ^ (real >> 63) | imaginary ^ (imaginary >> 63), axis=1, keepdims=True)
    shift = np.maximum(0, _bits(largest) - 15)
    power = np.square(real >> shift) + np.square(imaginary >> shift)
    power = power[:, made.first - 1 : made.first - 1 + len(made.weights)]
    ends = np.cumsum(made.counts, dtype=np.int64)
    whole, rising = (_between(sums, ends) for sums in (power, power * made.weights))
    energy = rising[:, :-1] + 256 * whole[:, 1:] - rising[:, 1:]
    codes = (_log2(energy, made.log) + np.where(energy > 0, 2048 * shift, 0)) * made.gain + made.offset
    return np.clip(codes >> (_GAIN_BITS - 4), 0, 16 * 255)


def _between(values: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sums of segments that end there."""
    import numpy as np

    sums = np.pad(values.cumsum(axis=1), ((0, 0), (1, 0)))[:, ends]
    return np.diff(sums, axis=1, prepend=0)


def _bits(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those that a number below 2**52 needs."""
    import numpy as np

    return np.frexp(values.astype(np.float64))[1].astype(np.int64)


def _log2(values: NDArray[np.int64], table: NDArray[np.uint16]) -> NDArray[np.int64]:
    """1024 log2, a straight line between every two numbers of the table; 0 of 0."""
    import numpy as np

    whole = np.maximum(_bits(values) - 1, 0)
    rest = np.where(whole > 16, values >> np.maximum(whole - 16, 0), values << np.maximum(16 - whole, 0)) & 0xFFFF
    rest[values == 0] = 0
    place, between, line = rest >> 12, rest & 0xFFF, table.astype(np.int64)
    return 1024 * whole + line[place] + ((line[place + 1] - line[place]) * between + 2048 >> 12)


def _codes(frontend: Frontend, levels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Bands as they are, or their cepstra about 128, rounded to 8 bits."""
    import numpy as np

    if not frontend.coefficients:
        return (levels + 8 >> 4).astype(np.uint8)
    bits = _COSINE_BITS + 4
    sums = (levels - 2048) @ tables(frontend).cosine.astype(np.int64).T
    return np.clip((sums + (1 << bits - 1) >> bits) + 128, 0, 255).astype(np.uint8)

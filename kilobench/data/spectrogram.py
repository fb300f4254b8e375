# SPDX-License-Identifier: Apache-2.0
"""Spectrograms and their mel bands, from which features of sounds are made.

In NumPy and float64, so that the same sound gives the same features whatever is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LINEAR_HZ, _STEP_HZ, _LOG_STEP = 1000.0, 200 / 3, 6.4
"""Slaney's scale: bands of equal width up to 1 kHz, above it 27 of them are a factor of 6.4."""


def magnitudes(sound: NDArray[np.float32], length: int, stride: int, points: int) -> NDArray[np.float64]:
    """The spectrum of every frame of a sound [samples], from 0 Hz to half the rate: [frames, points / 2 + 1].

    Frames of ``length`` samples lie within the sound as a whole, ``stride`` samples apart, under a periodic Hann window;
    ``points`` are those of the Fourier transform, which zeros fill up.
    """
    import numpy as np

    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(sound, dtype=np.float64), length)[::stride]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    return np.abs(np.fft.rfft(frames * hann, points))


def triangles(corners: NDArray[np.float64], bins: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of every bin in every band, [bins, bands]: band i rises from corner i to i + 1 and falls to i + 2.

    Corners and bins are places on the scale on which the sides are straight.
    """
    import numpy as np

    places = bins[:, None]
    rising = (places - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - places) / (corners[2:] - corners[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def htk_mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mel scale of HTK, 1127 ln(1 + f / 700 Hz) (Young et al., The HTK Book, equation 5.13)."""
    import numpy as np

    return np.asarray(1127 * np.log1p(hertz / 700))


def slaney_bands(bands: int, points: int, rate: int) -> NDArray[np.float64]:
    """The share of every bin of a spectrum in every mel band from 0 Hz to half the rate, [points / 2 + 1, bands].

    Bands of equal width on the scale of Slaney's Auditory Toolbox (Interval Research 1998-010), with straight sides in hertz,
    each of the area of 1 Hz.
    """
    import numpy as np

    corners = _hertz(np.linspace(0, _mel(rate / 2), bands + 2))
    shares = triangles(corners, np.linspace(0, rate / 2, points // 2 + 1))
    return shares * 2 / (corners[2:] - corners[:-2])


def _mel(hertz: float) -> float:
    """Of a frequency above where the scale is linear, or at it."""
    import numpy as np

    return float(_LINEAR_HZ / _STEP_HZ + 27 * np.log(hertz / _LINEAR_HZ) / np.log(_LOG_STEP))


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    above = mel - _LINEAR_HZ / _STEP_HZ
    return np.where(above < 0, mel * _STEP_HZ, _LINEAR_HZ * _LOG_STEP ** (above / 27))

# SPDX-License-Identifier: Apache-2.0
"""Mel-frequency cepstral coefficients, as keyword spotters take them (Davis and Mermelstein, IEEE TASSP 28(4), 1980).

With the constants of MLPerf Tiny's keyword spotting (Banbury et al., arXiv 2106.07597, section 4.1) and what TensorFlow's
documentation of ``tf.signal`` (``stft``, ``linear_to_mel_weight_matrix``, ``mfccs_from_log_mel_spectrograms``) says that
these functions compute. In NumPy and float64, so that the same sound gives the same coefficients whatever is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilobench.data.spectrogram import htk_mel, magnitudes, triangles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW_S = 0.030
STRIDE_S = 0.020
MEL_BANDS = 40
MEL_HZ = (20.0, 4000.0)
_FLOOR = 1e-6
"""Added to every band, so that silence has a logarithm."""


def mfcc(sound: NDArray[np.float32], rate: int, coefficients: int) -> NDArray[np.float32]:
    """The first coefficients of every frame of a sound [samples], [frames, coefficients].

    Frames are 30 ms long, 20 ms apart, and lie within the sound as a whole: 1 s has 49. Magnitudes, not powers, of a
    periodic Hann window's spectrum, 40 bands from 20 to 4000 Hz, the natural logarithm, a DCT-II.
    """
    import numpy as np

    length, stride = round(WINDOW_S * rate), round(STRIDE_S * rate)
    points = 1 << (length - 1).bit_length()
    bands = np.log(magnitudes(sound, length, stride, points) @ mel_bands(points // 2 + 1, rate) + _FLOOR)
    return np.asarray(bands @ _cosines(coefficients), dtype=np.float32)


def peak_normalised(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """A sound divided by its largest sample, as MLPerf Tiny's is: the largest, not that of the largest magnitude.

    So what is larger below zero than above is less than -1. A sound that never is above zero stays as it is.
    """
    import numpy as np

    peak = sound.max()
    return np.asarray(sound / peak if peak > 0 else sound, dtype=np.float32)


def mel_bands(bins: int, rate: int) -> NDArray[np.float64]:
    """The share of every bin of a spectrum from 0 Hz to half the rate in every band, [bins, MEL_BANDS].

    Triangles that are equally wide, and straight, on the mel scale of HTK. The bin of 0 Hz is in none.
    """
    import numpy as np

    low, high = htk_mel(np.array(MEL_HZ))
    corners = np.linspace(low, high, MEL_BANDS + 2)
    bands = triangles(corners, htk_mel(np.linspace(0, rate / 2, bins)))
    bands[0] = 0
    return bands


def _cosines(coefficients: int) -> NDArray[np.float64]:
    """The DCT-II, [MEL_BANDS, coefficients], scaled by sqrt(2 / MEL_BANDS), coefficient 0 too (The HTK Book, equation 5.14)."""
    import numpy as np

    phase = np.pi / MEL_BANDS * (np.arange(MEL_BANDS) + 0.5)
    return np.sqrt(2 / MEL_BANDS) * np.cos(phase[:, None] * np.arange(coefficients))

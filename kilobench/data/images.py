# SPDX-License-Identifier: Apache-2.0
"""Photographs: decoding of JPEG files, at the size that they have to have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kilobench.contracts import UserError
from kilobench.extras import needed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def picture(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """A JPEG file of this very size as pixels, [3, height, width]: red, green, blue; what is grey has three equal ones.

    Raises UserError for any other file, size or colours (CMYK), and for one that is damaged or cut short.
    """
    import numpy as np

    try:
        from PIL import Image
    except ImportError:
        raise needed("train", "reading photographs") from None
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            if image.size != (width, height):
                found = " x ".join(map(str, image.size))
                raise UserError(f"{path.name} is {found} pixels large, not {width} x {height}")
            if image.mode not in ("RGB", "L"):
                raise UserError(f"{path.name} has colours of {image.mode}, not red, green and blue")
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise UserError(f"{path.name} is no JPEG file that can be decoded") from None
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))

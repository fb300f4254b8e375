# SPDX-License-Identifier: Apache-2.0
"""What tasks share, as ``from kilobench import data``: sources, damage reports, arrays on disk, sound, splits."""

from kilobench.data.arrays import Create, as_pixels, cached_arrays, code_key, digest, file_digests, forget_digests, rows
from kilobench.data.audio import decode, decoded, loudest, normalise, repeated, sound_files, window
from kilobench.data.damage import Damage, Damaged, Incomplete, lacking, partial_allowed
from kilobench.data.sources import fetched, present
from kilobench.data.splits import (
    audio_split,
    copied_from_test,
    copies,
    require_classes,
    validation,
    without_copies,
)
from kilobench.data.tables import table, text, whole

__all__ = [
    "Create",
    "Damage",
    "Damaged",
    "Incomplete",
    "as_pixels",
    "audio_split",
    "cached_arrays",
    "code_key",
    "copied_from_test",
    "copies",
    "decode",
    "decoded",
    "digest",
    "fetched",
    "file_digests",
    "forget_digests",
    "lacking",
    "loudest",
    "normalise",
    "partial_allowed",
    "present",
    "repeated",
    "require_classes",
    "rows",
    "sound_files",
    "table",
    "text",
    "validation",
    "whole",
    "window",
    "without_copies",
]

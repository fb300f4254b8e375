# SPDX-License-Identifier: Apache-2.0
"""What tasks share, as ``from kilobench import data``: sources, damage reports, arrays on disk, sound, images, splits."""

from kilobench.data.arrays import Create, as_pixels, cached_arrays, code_key, digest, file_digests, forget_digests, rows
from kilobench.data.audio import decode, decoded, loudest, normalise, repeated, sound_files, transcoded, window
from kilobench.data.damage import Damage, Damaged, Incomplete, lacking, partial_allowed
from kilobench.data.images import picture
from kilobench.data.mfcc import mfcc, peak_normalised
from kilobench.data.sources import fetched, present
from kilobench.data.spectrogram import magnitudes, slaney_bands
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
    "magnitudes",
    "mfcc",
    "normalise",
    "partial_allowed",
    "peak_normalised",
    "picture",
    "present",
    "repeated",
    "require_classes",
    "rows",
    "slaney_bands",
    "sound_files",
    "table",
    "text",
    "transcoded",
    "validation",
    "whole",
    "window",
    "without_copies",
]

# SPDX-License-Identifier: Apache-2.0
"""The emitted C compiled for the host: the accuracy of a model is that of this library."""

from __future__ import annotations

import ctypes
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from kilobench.closure import digest_of, hashed
from kilobench.files import intact, write_kept
from kilobench.paths import cache_dir, hardware_dir
from kilobench.scratch import temporary_folder
from kilobench.toolchain import toolchain_name, zig

FLAGS = [
    "-O3",
    "-g",
    "-march=native",
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffp-contract=off",
    "-fPIC",
]
_INCLUDES = [f"-I{hardware_dir() / name}" for name in ("kernels", "firmware")]
_OF_BOARDS = ("main.c", "protocol.c", "libc.c")
"""Firmware that the host has no use for."""


class _Tensor(ctypes.Structure):
    """kb_tensor_t of hardware/kernels/kb_model.h."""

    _fields_ = [
        ("offset", ctypes.c_uint32),
        ("bytes", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("dtype", ctypes.c_int),
        ("scale", ctypes.c_float),
        ("zero_point", ctypes.c_int32),
    ]


class _Description(ctypes.Structure):
    """kb_model_t of hardware/kernels/kb_model.h."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("digest", ctypes.c_char_p),
        ("ops", ctypes.c_uint32),
        ("arena_bytes", ctypes.c_uint32),
        ("input", _Tensor),
        ("outputs", ctypes.POINTER(_Tensor)),
        ("output_count", ctypes.c_uint32),
    ]


def _kernels() -> list[Path]:
    """All that models have in common as one object for this machine, made once and kept in the cache; its sources on Windows,
    whose linker makes no such object.
    """
    folders = [hardware_dir() / name for name in ("kernels", "firmware", "firmware/ports/host")]
    files = [file for folder in folders for file in sorted(folder.glob("*.[ch]"))]
    sources = [file for file in files if file.suffix == ".c" and file.name not in _OF_BOARDS]
    if os.name == "nt":
        return sources
    name = hashed(digest_of(files), FLAGS, toolchain_name("zig"), _processor())
    path = cache_dir() / "host" / f"{name}.o"
    if not intact(path):
        with temporary_folder() as scratch:
            made, flags = scratch / "kernels.o", [*FLAGS, "-r", "-nostdlib", *_INCLUDES]
            zig("cc", *flags, *map(str, sources), output=made, what="the kernels for the host")
            write_kept(path, made.read_bytes())
    return [path]


@cache
def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features"))))


_DTYPES = {0: np.float32, 1: np.int8, 2: np.uint32, 3: np.int16, 4: np.uint8, 5: np.int32}
"""By kb_dtype."""


class HostModel:
    """A model folder made by kilobench.compile.emit, compiled and loaded; plug-ins' kernels are in it."""

    def __init__(self, folder: Path) -> None:
        library = folder / f"host.{uuid4().hex}.so"  # a name loaded before would give the library of then
        sources = map(str, (*sorted(folder.glob("*.c")), *_kernels()))
        flags = (*FLAGS, "-shared", *_INCLUDES, f"-I{folder}")
        zig("cc", *flags, *sources, output=library, what="the model for the host")
        self._library = ctypes.CDLL(str(library))
        with suppress(PermissionError):  # Windows keeps what is loaded: it goes with the process's temporary files
            library.unlink()
        self._library.kb_host_model.restype = ctypes.POINTER(_Description)
        self._model = self._library.kb_host_model().contents
        self._outputs = [self._model.outputs[i] for i in range(self._model.output_count)]

    def run(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """The first output [n, values], raw, of inputs [n, h, w, c] as the model takes them."""
        return self.run_all(inputs)[0]

    def run_all(self, inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """All outputs, each [n, values], raw, of inputs [n, h, w, c] as the model takes them, on all cores."""
        inputs = np.ascontiguousarray(inputs)
        sizes = [output.bytes for output in self._outputs]
        outputs = np.empty((len(inputs), sum(sizes)), dtype=np.uint8)
        chunks = np.array_split(np.arange(len(inputs)), os.cpu_count() or 1)

        def run_chunk(chunk: NDArray[np.int64]) -> None:
            if len(chunk):
                x, y = inputs[chunk[0] : chunk[-1] + 1], outputs[chunk[0] : chunk[-1] + 1]
                self._library.kb_host_run(self._arena(), _pointer(x), _pointer(y), ctypes.c_uint32(len(chunk)))

        with ThreadPoolExecutor() as pool:
            list(pool.map(run_chunk, chunks))
        parts = np.split(outputs, np.cumsum(sizes)[:-1], axis=1)
        return [
            np.ascontiguousarray(part).view(_DTYPES[output.dtype])
            for part, output in zip(parts, self._outputs, strict=True)
        ]

    def checksums(self, x: NDArray[Any]) -> list[tuple[int, int]]:
        """Operator and CRC-32 of everything made on the way for one input [h, w, c], in order: whole maps or strips."""
        x, arena, capacity = np.ascontiguousarray(x), self._arena(), 0
        while True:
            ops, values = (np.zeros(capacity, dtype=np.uint32) for _ in range(2))
            count = self._library.kb_host_checksums(
                arena, _pointer(x), ctypes.c_uint32(capacity), _pointer(ops), _pointer(values)
            )
            if count <= capacity:
                return list(zip(ops.tolist(), values.tolist(), strict=True))
            capacity = count

    def _arena(self) -> ctypes.Array[ctypes.c_double]:
        """Fresh memory, aligned to 16 bytes by its size (malloc)."""
        return (ctypes.c_double * (self._model.arena_bytes // 8 + 64))()


def _pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)

# SPDX-License-Identifier: Apache-2.0
"""Counts the cycles of an emulated board: a hook at every basic block adds its cost by the timing table of the core."""

from __future__ import annotations

import ctypes
import hashlib
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import unicorn.unicorn_py3.unicorn as binding
from unicorn import arm_const, unicorn_const

from kilobench.boards import Core
from kilobench.contracts import CellError
from kilobench.device.blocks import MISPREDICTED, BlockCost
from kilobench.device.timing import block_cost
from kilobench.files import intact, write_kept
from kilobench.paths import cache_dir
from kilobench.plugins.cores import architecture
from kilobench.toolchain import zig

_ALONE = [] if sys.platform == "darwin" else ["-nostdlib"]
"""Without the C library, which zig would compile first; of macOS every library needs it."""
_PAGE = 4096
_ASIDE = {True: 1 << 32, False: 1 << 31}
"""By whether a core is Arm's, how much higher than a flash its data is read: unicorn's RISC-V has addresses of 32 bits."""
_DECODE = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))


class PythonCounter:
    """The block hook in Python: slow, the same sums as block_hook.c, and ``spent``: half cycles by the address of a block."""

    def __init__(self, engine: Any, timing: str, stop: Callable[[], None]) -> None:
        self.spent: Counter[int] = Counter()
        self._costs: dict[tuple[int, int], BlockCost] = {}
        self._half_cycles, self._instructions, self._expected = 0, 0, -1
        self._ended_in, self._remembered, self._predicted = 0, 0, False
        self._wanted = False
        self._deadline = 0

        def hook(engine: Any, address: int, size: int, data: object) -> None:
            if self._wanted or self._half_cycles >= self._deadline:
                self._wanted = False
                stop()
                return
            cost = self._costs.get((address, size))
            if cost is None:
                cost = block_cost(bytes(engine.mem_read(address, size)), address, timing)
                self._costs[address, size] = cost
            follows = address == self._expected
            taken = cost.always + self._on_the_way(follows, cost.entry)
            self._half_cycles += taken
            self.spent[address] += taken
            self._instructions += cost.instructions
            self._expected, self._ended_in = address + size, cost.backward
            self._predicted = cost.backward == self._remembered and (follows or not cost.late)

        engine.hook_add(unicorn_const.UC_HOOK_BLOCK, hook)

    def _on_the_way(self, follows: bool, entry: int) -> int:
        """Half cycles that the way to a block costs: a branch that was predicted costs them where it is not taken."""
        if not self._ended_in:
            return 0 if follows else entry
        predicted = self._predicted
        if predicted == follows:
            self._remembered = 0 if follows else self._ended_in
        if follows:
            return MISPREDICTED if predicted else 0
        return 0 if predicted else entry

    def half_cycles(self) -> int:
        """So far."""
        return self._half_cycles

    def align(self) -> None:
        """To a whole cycle."""
        self._half_cycles += self._half_cycles & 1

    def instructions(self) -> int:
        """So far."""
        return self._instructions

    def deadline(self, half_cycles: int) -> None:
        """Call back before the first block from there on."""
        self._deadline = half_cycles

    def interrupt(self) -> None:
        """Call back before the next block."""
        self._wanted = True

    def close(self) -> None:
        """Nothing to free."""


class NativeCounter:
    """The block hook in C, compiled once; it calls back here to price a block that it has not seen.

    Where there are ``waits``, those for the flash are counted, too (kilobench.device.memory_model.waits): a flash that begins
    with ``content``.
    """

    def __init__(
        self, engine: Any, core: Core, stop: Callable[[], None], waits: Sequence[int] = (), content: bytes = b""
    ) -> None:
        def decode(address: int, size: int, cost: Any) -> None:
            if size == 0:
                stop()
                return
            try:
                priced = block_cost(bytes(engine.mem_read(address, size)), address, core.timing)
            except ValueError:
                return  # unicorn itself stops at bytes that are no instructions
            cost[0], cost[1], cost[2] = priced.always, priced.entry, priced.instructions
            cost[3], cost[4] = priced.backward, int(priced.late)

        self._library = _hook_library()
        self._decode = _DECODE(decode)
        self._memory = ctypes.create_string_buffer(self._library.kb_counter_bytes())
        self._counter = ctypes.cast(self._memory, ctypes.c_void_p)
        self._library.kb_counter_begin(self._counter, self._decode)
        self._hook(engine, unicorn_const.UC_HOOK_BLOCK, self._library.kb_block)
        if waits:
            self._count_waits(engine, waits, content, thumb=architecture(core) == "ARM")

    def _count_waits(self, engine: Any, waits: Sequence[int], content: bytes, *, thumb: bool) -> None:
        """Data of the flash, which kb_page finds elsewhere than its instructions, where no memory is, is read by kb_read."""
        origin, size = waits[:2]
        aside = _ASIDE[thumb]
        numbers, self._content = (ctypes.c_uint32 * len(waits))(*waits), content
        write = ctypes.cast(binding.uclib.uc_reg_write, ctypes.c_void_p) if thumb else None
        self._library.kb_counter_flash(
            self._counter, numbers, content, len(content), ctypes.c_uint64(aside), write, arm_const.UC_ARM_REG_EPSR
        )
        engine.ctl_set_tlb_mode(unicorn_const.UC_TLB_VIRTUAL)
        self._hook(engine, unicorn_const.UC_HOOK_TLB_FILL, self._library.kb_page)
        start, pages = ctypes.c_uint64(aside + origin), ctypes.c_size_t(-(-size // _PAGE) * _PAGE)
        read = ctypes.cast(self._library.kb_read, ctypes.c_void_p)
        _require(binding.uclib.uc_mmio_map(engine._uch, start, pages, read, self._counter, None, None))

    def _hook(self, engine: Any, kind: int, function: Any) -> None:
        """At all addresses."""
        handle, everywhere = ctypes.c_size_t(), (ctypes.c_uint64(1), ctypes.c_uint64(0))
        callback = ctypes.cast(function, ctypes.c_void_p)
        _require(
            binding.uclib.uc_hook_add(engine._uch, ctypes.byref(handle), kind, callback, self._counter, *everywhere)
        )

    def half_cycles(self) -> int:
        """So far."""
        return int(self._library.kb_counter_half_cycles(self._counter))

    def align(self) -> None:
        """To a whole cycle."""
        self._library.kb_counter_align(self._counter)

    def weights(self, begin: int, size: int) -> None:
        """Where they lie."""
        self._library.kb_counter_weights(self._counter, begin, size)

    def weights_waits(self) -> int:
        """Half cycles so far that reads of weights waited for the flash."""
        return int(self._library.kb_counter_weights_waits(self._counter))

    def instructions(self) -> int:
        """So far."""
        return int(self._library.kb_counter_instructions(self._counter))

    def deadline(self, half_cycles: int) -> None:
        """Call back before the first block from there on."""
        self._library.kb_counter_deadline(self._counter, ctypes.c_uint64(half_cycles))

    def interrupt(self) -> None:
        """Call back before the next block."""
        self._library.kb_counter_interrupt(self._counter)

    def close(self) -> None:
        """Nothing to free."""


def _require(status: int) -> None:
    if status != unicorn_const.UC_ERR_OK:
        raise RuntimeError(f"unicorn refuses the native hook: {status}")


def new_counter(
    engine: Any,
    core: Core,
    stop: Callable[[], None],
    native: bool | None,
    waits: Sequence[int] = (),
    content: bytes = b"",
) -> PythonCounter | NativeCounter:
    """A counter by a core's timing table on an engine of unicorn; ``stop`` is called between two blocks, when that is wanted.

    ``native`` chooses the compiled one (None: where it can be compiled), which alone can count ``waits`` for a flash of
    some ``content``.
    """
    if native is False:
        return PythonCounter(engine, core.timing, stop)
    try:
        return NativeCounter(engine, core, stop, waits, content)
    except (CellError, OSError, AttributeError, RuntimeError):
        if native or waits:
            raise
        return PythonCounter(engine, core.timing, stop)


@cache
def _hook_library() -> ctypes.CDLL:
    """block_hook.c, compiled by the zig wheel into the cache."""
    source = Path(__file__).with_name("block_hook.c")
    folder = cache_dir() / "hooks"
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}.so"
    if not intact(library):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / "hook.so"
            flags = ["-O2", "-shared", "-fPIC", *_ALONE]
            zig("cc", *flags, str(source), output=made, what="the emulator's block hook")
            write_kept(library, made.read_bytes())
    loaded = ctypes.CDLL(str(library))
    for name in ("kb_counter_half_cycles", "kb_counter_instructions", "kb_counter_weights_waits"):
        getattr(loaded, name).restype = ctypes.c_uint64
    return loaded

"""An emulated board: the firmware's own machine code, counted in cycles by the timing model.

unicorn executes; a hook at every basic block adds its cost. The peripherals are a two-register UART (see
hardware/firmware/ports/emulated/port.c), DWT->CYCCNT on all but Cortex-M0+, and SysTick with its exception, which is taken
between two basic blocks and whose entry and exit (some 30 cycles in 16.8 million) cost nothing. A read of a counter sees the
cycles up to and including the basic block that reads it, rounded up to whole ones.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import unicorn.unicorn_py3.unicorn as binding
from elftools.elf.elffile import ELFFile
from unicorn import arm_const, unicorn_const

from kilobench.api import Board, CellError
from kilobench.device.build import enlarged as enlarged_board
from kilobench.device.timing import Table, block_cost
from kilobench.paths import cache_dir
from kilobench.plugins.boards import require_emulated
from kilobench.toolchain import zig

_PAGE = 4096
_READ_WRITE = unicorn_const.UC_PROT_READ | unicorn_const.UC_PROT_WRITE
_UART = 0x4FFFF000
_SYSTEM = 0xE0000000
_CYCCNT, _SYST_CSR, _SYST_RVR, _SYST_CVR = 0xE0001004, 0xE000E010, 0xE000E014, 0xE000E018
_ICSR, _PENDSTSET = 0xE000ED04, 1 << 26
_CPACR, _FPU = 0xE000ED88, 0xF << 20
_SYSTICK_VECTOR, _EXCEPTION_RETURN = 15, 0xFFFFFFF9
_STACKED = (
    *(arm_const.UC_ARM_REG_R0, arm_const.UC_ARM_REG_R1, arm_const.UC_ARM_REG_R2, arm_const.UC_ARM_REG_R3),
    *(arm_const.UC_ARM_REG_R12, arm_const.UC_ARM_REG_LR, arm_const.UC_ARM_REG_PC, arm_const.UC_ARM_REG_XPSR),
)
_MODELS = {
    "cortex-m0": arm_const.UC_CPU_ARM_CORTEX_M0,
    "cortex-m0plus": arm_const.UC_CPU_ARM_CORTEX_M0,
    "cortex-m3": arm_const.UC_CPU_ARM_CORTEX_M3,
    "cortex-m33": arm_const.UC_CPU_ARM_CORTEX_M33,
    "cortex-m4f": arm_const.UC_CPU_ARM_CORTEX_M4,
    "cortex-m7": arm_const.UC_CPU_ARM_CORTEX_M7,
}
_MAX_CYCLES = 50_000_000_000
_DECODE = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))


class EmulatedBoard:
    """Firmware that runs whenever its output is waited for; a kilobench.device.protocol.Transport.

    ``enlarged`` gives the board 16 MiB of flash and RAM, for programs that do not fit it. ``native`` chooses the compiled
    hook (None: where it can be compiled); counts are the same. Raises CellError, naming PC and symbol, when the firmware
    touches memory that the board does not have, executes no instruction, sleeps, or runs for more than ``max_cycles``.
    """

    def __init__(
        self,
        elf: Path,
        board: Board,
        *,
        enlarged: bool = False,
        max_cycles: int = _MAX_CYCLES,
        native: bool | None = None,
    ) -> None:
        require_emulated(board)
        assert board.timing
        self.label = board.name
        self._board = board
        self._memory = enlarged_board(board) if enlarged else board
        self._received = bytearray()
        self._sent = bytearray()
        self._registers: dict[int, int] = {}
        self._cyccnt_zero = self._systick_zero = 0
        self._next_tick: int | None = None
        self._exception = ""
        self._problem = ""
        self._max_cycles = max_cycles
        self._pc = 0
        self._engine: Any = binding.Uc(unicorn_const.UC_ARCH_ARM, unicorn_const.UC_MODE_THUMB)
        self._engine.ctl_set_cpu_model(_MODELS[board.core])
        self._map()
        self._load(elf)
        self._counter = _counter(self._engine, board.timing, self._stop, native)
        self._counter.deadline(2 * max_cycles)
        self._engine.hook_add(unicorn_const.UC_HOOK_INTR, self._interrupt)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._counter.close()

    @property
    def cycles(self) -> int:
        """Whole cycles since the start."""
        return self._counter.half_cycles() // 2

    @property
    def instructions(self) -> int:
        """Executed since the start, whole basic blocks."""
        return self._counter.instructions()

    def write(self, data: bytes) -> None:
        """Queue bytes for the UART."""
        self._received += data

    def readline(self, seconds: float = 0) -> bytes:
        """Run until the firmware has sent a whole line, for ``max_cycles`` at most whatever the ``seconds``."""
        while (end := self._sent.find(b"\n")) < 0:
            if not self._run():
                raise CellError(f"{self._board.name}: the firmware waits for input and sent no line")
        line = bytes(self._sent[: end + 1])
        del self._sent[: end + 1]
        return line

    def run(self) -> bytes:
        """Run until the firmware waits for input; what it has sent until then."""
        self._run()
        sent = bytes(self._sent)
        self._sent.clear()
        return sent

    def reset(self) -> bool:
        """There is no reset line."""
        return False

    def _run(self) -> bool:
        """Run until input is wanted that is not there; whether a line was sent until then."""
        while True:
            self._exception = ""
            try:
                self._engine.emu_start(self._pc | 1, 0xFFFFFFFE)
            except binding.UcError as error:
                if not self._exception:
                    self._problem = self._problem or f"{error}".split(" (")[0].lower()
            self._pc = self._engine.reg_read(arm_const.UC_ARM_REG_PC)
            if self._problem:
                raise CellError(f"{self._board.name}: {self._problem} at {self._where(self._pc)}")
            if self._exception == "enter":
                self._enter_systick()
            elif self._exception == "leave":
                self._leave_exception()
            else:
                return b"\n" in self._sent

    # Exceptions (Armv7-M ARM, B1.5.6 and B1.5.8; the basic frame)

    def _enter_systick(self) -> None:
        frame = [self._engine.reg_read(register) for register in _STACKED]
        above = self._engine.reg_read(arm_const.UC_ARM_REG_SP)
        stack = (above - 32) & ~7
        frame[-1] |= (above & 4) << 7
        self._engine.mem_write(stack, struct.pack("<8I", *frame))
        self._engine.reg_write(arm_const.UC_ARM_REG_SP, stack)
        self._engine.reg_write(arm_const.UC_ARM_REG_LR, _EXCEPTION_RETURN)
        self._pc = self._word(self._board.flash.origin + 4 * _SYSTICK_VECTOR) & ~1
        self._schedule(self._registers[_SYST_RVR])

    def _leave_exception(self) -> None:
        stack = self._engine.reg_read(arm_const.UC_ARM_REG_SP)
        frame = struct.unpack("<8I", self._engine.mem_read(stack, 32))
        for register, value in zip(_STACKED, frame, strict=True):
            self._engine.reg_write(register, value)
        self._engine.reg_write(arm_const.UC_ARM_REG_SP, stack + 32 + (frame[-1] >> 7 & 4))
        self._pc = frame[-2]

    def _schedule(self, reload: int) -> None:
        """The next SysTick exception, one period after the last."""
        self._next_tick = (self._systick_zero if self._next_tick is None else self._next_tick) + reload + 1
        self._counter.deadline(2 * min(self._next_tick, self._max_cycles))

    # Setting up

    def _map(self) -> None:
        """Flash, RAM and peripherals. Nobody hooks accesses to RAM, not even invalid ones: that would slow every store."""
        engine, flash = self._engine, self._memory.flash
        ram = sorted((r.origin, r.origin + -(-r.bytes // _PAGE) * _PAGE) for r in self._memory.ram)
        engine.mem_map(
            flash.origin, -(-flash.bytes // _PAGE) * _PAGE, unicorn_const.UC_PROT_READ | unicorn_const.UC_PROT_EXEC
        )
        for start, end in ram:
            engine.mem_map(start, end - start, _READ_WRITE)
        for start, end in zip((0, *(end for _, end in ram)), (*(start for start, _ in ram), 1 << 32), strict=True):
            engine.hook_add(unicorn_const.UC_HOOK_MEM_INVALID, self._invalid, begin=start, end=end - 1)
        engine.mmio_map(_UART, _PAGE, self._uart_read, None, self._uart_write, None)
        engine.mmio_map(_SYSTEM, 0x100000, self._system_read, None, self._system_write, None)

    def _load(self, path: Path) -> None:
        with path.open("rb") as file:
            elf = ELFFile(file)
            for segment in elf.iter_segments("PT_LOAD"):
                if segment["p_filesz"]:
                    self._engine.mem_write(segment["p_paddr"], segment.data())
            symbols = elf.get_section_by_name(".symtab").iter_symbols()  # type: ignore[union-attr]
            functions = {s["st_value"] & ~1: s.name for s in symbols if s["st_info"]["type"] == "STT_FUNC"}
        self._functions = sorted(functions.items())
        self._engine.reg_write(arm_const.UC_ARM_REG_SP, self._word(self._board.flash.origin))
        self._pc = self._word(self._board.flash.origin + 4) & ~1

    def _word(self, address: int) -> int:
        return int.from_bytes(self._engine.mem_read(address, 4), "little")

    def _where(self, pc: int) -> str:
        inside = [(start, name) for start, name in self._functions if start <= pc]
        return f"{pc:#010x} ({inside[-1][1]}+{pc - inside[-1][0]:#x})" if inside else f"{pc:#010x}"

    # What goes wrong

    def _invalid(self, engine: Any, access: int, address: int, size: int, value: int, data: object) -> bool:
        if access == unicorn_const.UC_MEM_FETCH_UNMAPPED and address == _EXCEPTION_RETURN & ~1:
            self._exception = "leave"
            return False
        kinds = {
            unicorn_const.UC_MEM_WRITE_UNMAPPED: "write to",
            unicorn_const.UC_MEM_WRITE_PROT: "write to",
            unicorn_const.UC_MEM_READ_UNMAPPED: "read from",
            unicorn_const.UC_MEM_FETCH_UNMAPPED: "jump to",
        }
        where = "which is flash," if access == unicorn_const.UC_MEM_WRITE_PROT else "where the board has no memory,"
        self._problem = f"{kinds.get(access, 'access to')} {address:#010x}, {where}"
        return False

    def _interrupt(self, engine: Any, number: int, data: object) -> None:
        self._problem = f"exception {number} (breakpoint, supervisor call or sleep)"
        engine.emu_stop()

    def _stop(self) -> None:
        """Called between two blocks, the one place where execution can be stopped and taken up again exactly."""
        if self.cycles >= self._max_cycles:
            self._problem = f"still busy after {self._max_cycles} cycles,"
        elif self._next_tick is not None and self.cycles >= self._next_tick:
            self._exception = "enter"
        self._engine.emu_stop()

    # Peripherals

    def _uart_read(self, engine: Any, offset: int, size: int, data: object) -> int:
        if offset == 0:
            return self._received.pop(0) if self._received else 0
        if offset == 4 and not self._received:
            self._counter.interrupt()
        return int(bool(self._received))

    def _uart_write(self, engine: Any, offset: int, size: int, value: int, data: object) -> None:
        if offset == 0:
            self._sent.append(value & 0xFF)

    def _system_read(self, engine: Any, offset: int, size: int, data: object) -> int:
        address = _SYSTEM + offset
        if address in (_CYCCNT, _SYST_CVR):
            self._counter.align()
        if address == _CYCCNT and self._board.timing not in ("cortex-m0", "cortex-m0plus"):
            return (self.cycles - self._cyccnt_zero) & 0xFFFFFFFF
        if address == _SYST_CVR:
            reload = self._registers.get(_SYST_RVR, 0) & 0xFFFFFF
            return reload - (self.cycles - self._systick_zero) % (reload + 1)
        if address == _ICSR:
            return _PENDSTSET if self._next_tick is not None and self.cycles >= self._next_tick else 0
        return self._registers.get(address, 0)

    def _system_write(self, engine: Any, offset: int, size: int, value: int, data: object) -> None:
        address = _SYSTEM + offset
        self._registers[address] = value & 0xFFFFFFFF
        if address == _CYCCNT:
            self._cyccnt_zero = self.cycles - value
        if address in (_SYST_CVR, _SYST_CSR):
            self._systick_zero, self._next_tick = self.cycles, None
            if self._registers.get(_SYST_CSR, 0) & 3 == 3:
                self._schedule(self._registers[_SYST_RVR])
        if address == _CPACR and value & _FPU == _FPU:
            engine.reg_write(arm_const.UC_ARM_REG_FPEXC, 1 << 30)


class _PythonCounter:
    """The block hook in Python: slow, the same sums as block_hook.c."""

    def __init__(self, engine: Any, table: Table, stop: Callable[[], None]) -> None:
        self._costs: dict[tuple[int, int], tuple[int, int, int]] = {}
        self._half_cycles, self._instructions, self._expected = 0, 0, -1
        self._wanted = False
        self._deadline = 0

        def hook(engine: Any, address: int, size: int, data: object) -> None:
            if self._wanted or self._half_cycles >= self._deadline:
                self._wanted = False
                stop()
                return
            cost = self._costs.get((address, size))
            if cost is None:
                priced = block_cost(bytes(engine.mem_read(address, size)), address, table)
                cost = self._costs[address, size] = priced.always, priced.entry, priced.instructions
            self._half_cycles += cost[0] + (0 if address == self._expected else cost[1])
            self._instructions += cost[2]
            self._expected = address + size

        engine.hook_add(unicorn_const.UC_HOOK_BLOCK, hook)

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


class _NativeCounter:
    """The block hook in C, compiled once; it calls back here to price a block that it has not seen."""

    def __init__(self, engine: Any, table: Table, stop: Callable[[], None]) -> None:
        def decode(address: int, size: int, cost: Any) -> None:
            if size == 0:
                stop()
                return
            try:
                priced = block_cost(bytes(engine.mem_read(address, size)), address, table)
            except ValueError:
                return  # unicorn itself stops at bytes that are no instructions
            cost[0], cost[1], cost[2] = priced.always, priced.entry, priced.instructions

        self._library = _hook_library()
        self._decode = _DECODE(decode)
        self._counter = ctypes.c_void_p(self._library.kb_counter_new(self._decode))
        handle = ctypes.c_size_t()
        callback = ctypes.cast(self._library.kb_block, ctypes.c_void_p)
        status = binding.uclib.uc_hook_add(
            engine._uch,
            ctypes.byref(handle),
            unicorn_const.UC_HOOK_BLOCK,
            callback,
            self._counter,
            ctypes.c_uint64(1),
            ctypes.c_uint64(0),
        )
        if status != unicorn_const.UC_ERR_OK:
            raise RuntimeError(f"unicorn refuses the native hook: {status}")

    def half_cycles(self) -> int:
        """So far."""
        return int(self._library.kb_counter_half_cycles(self._counter))

    def align(self) -> None:
        """To a whole cycle."""
        self._library.kb_counter_align(self._counter)

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
        """Free the table."""
        self._library.kb_counter_free(self._counter)


def _counter(
    engine: Any, table: Table, stop: Callable[[], None], native: bool | None
) -> _PythonCounter | _NativeCounter:
    if native is False:
        return _PythonCounter(engine, table, stop)
    try:
        return _NativeCounter(engine, table, stop)
    except (CellError, OSError, AttributeError, RuntimeError):
        if native:
            raise
        return _PythonCounter(engine, table, stop)


@cache
def _hook_library() -> ctypes.CDLL:
    """block_hook.c, compiled by the zig wheel into the cache."""
    source = Path(__file__).with_name("block_hook.c")
    folder = cache_dir() / "hooks"
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}.so"
    if not library.is_file():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / "hook.so"
            zig("cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(made), what="the emulator's block hook")
            os.replace(made, library)
    loaded = ctypes.CDLL(str(library))
    loaded.kb_counter_new.restype = ctypes.c_void_p
    loaded.kb_counter_half_cycles.restype = loaded.kb_counter_instructions.restype = ctypes.c_uint64
    return loaded

# SPDX-License-Identifier: Apache-2.0
"""An emulated board: the firmware's own machine code, counted in cycles by the timing model.

unicorn executes; a hook at every basic block adds its cost. The peripherals are a two-register UART (see
hardware/firmware/ports/emulated/port.c), DWT->CYCCNT where the core has it, and SysTick with its exception, which is taken
between two basic blocks and whose entry and exit (some 30 cycles in 16.8 million) cost nothing. A read of a counter sees the
cycles up to and including the basic block that reads it, rounded up to whole ones.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import unicorn.unicorn_py3.unicorn as binding
from unicorn import arm_const, unicorn_const

from kilobench.contracts import Board, CellError, Core, UserError
from kilobench.device import memory_model
from kilobench.device.counter import NativeCounter, new_counter
from kilobench.device.elf import read
from kilobench.plugins.boards import PERIPHERALS, require_emulated
from kilobench.plugins.spec import nearest

_PAGE = 4096
_READ_WRITE = unicorn_const.UC_PROT_READ | unicorn_const.UC_PROT_WRITE
_UART, _SYSTEM = (region.origin for region in PERIPHERALS.values())
_CYCCNT, _SYST_CSR, _SYST_RVR, _SYST_CVR = 0xE0001004, 0xE000E010, 0xE000E014, 0xE000E018
_ICSR, _PENDSTSET = 0xE000ED04, 1 << 26
_CPACR, _FPU = 0xE000ED88, 0xF << 20
_LINE_END = ord("\n")
_SYSTICK_VECTOR, _EXCEPTION_RETURN = 15, 0xFFFFFFF9
_STACKED = (
    *(arm_const.UC_ARM_REG_R0, arm_const.UC_ARM_REG_R1, arm_const.UC_ARM_REG_R2, arm_const.UC_ARM_REG_R3),
    *(arm_const.UC_ARM_REG_R12, arm_const.UC_ARM_REG_LR, arm_const.UC_ARM_REG_PC, arm_const.UC_ARM_REG_XPSR),
)
_NEVER = 0xFFFFFFFE
MAX_CYCLES = 50_000_000_000
_WATCH_CYCLES = 25_000_000
"""About a quarter of a second."""
_TRANSLATED_BYTES = 64 << 20
"""For translated code, many times what our programs take; the usual GiB does not fit a small --memory-limit."""


def cpu_model(core: Core) -> int:
    """The number of unicorn's CPU model for a core; raises UserError, with the nearest name, if unicorn has none of its name."""
    known = [name for name in vars(arm_const) if name.startswith("UC_CPU_ARM_")]
    if core.emulator not in known:
        raise UserError(f"core {core.name}: emulator: unicorn has no {core.emulator!r}{nearest(core.emulator, known)}")
    return int(getattr(arm_const, core.emulator))


class EmulatedBoard:
    """Firmware that runs whenever its output is waited for; a kilobench.device.protocol.Transport.

    ``board`` has the memory that the program was linked for (kilobench.device.build.Firmware.linked). ``native`` chooses the
    compiled hook (None: where it can be compiled); counts are the same. With ``waits`` cycles hold what the core waits for its
    flash, by the board's model of it, which needs the compiled hook. ``watch`` is told the cycles so far, several times a
    second and whenever the firmware has sent a line. Raises CellError, naming PC and symbol, when the firmware touches memory
    that the board does not have, executes no instruction, sleeps, or runs for more than ``max_cycles``.
    """

    def __init__(
        self,
        elf: Path,
        board: Board,
        *,
        max_cycles: int = MAX_CYCLES,
        native: bool | None = None,
        waits: bool = False,
        watch: Callable[[int], None] | None = None,
    ) -> None:
        require_emulated(board)
        self.label = board.name
        self._board = board
        self._received = bytearray()
        self._sent = bytearray()
        self._registers: dict[int, int] = {}
        self._cyccnt_zero = self._systick_zero = 0
        self._next_tick: int | None = None
        self._exception = ""
        self._problem = ""
        self._max_cycles = max_cycles
        self._watch, self._next_watch = watch, _WATCH_CYCLES
        self._pc, self._until = 0, _NEVER
        self._engine: Any = binding.Uc(unicorn_const.UC_ARCH_ARM, unicorn_const.UC_MODE_THUMB)
        self._engine.ctl_set_cpu_model(cpu_model(board.core))
        self._engine.ctl_set_tcg_buffer_size(_TRANSLATED_BYTES)
        self._map()
        self._load(elf)
        model = memory_model.waits(board) if waits else ()
        content = bytes(self._engine.mem_read(board.flash.origin, self._flash_used)) if model else b""
        self._counter = new_counter(self._engine, board.core.timing, self._stop, native, model, content)
        if model and isinstance(self._counter, NativeCounter):
            self._counter.weights(*self._weights)
        self._set_deadline()
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

    @property
    def weights_waits(self) -> int:
        """Cycles since the start that reads of weights waited for the flash; 0 without ``waits``."""
        return self._counter.weights_waits() // 2 if isinstance(self._counter, NativeCounter) else 0

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
        return self.sent()

    def sent(self) -> bytes:
        """What the firmware has sent and nobody has taken yet; for ``watch``, too."""
        sent = bytes(self._sent)
        self._sent.clear()
        return sent

    def now(self) -> float:
        """Seconds on the board's own clock, so that no deadline depends on how fast it is emulated."""
        return self.cycles / self._board.clock_hz

    def reset(self) -> bool:
        """There is no reset line."""
        return False

    def _run(self) -> bool:
        """Run until input is wanted that is not there; whether a line was sent until then."""
        while True:
            self._exception = ""
            try:
                self._engine.emu_start(self._pc | 1, self._until)
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
            elif self._exception == "look" and self._watch is not None:
                self._watch(self.cycles)
                self._next_watch = self.cycles + _WATCH_CYCLES
                self._set_deadline()
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
        self._set_deadline()

    def _set_deadline(self) -> None:
        """When to stop next: the limit, an exception, or a look at how far it is."""
        stops = [self._max_cycles]
        if self._next_tick is not None:
            stops.append(self._next_tick)
        if self._watch is not None:
            stops.append(self._next_watch)
        self._counter.deadline(2 * min(stops))

    # Setting up

    def _map(self) -> None:
        """Flash, RAM and peripherals. Nobody hooks accesses to RAM, not even invalid ones: that would slow every store."""
        engine, flash = self._engine, self._board.flash
        ram = sorted((r.origin, r.origin + -(-r.bytes // _PAGE) * _PAGE) for r in self._board.ram)
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
        program = read(path)
        with path.open("rb") as file:
            for address, place, size in program.image:
                file.seek(place)
                self._engine.mem_write(address, file.read(size))
        self._functions = program.functions
        weights = [(s.address, s.size) for s in program.sections if s.name == ".weights"]
        self._weights = weights[0] if weights else (0, 0)
        flash = self._board.flash
        ends = (at + size for at, _, size in program.image if flash.origin <= at < flash.origin + flash.bytes)
        self._flash_used = max(ends, default=flash.origin) - flash.origin
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
        elif self._watch is not None and self.cycles >= self._next_watch:
            self._exception = "look"
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
            if value == _LINE_END and self._watch is not None:
                self._next_watch = self.cycles
                self._set_deadline()

    def _system_read(self, engine: Any, offset: int, size: int, data: object) -> int:
        address = _SYSTEM + offset
        if address in (_CYCCNT, _SYST_CVR):
            self._counter.align()
        if address == _CYCCNT and self._board.core.counter == "dwt":
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

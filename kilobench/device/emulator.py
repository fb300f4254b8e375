# SPDX-License-Identifier: Apache-2.0
"""An emulated board: the firmware's own machine code, counted in cycles by the timing model.

unicorn executes; a hook at every basic block adds its cost. Here is what all boards have: memory, a two-register UART (see
hardware/firmware/ports/emulated/port.c), and limits. What is the architecture's own is a Machine (cortex_m.py, riscv.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import unicorn.unicorn_py3.unicorn as binding
from unicorn import unicorn_const

from kilobench.boards import Board, Core
from kilobench.contracts import CellError, UserError
from kilobench.device import memory_model
from kilobench.device.cortex_m import CortexM
from kilobench.device.counter import NativeCounter, new_counter
from kilobench.device.elf import NoProgram, read
from kilobench.device.machine import Machine
from kilobench.device.riscv import RiscV
from kilobench.plugins.boards import PERIPHERALS, require_emulated
from kilobench.plugins.cores import architecture
from kilobench.plugins.spec import nearest

_PAGE = 4096
_READ_WRITE = unicorn_const.UC_PROT_READ | unicorn_const.UC_PROT_WRITE
_UART = PERIPHERALS["the emulator's UART"].origin
_LINE_END, _NEVER = ord("\n"), 0xFFFFFFFE
MACHINES: Mapping[str, type[Machine]] = {"ARM": CortexM, "RISCV32": RiscV}
"""By architecture."""
MAX_CYCLES = 50_000_000_000
_WATCH_CYCLES = 25_000_000
"""About a quarter of a second."""
_TRANSLATED_BYTES = 64 << 20
"""For translated code, many times what our programs take; the usual GiB does not fit a small --memory-limit."""


def cpu_model(core: Core) -> int:
    """The number of unicorn's CPU model for a core; raises UserError, with the nearest name, if unicorn has none of its name."""
    made = architecture(core)
    numbers = vars(MACHINES[made].MODELS)
    known = [name for name in numbers if name.startswith(f"UC_CPU_{made}_")]
    if core.emulator not in known:
        raise UserError(f"core {core.name}: emulator: unicorn has no {core.emulator!r}{nearest(core.emulator, known)}")
    return int(numbers[core.emulator])


class EmulatedBoard:
    """Firmware that runs whenever its output is waited for; a kilobench.device.protocol.Transport.

    ``board`` has the memory that the program was linked for (kilobench.device.build.Firmware.linked). ``native`` chooses the
    compiled hook (None: where it can be compiled); counts are the same. With ``waits`` cycles hold what the core waits for its
    flash, by the board's model of it, which needs the compiled hook. ``watch`` is told the cycles so far, several times a
    second and whenever the firmware has sent a line. Raises CellError, naming PC and symbol, when the firmware touches memory
    that the board does not have, executes no instruction, sleeps, or runs for more than ``max_cycles``.
    """

    machines: ClassVar[Mapping[str, type[Machine]]] = MACHINES

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
        self._exception = ""
        self._problem = ""
        self._max_cycles = max_cycles
        self._watch, self._next_watch = watch, _WATCH_CYCLES
        self._until = _NEVER
        machine = self.machines[architecture(board.core)]
        self._engine: Any = binding.Uc(*machine.MODE)
        self._engine.ctl_set_cpu_model(cpu_model(board.core))
        self._engine.ctl_set_tcg_buffer_size(_TRANSLATED_BYTES)
        self._map()
        image = self._load(elf)
        model = memory_model.waits(board) if waits else ()
        content = bytes(self._engine.mem_read(board.flash.origin, self._flash_used)) if model else b""
        self._counter = new_counter(self._engine, board.core, self._stop, native, model, content)
        if model and isinstance(self._counter, NativeCounter):
            self._counter.weights(*self._weights)
        self._machine = machine(self._engine, board, self._counter, self._set_deadline)
        for address, code in image:
            self._machine.loaded(address, code)
        self._pc = self._machine.start()
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
                self._engine.emu_start(self._pc | self._machine.STATE, self._until)
            except binding.UcError as error:
                if not self._exception:
                    self._problem = self._problem or f"{error}".split(" (")[0].lower()
            self._pc = self._engine.reg_read(self._machine.PC)
            if self._problem:
                raise CellError(f"{self._board.name}: {self._problem} at {self._where(self._pc)}")
            if self._exception == "enter":
                self._pc = self._machine.enter_exception()
            elif self._exception == "leave":
                self._pc = self._machine.leave_exception()
            elif self._exception == "look" and self._watch is not None:
                self._watch(self.cycles)
                self._next_watch = self.cycles + _WATCH_CYCLES
                self._set_deadline()
            else:
                return b"\n" in self._sent

    def _set_deadline(self) -> None:
        """When to stop next: the limit, an exception, or a look at how far it is."""
        stops = [self._max_cycles]
        if self._machine.next_exception is not None:
            stops.append(self._machine.next_exception)
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

    def _load(self, path: Path) -> list[tuple[int, bytes]]:
        """Into memory; what lies where."""
        program = read(path)
        if program.architecture != (wanted := architecture(self._board.core)):
            raise NoProgram(f"it is a program for {program.architecture}, not for {wanted}")
        image = []
        with path.open("rb") as file:
            for address, place, size in program.image:
                file.seek(place)
                image.append((address, file.read(size)))
                self._engine.mem_write(*image[-1])
        self._functions = program.functions
        weights = [(s.address, s.size) for s in program.sections if s.name == ".weights"]
        self._weights = weights[0] if weights else (0, 0)
        flash = self._board.flash
        ends = (at + size for at, _, size in program.image if flash.origin <= at < flash.origin + flash.bytes)
        self._flash_used = max(ends, default=flash.origin) - flash.origin
        return image

    def _where(self, pc: int) -> str:
        inside = [(start, name) for start, name in self._functions if start <= pc]
        return f"{pc:#010x} ({inside[-1][1]}+{pc - inside[-1][0]:#x})" if inside else f"{pc:#010x}"

    # What goes wrong

    def _invalid(self, engine: Any, access: int, address: int, size: int, value: int, data: object) -> bool:
        if access == unicorn_const.UC_MEM_FETCH_UNMAPPED and self._machine.returns_at(address):
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
        self._problem = self._machine.trap(number)
        engine.emu_stop()

    def _stop(self) -> None:
        """Called between two blocks, the one place where execution can be stopped and taken up again exactly."""
        if self.cycles >= self._max_cycles:
            self._problem = f"still busy after {self._max_cycles} cycles,"
        elif (due := self._machine.next_exception) is not None and self.cycles >= due:
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

# SPDX-License-Identifier: Apache-2.0
"""An interrupt ends a command wherever it arrives."""

import subprocess
import sys
from textwrap import indent

import pytest

BEGIN = """
import ctypes, os, signal, sys, time
from kilobench.start import ended, interrupt_once
signal.signal(signal.SIGINT, signal.default_int_handler)
interrupt_once()
def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)
class Final:
    __del__ = interrupt
"""
LOST = {
    "C calls back": "ctypes.CFUNCTYPE(None)(interrupt)()",
    "a finaliser": "Final()",
    "a hook of the emulator": """
from unicorn import UC_ARCH_ARM, UC_HOOK_BLOCK, UC_MODE_THUMB, Uc
engine = Uc(UC_ARCH_ARM, UC_MODE_THUMB)
engine.mem_map(0, 4096)
engine.hook_add(UC_HOOK_BLOCK, interrupt)
engine.emu_start(1, 8)
""",
}


@pytest.mark.parametrize("where", LOST)
@pytest.mark.parametrize("then", ["time.sleep(30)", "os.read(os.pipe()[0], 1)", "while True: pass"])
def test_an_interrupt_comes_again_where_nobody_could_catch_it(where: str, then: str) -> None:
    code = f"{BEGIN}\ntry:\n{indent(LOST[where], ' ')}\n {then}\nexcept KeyboardInterrupt:\n ended()\n print('ended')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert (done.stdout, done.stderr) == ("ended\n", "")

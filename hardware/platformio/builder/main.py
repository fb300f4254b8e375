# SPDX-License-Identifier: Apache-2.0
"""SCons build script of the emulated boards: compiler and flags come from the project's options.

Objects of what is the same for all models are kept in a folder that projects share, by what they were made of (SCons's
CacheDir; PlatformIO's ``build_cache_dir`` would share its file of signatures as well, which two builds at a time may tear).
"""

import hashlib
import os
import shlex
from pathlib import Path
from typing import Any

from SCons.CacheDir import CacheDir
from SCons.Script import DefaultEnvironment, Import  # noqa: F401

env = DefaultEnvironment()
config = env.GetProjectConfig()
section = "env:" + env["PIOENV"]


class Objects(CacheDir):
    """Each object behind its SHA-256: one that is not as it was written is removed, and compiled again.

    Without SCons's file of settings, and its lock: a file that a killed build would leave behind for ever.
    """

    def _readconfig(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)
        self.config = {"prefix_len": 2}

    def retrieve(self, node: Any) -> bool:
        path = self.cachepath(node)[1]
        if path and os.path.exists(path) and content(path) is None:
            print(f"{path} was damaged and is compiled again")
            os.unlink(path)
        return bool(super().retrieve(node))

    @classmethod
    def copy_to_cache(cls, env: Any, src: str, dst: str) -> str:
        data = Path(src).read_bytes()
        Path(dst).write_bytes(hashlib.sha256(data).digest() + data)
        return dst

    @classmethod
    def copy_from_cache(cls, env: Any, src: str, dst: str) -> str:
        Path(dst).write_bytes(content(src) or b"")
        return dst


def content(path: str) -> bytes | None:
    """That of a cached object, if it is as it was written."""
    stored = Path(path).read_bytes()
    return stored[32:] if hashlib.sha256(stored[32:]).digest() == stored[:32] else None


def words(option: str) -> list[str]:
    return shlex.split(config.get(section, option))


compiler = config.get(section, "custom_compiler")
env.Replace(
    CC=compiler,
    AS=compiler,
    LINK=compiler,
    AR=config.get(section, "custom_archiver"),
    RANLIB=config.get(section, "custom_ranlib"),
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
)
env.Append(CCFLAGS=words("custom_compile_flags"), LIBS=words("custom_libraries"))
# Without the second, zig compiles a library of checks first, of which nothing is linked.
env.Append(LINKFLAGS=[*words("custom_link_flags"), "-fno-sanitize=undefined"])
env.CacheDir(config.get(section, "custom_objects"), Objects)
program = env.BuildProgram()
env.NoCache(program, "$BUILD_DIR/src/model.o", "$BUILD_DIR/src/main.o")
env.Default(program)

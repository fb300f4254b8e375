"""SCons build script of the emulated boards: compiler and flags come from the project's options.

Objects of what is the same for all models are kept in a folder that projects share, by what they were made of (SCons's
CacheDir; PlatformIO's ``build_cache_dir`` would share its file of signatures as well, which two builds at a time may tear).
"""

import os
import shlex

from SCons.CacheDir import CacheDir
from SCons.Script import DefaultEnvironment, Import  # noqa: F401

env = DefaultEnvironment()
config = env.GetProjectConfig()
section = "env:" + env["PIOENV"]


class Objects(CacheDir):
    """Without SCons's file of settings, and its lock: a file that a killed build would leave behind for ever."""

    def _readconfig(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)
        self.config = {"prefix_len": 2}


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
env.Append(CCFLAGS=words("custom_compile_flags"), LINKFLAGS=words("custom_link_flags"), LIBS=words("custom_libraries"))
env.CacheDir("objects", Objects)
program = env.BuildProgram()
env.NoCache(program, "$BUILD_DIR/src/model.o", "$BUILD_DIR/src/main.o")
env.Default(program)

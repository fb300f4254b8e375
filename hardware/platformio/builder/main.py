"""SCons build script of the emulated boards: compiler and flags come from the project's options."""

import shlex

from SCons.Script import DefaultEnvironment, Import  # noqa: F401

env = DefaultEnvironment()
config = env.GetProjectConfig()
section = "env:" + env["PIOENV"]


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
env.Default(env.BuildProgram())

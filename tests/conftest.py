import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of their own for all tests of a worker; the compiler's part of it is that of all workers."""
    folder = tmp_path_factory.mktemp("cache")
    zig = folder / "zig"
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = tmp_path_factory.getbasetemp().parent / "zig"
        shared.mkdir(exist_ok=True)
        zig.symlink_to(shared)
    else:
        zig.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KILOBENCH_CACHE", str(folder))
        yield folder

# SPDX-License-Identifier: Apache-2.0
"""``python -m kilobench``, and the command ``kilobench``."""

import signal
import sys


def main() -> int:
    """The command; Ctrl-C is held back until it can be told in one line (kilobench.start.interrupt_once)."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    from kilobench.cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())

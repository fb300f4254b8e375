# SPDX-License-Identifier: Apache-2.0
"""``python -m kilobench``."""

import sys

from kilobench.cli import main

if __name__ == "__main__":
    sys.exit(main())

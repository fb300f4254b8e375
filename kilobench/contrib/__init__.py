# SPDX-License-Identifier: Apache-2.0
"""The one importable name of contributions: ``kilobench.contrib.methods.xnor`` in a checkout and in a wheel alike."""

from kilobench.paths import contributions_dir

__path__ = [str(contributions_dir())]

# SPDX-License-Identifier: Apache-2.0
"""From C sources to figures measured on a board."""

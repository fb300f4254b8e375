# SPDX-License-Identifier: Apache-2.0
"""A model file on boards: what it takes, layer by layer, as text, page, table and JSON."""

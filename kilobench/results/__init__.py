# SPDX-License-Identifier: Apache-2.0
"""What records say: storing, statistics, tables, comparing, advising, checking what others submit."""

# SPDX-License-Identifier: Apache-2.0
"""What can be plugged in: specifications, boards, and the registry that finds contributions."""

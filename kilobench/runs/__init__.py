# SPDX-License-Identifier: Apache-2.0
"""What there is to do, in which order, and where it is done."""

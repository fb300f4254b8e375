# SPDX-License-Identifier: Apache-2.0
"""MLPerf Tiny: its reference models in our C, beside what others have published for silicon."""

# SPDX-License-Identifier: Apache-2.0
"""The operators, a file each, which is named after its kind; what several share is in files that begin with an underscore."""

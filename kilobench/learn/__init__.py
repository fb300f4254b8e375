# SPDX-License-Identifier: Apache-2.0
"""Training and compression: a network in, a smaller trained model out."""

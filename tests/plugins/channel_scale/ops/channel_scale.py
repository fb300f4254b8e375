# SPDX-License-Identifier: Apache-2.0
"""Every channel times a number of its own."""

import numpy as np

from kilobench.compile.lower import multiplier
from kilobench.compile.operator import Operator
from kilobench.compile.ops._integers import requantise, saturate


class ChannelScale(Operator):
    """x * scale; of int8, q less its zero point is requantised by a factor per channel."""

    types = {
        ("float32", "float32"): {"scale": ("float32", "O")},
        ("int8", "int8"): {"multiplier": ("int32", "O"), "shift": ("int32", "O")},
    }
    in_strips = True
    header = "channel_scale.h"

    @classmethod
    def lower(cls, module, sources, output):
        scale = module.factors().detach().numpy()
        if output.dtype == "float32":
            return {}, {"scale": scale}
        m, t = multiplier(scale.astype(np.float64) * sources[0].scale / output.scale)
        return {}, {"multiplier": m, "shift": t}

    def compute(self, values):
        if self.output.dtype == "float32":
            return values[0] * self.params["scale"]
        acc = values[0].astype(np.int64) - self.source.zero_point
        return saturate(self, requantise(acc, self.params["multiplier"], self.params["shift"]))

    def weights(self):
        return self.source.shape[2]

    def fields(self):
        zeros = {"in_zero": self.source.zero_point, "out_zero": self.output.zero_point}
        return {"in": self.source.shape, **self.params, **(zeros if self.source.dtype == "int8" else {})}

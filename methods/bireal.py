# SPDX-License-Identifier: Apache-2.0
"""Binary weights and activations with real-valued shortcuts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilobench.contrib.methods._binary import BinaryMethod, Surgery, clamp

from kilobench.api import Job

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kilobench.api import BinaryConv2d


class BiReal(BinaryMethod):  # type: ignore[misc]  # contributions import each other by a name made at run time
    """Binary weights and activations with a shortcut around every binary convolution that keeps its shape (Bi-Real Net).

    What is added is int8, so that a map keeps more than its signs. Activations learn by the derivative of a piecewise polynomial,
    weights with their mean magnitude as a factor; batch norm stands behind each convolution, and before signs of what a max
    pool gives, which would nearly all be positive; ReLUs beside one are left out, as signs need numbers of both signs.
    Of 1 x 1 convolutions those behind a depthwise one are binary, others stay int8, as do those that are grouped, dilated,
    or padded with something else than as many zeros on opposite sides.

    Parameters: ``keep`` which convolutions at the front stay int8: ``first``, ``none``, a number of them, or ``stem``, all up to
    and including the first one after the axis swap of a raw-audio network (``first`` where there is none); ``effort`` its
    weight where a recipe's methods share steps; ``lr`` its peak learning rate.
    """

    name = "bireal"
    reference = "Liu et al., arXiv 1808.00278, sections 3.1 and 3.2 (there the first training is with clip for ReLU)"
    lr: float = 1e-2

    def apply(self, model: nn.Module, job: Job) -> nn.Module:
        """Binarise the layers, then train."""
        from kilobench.api import quantise

        network = Surgery(model, job.input_shape, self.keep, _layer()).made(self.name)
        return quantise(job.train(network, lr=self.lr, after_step=clamp), job.batches(8))


def _layer() -> type[BinaryConv2d]:
    from kilobench.api import BinaryConv2d, approx_sign

    class BiRealConv2d(BinaryConv2d):
        """Signs with ApproxSign's gradient; the weights of BinaryConv2d learn as section 3.2 says."""

        def signs(self, x: Tensor) -> Tensor:
            return approx_sign(x)

    return BiRealConv2d

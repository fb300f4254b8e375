# SPDX-License-Identifier: Apache-2.0
"""What cannot be done with a network is told before its training: untrained, it is stored, lowered and compressed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from kilobench.compile.lower import lower_for
from kilobench.contracts import CellError, Method, Task, Unsuited, UserError
from kilobench.learn.moduletree import describe
from kilobench.learn.untrained import Unmeasured, finished
from kilobench.plugins.spec import canonical


def try_out(model: nn.Module, task: Task, recipes: Iterable[Sequence[Method]]) -> None:
    """Raises UserError where an untrained network cannot be stored or lowered, or none of the recipes that need it is possible;
    Unsuited, if a method has said so, with the recipes of such.

    A recipe that cannot be tried without training, as it measures candidates, is taken as possible.
    """
    reasons: list[str] = []
    unsuited: dict[str, str] = {}
    for methods in ((), *recipes):
        try:
            made = finished(model, methods, task)
            describe(made)
            lower_for(task, made)
        except Unmeasured:
            return
        except Unsuited as error:
            unsuited["+".join(map(canonical, methods))] = str(error)
        except (CellError, UserError) as error:  # not for good: operators and methods are no part of a training's key
            reasons.append(str(error))
            if not methods:
                break
        except Exception:  # a method that needs more of a training than there is here
            return
        else:
            if methods:
                return
    if unsuited:
        raise Unsuited([*reasons, *unsuited.values()][0], unsuited)
    if reasons:
        raise UserError(reasons[0]) from None

# SPDX-License-Identifier: Apache-2.0
import pytest
from kilobench.contrib.methods.prune import Prune
from kilobench.contrib.methods.xnor import Xnor

from kilobench.contracts import UserError
from kilobench.plugins.spec import Spec, build, canonical, parse, parse_recipe


def test_recipes_are_split_outside_brackets() -> None:
    specs = parse_recipe("prune[keep=0.2,rank=l1]+int8")
    assert specs == (Spec("prune", (("keep", "0.2"), ("rank", "l1"))), Spec("int8"))


def test_canonical_names_only_what_differs_from_the_defaults() -> None:
    assert canonical(build(Prune, parse("prune[rank=taylor,keep=0.2]"))) == "prune[keep=0.2]"
    assert canonical(build(Xnor, parse("xnor"))) == "xnor"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prune[kep=0.2]", "prune has no parameter 'kep'; nearest is 'keep'"),
        ("prune[keep=much]", "prune: keep must be of type float, not 'much'"),
        ("prune[rank=tailor]", "prune: rank must be one of taylor, l1, hybrid, not 'tailor'; nearest is 'taylor'"),
        ("prune[keep]", "'prune[keep]': 'keep' is not of the form key=value"),
        ("prune[keep=0.1", "'prune[keep=0.1' is not of the form name[key=value,...]"),
    ],
)
def test_mistakes_are_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        build(Prune, parse(text))
    assert str(error.value) == message

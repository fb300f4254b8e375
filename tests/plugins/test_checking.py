# SPDX-License-Identifier: Apache-2.0
"""Plug-ins that are wrong in every way: each is listed with a line that says why, and breaks nothing else."""

from pathlib import Path

import pytest

from kilobench.contracts import UserError
from kilobench.lines import one_line, reason
from kilobench.plugins.registry import load_registry

HEAD = "from typing import Literal, ClassVar\nfrom abc import ABC, abstractmethod\nfrom kilobench.api import *\n"
METHOD = "class Mine({bases}):\n    'Mine.'\n    name = 'mine'\n    {body}\n    def apply(self, *_):\n        pass\n"
TASK = "class Mine(Task):\n    name = 'mine'\n    kind = 'image'\n    network = 'resnet8'\n    {body}\n"


def method(body: str, bases: str = "Method") -> str:
    return HEAD + METHOD.format(body=body, bases=bases)


def task(body: str) -> str:
    own = "class_count = 2\n    input_shape = 1, 8, 8\n    def load(self, *_):\n        pass\n    "
    return HEAD + TASK.format(body=own + body)


BROKEN = {
    "import sys\nsys.exit(3)": "SystemExit: 3",
    "raise BaseException('two\\nlines \\x1b[31mred')": "BaseException: two lines red",
    "class Silent(BaseException):\n    def __str__(self):\n        raise ValueError\nraise Silent": "Silent",
    "import sys\nsys.modules[__name__] = None": "TypeError: vars() argument must have",
    "x = '\udcff'": "SyntaxError: ",
    "raise RecursionError": "RecursionError",
    "class A:\n": "IndentationError: ",
    method("name = 3"): "name 3 is not of a-z, 0-9, - and _",
    method("name = 'My method'"): "name 'My method' is not of a-z, 0-9, - and _",
    method("share: float"): "parameter share has no default",
    method(
        "size: int | None = None"
    ): "parameter size is int | None, not bool, int, float, str or a Literal of strings",
    method("size: list[int] = 3"): "parameter size is list[int], not bool, int, float, str or a Literal of strings",
    method(
        "size: Literal[1, 2] = 1"
    ): "parameter size is one of 1, 2, not bool, int, float, str or a Literal of strings",
    method("size: Nothing = 1"): "NameError: name 'Nothing' is not defined",
    method("size: 'Nothing' = 1"): "NameError: name 'Nothing' is not defined",
    method("size: int = 1.5"): "the default of parameter size must be int, not 1.5",
    method("size: int = True"): "the default of parameter size must be int, not True",
    method("how: Literal['a', 'b'] = 'c'"): "the default of parameter how must be one of a, b, not 'c'",
    method("order = 'first'"): "order must be int, not 'first'",
    method("reference = None"): "reference must be str, not None",
    method("@abstractmethod\n    def more(self): pass", "Method, ABC"): "it is abstract: it does not define more",
    method("apply = None", "Network"): "it does not define build",
    HEAD + "class Mine(Method):\n    name = 'mine'\n": "it does not define apply",
    method("", "Base").replace("class", "class Base(Method):\n    def __init_subclass__(cls): pass\nclass", 1): (
        "its __init_subclass__ does not call that of kilobench.api"
    ),
    method("", "Base").replace("class", "class Base(Method):\n    def __init_subclass__(cls): 1 / 0\nclass", 1): (
        "ZeroDivisionError: division by zero"
    ),
    method("") + method("").replace("Mine", "Other"): "two methods are called 'mine': ",
    task("kind = 'video'"): "kind must be one of audio, image, spectrogram, not 'video'",
    task("del kind"): "it does not define kind",
    task("folds = '5'"): "folds must be int, not '5'",
    task("del load"): "it does not define load",
}


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_what_cannot_be_used_is_listed_with_its_reason(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(text.encode(errors="surrogateescape"))
    registry = load_registry([str(tmp_path)])
    entries = [entry for table in registry.entries.values() for entry in table.values() if entry.broken]
    assert [entry.name for entry in entries] == ["mine"]
    assert entries[0].broken.startswith(BROKEN[text])
    assert entries[0].summary.isprintable()
    assert registry.get("methods", "prune").keep == 0.1


def test_what_is_right_is_used(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        method("epochs: float = 1\n    how: Literal['a', 'b'] = 'b'\n    Also: ClassVar = None")
    )
    assert load_registry([str(tmp_path)]).get("methods", "mine[how=a]").how == "a"


FRONTEND = "Frontend(rate=8000, frame=128, hop=64, bands=8, points=128)"
PROMISES = {
    task("class_count = property(lambda self: 1 / 0)"): "ZeroDivisionError: division by zero",
    task("class_count = '2'"): "TypeError: class_count and folds must be positive int, not ('2', 1)",
    task("folds = 0"): "TypeError: class_count and folds must be positive int, not (2, 0)",
    task("input_shape = property(lambda self: {}['x'])"): "KeyError: 'x'",
    task("input_shape = 8, 8"): "TypeError: input_shape must be three positive int, not (8, 8)",
    task("training = 12"): "TypeError: training must be a Training, not 12",
    task("frontend = 40"): "TypeError: frontend must be a Frontend or None, not 40",
    task(f"frontend = {FRONTEND}"): (
        "TypeError: the task of a frontend must be of sound, with classes, not ('image', 'classes', (1, 8, 8))"
    ),
    task(f"kind = 'audio'\n    sample_rate = 16_000\n    input_shape = 1, 1, 99\n    frontend = {FRONTEND}"): (
        "TypeError: the rate of frontend must be 16000, not 8000"
    ),
    task(f"kind = 'audio'\n    sample_rate = 8000\n    input_shape = 1, 1, 99\n    frontend = {FRONTEND}"): (
        "TypeError: frame of frontend must be within the input, not 128"
    ),
    task("training = property(lambda self: Training(batch=0))"): "training: batch must be at least 1, not 0",
    method("boards = property(lambda self: 1 / 0)"): "ZeroDivisionError: division by zero",
    method("effort = -1"): "TypeError: effort must be a finite number from 0 up, not -1",
    method("effort: float = float('nan')"): "TypeError: effort must be a finite number from 0 up, not nan",
    method("effort = '1'"): "TypeError: effort must be a finite number from 0 up, not '1'",
    method("effort = True"): "TypeError: effort must be a finite number from 0 up, not True",
    method("from_scratch = 'no'"): "TypeError: from_scratch must be bool, not 'no'",
    method("resizes = 1"): "TypeError: resizes must be bool, not 1",
    method("changes = 'one'"): "TypeError: changes must be a tuple of lines, not 'one'",
    task("changes = 'a\\nb',"): "TypeError: changes must be a tuple of lines, not ('a\\nb',)",
    method("boards = 'nucleo_l476rg'"): "TypeError: boards must be a tuple of names, not 'nucleo_l476rg'",
}


@pytest.mark.parametrize("text", PROMISES, ids=range(len(PROMISES)))
def test_what_it_says_of_itself_is_checked_before_a_plan(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)
    registry = load_registry([str(tmp_path)])
    kind = "tasks" if "mine" in registry.entries["tasks"] else "methods"
    with pytest.raises(UserError) as raised:
        registry.get(kind, "mine")
    assert str(raised.value).removeprefix(f"{kind.removesuffix('s')} mine: ") == PROMISES[text]


def test_a_default_is_the_same_as_its_value_written(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(method("epochs: float = 1"))
    registry = load_registry([str(tmp_path)])
    assert repr(registry.get("methods", "mine")) == repr(registry.get("methods", "mine[epochs=1]"))


def test_a_mistake_in_taking_parameters_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(method("def __post_init__(self): 1 / 0"))
    with pytest.raises(UserError, match=r"^method mine: ZeroDivisionError: division by zero$"):
        load_registry([str(tmp_path)]).get("methods", "mine")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain: 25 % [bold]", "plain: 25 % [bold]"),
        ("two\nlines\r\n\tand \x0b more\u2028", "two lines and more"),
        ("\x1b[31;1mred\x1b[0m \x1b]0;title\x07and \x1b]8;;x\x1b\\link \x1bc", "red and link"),
        ("nul\0 bell\x07 csi\x9b1m lone\udcff", "nul? bell? csi?1m lone?"),
        ("x" * 2000, "x" * 164 + "..." + "x" * 83),
        (
            "no board " + "x" * 5000 + "; nearest is 'y'",
            "no board " + "x" * 164 + "..." + "x" * 82 + "; nearest is 'y'",
        ),
        ("a b " * 2000, "a b " * 166 + "..." + ("a b " * 2000)[-334:-1]),
        ("", ""),
    ],
)
def test_any_text_becomes_one_printable_line(text: str, line: str) -> None:
    assert one_line(text) == line
    assert reason(ValueError(text)) == one_line(f"ValueError: {text}").rstrip(": ")

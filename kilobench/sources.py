# SPDX-License-Identifier: Apache-2.0
"""What a file of source code is: the hash of what runs of it, what it imports, and its strings that may be paths.

Comments, doc strings and layout are no part of it. What was parsed is kept in the cache, by the content of files: to parse the
engine was nearly a third of a run that has nothing to do.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from functools import cache
from importlib.machinery import SOURCE_SUFFIXES
from pathlib import Path

from kilobench.contracts import UserError
from kilobench.files import read_kept, write_kept
from kilobench.paths import cache_dir

ALL_BESIDE = ".*"
"""Imports by a name that is made at run time."""
_MOST_OF_A_PATH = 255
"""Characters."""
_MOST_KEPT = 2000
"""Files of which the cache keeps what was parsed."""
_C = (".c", ".h", ".cpp")
_C_TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
"""A comment, or what may hold one that is none."""
_asked: dict[Path, str] = {}
"""Digests of files as they were when they were first asked for."""
_parsed: dict[str, Source] = {}
"""What this process has parsed and not kept yet, by the digest of the content."""


@dataclass(frozen=True)
class Source:
    """Of one file."""

    digest: str
    imports: tuple[str, ...] = ()
    """Dotted names, of modules or of things in them; relative ones begin with dots."""
    texts: tuple[str, ...] = ()
    """Strings that may be paths."""


def read(file: Path) -> Source:
    """Again only where it has changed. Raises UserError where that cannot be."""
    try:
        source = _source(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    _asked.setdefault(file, source.digest)
    return source


def code_has_changed() -> bool:
    """Whether any file that this process has asked for here is not as it was then."""
    try:
        return any(read(file).digest != digest for file, digest in list(_asked.items()))
    except UserError:
        return True


def keep_parsed() -> None:
    """Put into the cache what was parsed since the last time; where it cannot be written, the next process parses it again."""
    if not _parsed:
        return
    with suppress(UserError):
        path = _kept_path()
        both = _kept(path) | _parsed
        kept = dict(list(both.items())[-_MOST_KEPT:])
        write_kept(path, json.dumps({name: astuple(source) for name, source in kept.items()}).encode())
        _kept.cache_clear()
    _parsed.clear()


@cache
def _source(file: Path, changed_ns: int) -> Source:
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if file.suffix in _C:
        return Source(hashlib.sha256(_without_comments(content.decode(errors="replace")).encode()).hexdigest())
    if file.suffix not in SOURCE_SUFFIXES:
        return Source(digest)
    with suppress(UserError):
        if found := _kept(_kept_path()).get(digest):
            return found
    try:
        tree = ast.parse(content, str(file))
    except (ValueError, SyntaxError, RecursionError):  # who imports it sees what is wrong with it
        return Source(digest)
    _parsed[digest] = source = _of(tree)
    return source


def _kept_path() -> Path:
    """Of what this version of Python and of this module make of sources."""
    form = hashlib.sha256(sys.version.encode() + Path(__file__).read_bytes()).hexdigest()[:16]
    return cache_dir() / "sources" / f"{form}.json"


@cache
def _kept(path: Path) -> dict[str, Source]:
    there = json.loads(read_kept(path) or b"{}")
    return {name: Source(digest, tuple(imports), tuple(texts)) for name, (digest, imports, texts) in there.items()}


def _of(tree: ast.Module) -> Source:
    imports = tuple(dict.fromkeys(_imports(tree)))
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    texts = tuple(dict.fromkeys(text for text in _texts(tree) if 0 < len(text) <= _MOST_OF_A_PATH))
    return Source(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports, texts)


def _without_comments(c: str) -> str:
    """C, its lines without the space around them, and none that is empty."""
    plain = _C_TOKEN.sub(lambda token: " " if token[0].startswith("/") else token[0], c)
    return "\n".join(filter(None, map(str.strip, plain.splitlines())))


def _imports(node: ast.AST) -> Iterator[str]:
    """All that runs: what only type checkers see is passed over."""
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        for statement in node.orelse:
            yield from _imports(statement)
        return
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        yield from (f"{module}{'' if module.endswith('.') else '.'}{name.name}" for name in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        for name in [*node.args, *(keyword.value for keyword in node.keywords)][:1]:
            start = name.values[0] if isinstance(name, ast.JoinedStr) else name
            if isinstance(start, ast.Constant):
                yield str(start.value) + ("" if start is name else "*")  # whatever is in the folder
            else:
                yield ALL_BESIDE
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


def _texts(tree: ast.AST) -> Iterator[str]:
    """Every string, and those of ``here / "a" / "b"`` and of ``join(here, "a", "b")`` as a path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            parts: list[ast.expr] = [node]
        elif isinstance(node, ast.Call):
            parts = node.args
        else:
            parts, left = [], node
            while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Div):
                parts, left = [left.right, *parts], left.left
        yield "/".join(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))

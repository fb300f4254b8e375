# SPDX-License-Identifier: Apache-2.0
"""What MLPerf Tiny's runner sends for each of its benchmarks, the quality that a submission must reach, and what is published.

Banbury et al., MLPerf Tiny Benchmark, arXiv 2106.07597, section 4; file formats as in ``benchmark/evaluation/datasets`` of
mlcommons/tiny.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Benchmark:
    """One of its networks' tasks: a data set is a folder with ``y_labels.csv`` and a file of raw values for every input."""

    name: str
    """Of its data set, and what firmware says its model is."""
    title: str
    dtype: Literal["uint8", "int8", "float32"]
    """Of the values in its files, little-endian."""
    shape: tuple[int, int, int]
    """Height, width, channels of one input, in the order of the bytes."""
    classes: int
    """As many as the second column of y_labels.csv says."""
    target: float
    """Quality that the closed division asks for: top-1 accuracy, or the area under the ROC curve of ad01."""
    grid: tuple[float, int] | None = None
    """Scale and zero point that its files were quantised by, where pixels say no number themselves."""


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("ic01", "image classification", "uint8", (32, 32, 3), 10, 0.85),
        Benchmark("kws01", "keyword spotting", "int8", (49, 10, 1), 12, 0.90, (0.5847029089927673, 83)),
        Benchmark("vww01", "visual wake words", "uint8", (96, 96, 3), 2, 0.80),
        Benchmark("ad01", "anomaly detection", "float32", (1, 1, 640), 2, 0.85),
    )
}
"""By name."""
STREAMING = "sww01"
"""The streaming wake word, since round 1.3: its runner plays sound and sends no inputs, so that there is no data set."""


@dataclass(frozen=True)
class PublishedSet:
    """A data set as it was published. Digests are hex SHA-256, as ``digest_of_lines`` and ``digest_of_files`` make them."""

    benchmark: Benchmark
    rounds: str
    """Of MLPerf Tiny that use it."""
    rows: str
    """Digest of the rows of y_labels.csv, in any order."""
    contents: str = ""
    """Digest of names and contents of its files; empty for sets that are not at hand here."""


PUBLISHED_SETS = {
    "565b6d624cb35dc9f23d776b15a25e7ff0c477c204449b9178c6be6394164988": PublishedSet(
        BENCHMARKS["ic01"],
        "v0.7 and later",
        "969ed5fcc360e813f9558fabf10799e92aaf8092fb157c5803d3138385821b75",
    ),
    "60ebd0ce3cd14196d356b0ed2d9cf64b07edbe7809a31b17b6d376905fb64695": PublishedSet(
        BENCHMARKS["ic01"],
        "before v0.7; later rounds have 200 other images",
        "85a1345e1d2c26f34ce0c0318634ca6e53c923bc29b026a2052152cc42897b9d",
        "7d73f6019cbd986c3702d356cdf9894ccef93388c3e7806587c011a3841e6977",
    ),
    "be2a5eed4b81bac064417045ce995b70cbc423c7eb0b2bb4196981428cd2337d": PublishedSet(
        BENCHMARKS["kws01"],
        "v0.7 and later",
        "6cb3709762d53fe64eb00eaf4a75796248bb3c1386f1d1f93ccdb07b071e9698",
        "aef4ed3907710434c8a58012a67285a946d08931294b864c5b098ee418725e52",
    ),
    "dfa7b087b7e2af3a0e2b6a20e5679ad0c6e7eb0147097cee6d2cc6e80628ab4e": PublishedSet(
        BENCHMARKS["vww01"],
        "v0.7 and later",
        "4d9ddbbb4fb0f5101323717490a8d61cd055cab40555c70461ebc5b2a5482ccd",
    ),
    "249122734b6779275f5c58a6c008d79ac559598a75603527df2f20238edbb976": PublishedSet(
        BENCHMARKS["ad01"],
        "v0.7 and later",
        "981145029172dd4947e73bf1a991ac36dcdf065ecfdb9b328f5b913304a1e5b8",
    ),
}
"""By the digest of the names of its files: names of thousands of files are no chance."""

_USED = "v0.5 to v1.3"
_MODELS = {
    "3c002613d1b2475eb51dd78dfb85a546c8ae658dee71cf6ade43b022fe205415": ("pretrainedResnet_quant", _USED),
    "a65375297130b602a5b28523c20d9e24127cc36508c5f67586f02c01eb6299e6": ("pretrainedResnet_quant", "March 2026"),
    "511ee59476039e93fd83140f3e92e1e3d964b73fe980371d51d06b9f187362f7": ("pretrainedResnet_quant", "before v0.5"),
    "b5c0046d6e0328b4956afd6baa29555a29b1f1c65bdd45aaed75b7cd484d9f79": ("pretrainedResnet", _USED),
    "1e6098552602c0bc952d0ec3afba98ff4853e0fcf73d00c378183e3194719677": ("pretrainedResnet", "March 2026"),
    "7e3147e9c1b683634b93d3865a85d4b8324737b85f715681689f4c335bcb5632": ("pretrainedResnet", "before v0.5"),
    "aeea436800704fce17b17292e4412630ad856e9d777c044c64ef748a880bd0ae": ("kws_ref_model", _USED),
    "d408165ef64b8f05f1b7e92102e89064d849bd70ba5ac82e78429ba7ef761f02": ("kws_ref_model", "before v0.5"),
    "e5004c6f1012246e33fa068d8488325538e0444073cd361f5a7edb40c73f12d2": ("kws_ref_model_float32", _USED),
    "597a384c8c2c8a1276f04702f25013b7838f2f814f1ca7c174d295b73e3d6b7b": ("vww_96_int8", _USED),
    "ff017f6215532e6f79fbed6fbbec04b1544c5d6903679409a1c9d1f08a5adaf7": ("vww_96_int8", "before v0.5"),
    "115bbc094d2119561320a21f01b6500a18bea8cc8589282ab007097bec8af38c": ("vww_96_float", _USED),
    "c44ac772da383b8503a30ebec03b707888543113e8ab0fc6cd84a9fe1544e460": ("vww_96_float", "before v0.5"),
    "87cf24194ef93d1d9b11a591d805526b98008e351655d29883c825c9c106ba24": ("ad01_int8", _USED),
    "c66636f4d7f8af8b10518e7be750a22c9d8d46ec97326b40b0d94c097e0aad9b": ("ad01_fp32", _USED),
    "861f3de4465a176099248090583ae5b6be00bc6f0c6bac16ce3bda004a7fa9c2": ("ad01_fp32", "before v0.5"),
    "3af8550895ba7d5c584277102b5075c52dcfa63ba9d2b2240f37c4e6abd5dd2b": ("str_ww_ref_model", "v1.3"),
    "dc27dcd823f5665533352f7da516b0c9bc6f089914b8283782e55961b3423fcf": ("pretrainedResnet_large_int8", "v1.4"),
    "fb17ae9c1b6d0e5bd97f0f35024f207556261d7310b249716c87cc0628214b0e": ("pretrainedResnet_large_float", "v1.4"),
}
"""Names and rounds of its reference models in mlcommons/tiny, and of others that have had their names there, by SHA-256."""


def reference_model(name: str, content: bytes) -> str:
    """What MLPerf Tiny has to do with a model file of a name without ending; empty where that is nothing."""
    known, rounds = _MODELS.get(hashlib.sha256(content).hexdigest(), ("", ""))
    if rounds.startswith("v"):
        return f"MLPerf Tiny's reference model {known}, {rounds}"
    if known:
        return f"MLPerf Tiny's {known} of {rounds}, in no round"
    named = any(name == reference for reference, _ in _MODELS.values())
    return f"not MLPerf Tiny's reference model {name}, whose name it has" if named else ""


def digest_of_lines(lines: Iterable[str]) -> str:
    """Of lines in any order."""
    return hashlib.sha256("".join(f"{line}\n" for line in sorted(lines)).encode()).hexdigest()


def digest_of_files(files: Iterable[tuple[str, bytes]]) -> str:
    """Of names and contents of files in any order."""
    made = hashlib.sha256()
    for name, content in sorted(files):
        made.update(name.encode() + b"\0" + content)
    return made.hexdigest()

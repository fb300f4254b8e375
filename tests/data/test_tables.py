# SPDX-License-Identifier: Apache-2.0
"""Tables and lists of data sets: what is wrong with one is told with its file and line."""

from pathlib import Path

import pytest

from kilobench import data
from kilobench.contracts import UserError

COLUMNS = ("filename", "fold")
RIGHT = {
    "as it should be": b"filename,fold\na.wav,1\nb.wav,2\n",
    "a byte order mark": b"\xef\xbb\xbffilename,fold\na.wav,1\nb.wav,2\n",
    "line ends of Windows": b"filename,fold\r\na.wav,1\r\nb.wav,2\r\n",
    "empty lines": b"filename,fold\n\na.wav,1\nb.wav,2\n\n\n",
    "quotes": b'filename,fold\n"a.wav",1\n"b.wav","2"\n',
    "no last line end": b"filename,fold\na.wav,1\nb.wav,2",
}
WRONG = {
    b"": " is empty",
    b"name;fold\na;1\n": " has no column 'filename'; its first line is 'name;fold'",
    b"filename, fold\na, 1\n": " has no column 'fold'; its first line is 'filename,  fold'",
    b"filename,fold,fold\na,1,2\n": " has two columns 'fold'",
    b"filename,fold\na\n": ": line 2 has 1 fields, not 2",
    b"filename,fold\na,1\nb,1,2\n": ": line 3 has 3 fields, not 2",
    b'filename,fold\n"a,1\nb,1\n': ": line 2 has a quote that is not closed",
    b'filename,fold\n"a' + b"x" * 200_000 + b",1\n": ": line 2 has a field of more than 1000 characters",
    b"filename,fold\n" + b"x" * 1001 + b",1\n": ": line 2 has a field of more than 1000 characters",
    b'filename,fold\n"a"b,1\n': ": line 2 has text behind a closing quote",
    b"filename,fold\na,1\n\0,1\n": ": line 3 holds a NUL",
    b"filename,fold\ncaf\xe9,1\n": ": line 2 is not UTF-8 (byte 0xe9)",
    b"\xff\xfef\0i\0": ": line 1 is not UTF-8 (byte 0xff)",
    b"x" * 16_000_001: " is larger than 16 MB: no list or table of a data set",
}


@pytest.mark.parametrize("what", RIGHT)
def test_tables_are_read(what: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(RIGHT[what])
    rows = data.table(tmp_path / "t.csv", COLUMNS)
    assert rows == [{"filename": "a.wav", "fold": "1"}, {"filename": "b.wav", "fold": "2"}]


@pytest.mark.parametrize("content", WRONG, ids=[message.strip(": ")[:40] for message in WRONG.values()])
def test_what_is_wrong_with_a_table_is_told_with_its_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError) as raised:
        data.table(tmp_path / "t.csv", COLUMNS)
    assert str(raised.value) == f"{tmp_path / 't.csv'}{WRONG[content]}"


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"t\.csv cannot be read: No such file or directory$"):
        data.table(tmp_path / "t.csv", COLUMNS)


@pytest.mark.parametrize("field", ["", "-1", "+1", " 1", "1.0", "1e3", "1_0", "\uff11", "0x1", "1" * 16])
def test_numbers_are_digits(field: str) -> None:
    with pytest.raises(ValueError, match="is no whole number"):
        data.whole(field)
    assert data.whole("0012") == 12

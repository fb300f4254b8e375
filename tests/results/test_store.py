# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from kilobench.contracts import UserError
from kilobench.results.store import Store
from tests.results.records import record


def test_records_survive_and_have_readable_names(tmp_path: Path) -> None:
    store, one = Store(tmp_path), record("prune[keep=0.2]+int8")
    path = store.write(one)
    assert path.relative_to(tmp_path).as_posix() == (
        "fsdd-classes=5/acdnet/prune-keep=0.2+int8@nucleo_l476rg-emulator-zig-effort2.6-seed0-fold0.json"
    )
    assert store.read_all() == [one]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_that_differs_only_in_times_is_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.write(record())
    before = path.read_bytes()
    times = record().times.model_copy(update={"train_s": 2.0})
    store.write(record(times=times.model_dump()))
    assert path.read_bytes() == before
    store.write(record(cycles=1))
    assert path.read_bytes() != before


def test_a_wrong_record_names_file_and_key_and_is_replaced_by_a_new_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.write(record())
    path.write_text(path.read_text().replace('"cycles": 8000000,\n "cycles_low"', '"cycles": "many",\n "cycles_low"'))
    with pytest.raises(UserError, match=r"\.json is no valid record: cycles: "):
        store.read_all()
    store.write(record())
    assert store.read_all() == [record()]


def test_models_of_all_that_is_ranked_are_published() -> None:
    """And have what the records say, so that everybody can make them again."""
    store = Store(Path(__file__).parents[2] / "leaderboard" / "records")
    believed = [one for one in store.read_all() if one.trust != "claimed"]
    assert len(believed) > 100
    assert [one.command for one in believed if not store.model_path(one).exists()] == []


def test_every_published_model_has_a_record() -> None:
    """What a record had before it was made anew is left by nobody."""
    store = Store(Path(__file__).parents[2] / "leaderboard" / "records")
    digests = {one.model_digest for one in store.read_all()}
    there = [path for path in (store.folder.parent / "models").iterdir()]
    assert len(there) > 100
    assert [path.name for path in there if path.name.partition("-")[0].partition(".")[0] not in digests] == []

# SPDX-License-Identifier: Apache-2.0
"""Energy per inference by a PPK2: bytes as the meter sends them, through pyserial and the decoder of ppk2-api."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilobench.boards import PowerTrace
from kilobench.contracts import CellError, UserError
from kilobench.device import power
from kilobench.device.power import meter
from kilobench.render import render
from kilobench.results.table import rows_of
from tests.device.ppk2 import POWER, REGULATOR, SCALE, START, STOP, Ppk2Device, attached, metadata, quantum_ua, trace
from tests.results.records import record


def sampled(device: Ppk2Device, option: str = "ampere=3300") -> PowerTrace:
    """What the meter sees of a board that works until the recording is over."""
    with meter(f"ppk2:{device.port},{option}") as ppk2:
        return ppk2.sampled(lambda: device.sent.wait(10))


def test_a_constant_current_gives_voltage_times_current_times_time() -> None:
    with attached(trace([4321.0] * 20_000, [2] * 20_000)) as device:
        seen = sampled(device, "ampere=1800")
    assert len(seen.current_ua) == 20_000 and seen.seconds == pytest.approx(0.2)
    assert abs(seen.current_ua - 4321.0).max() <= quantum_ua(2) / 2
    assert seen.energy_uj == pytest.approx(1.8 * 4321.0 * 0.2, abs=1.8 * quantum_ua(2) / 2 * 0.2)


def test_energy_per_inference_is_that_of_the_whole_trace_divided() -> None:
    """Five inferences of 30 ms at 12 mA, with 2 ms of 3 mA before each."""
    inferences, work, idle = 5, [12_000.0] * 3000, [3_000.0] * 200
    currents = (idle + work) * inferences
    with attached(trace(currents, [2] * len(currents))) as device:
        seen = sampled(device, "source=3000")
    expected = 3.0 * (12_000 * 0.030 + 3_000 * 0.002)
    assert seen.energy_uj / inferences == pytest.approx(expected, abs=3.0 * quantum_ua(2) / 2 * 0.032)


def test_ranges_are_followed() -> None:
    """From sleep to work: five decades. After a switch the decoder averages a few samples, as Nordic's application does."""
    parts = [(50.0, 0), (450.0, 1), (4_000.0, 2), (40_000.0, 3), (400_000.0, 4)]
    currents = [current for current, _ in parts for _ in range(4000)]
    with attached(trace(currents, [one for _, one in parts for _ in range(4000)])) as device:
        seen = sampled(device)
    for index, (current, one) in enumerate(parts):
        settled = seen.current_ua[index * 4000 + 10 : (index + 1) * 4000]
        assert abs(settled - current).max() <= quantum_ua(one) / 2 + 1e-6
    exact = 3.3 * sum(current for current, _ in parts) * 4000e-5
    assert seen.energy_uj == pytest.approx(exact, rel=3 / 4000 + 0.001)


@settings(max_examples=15, deadline=None)
@given(pieces=st.lists(st.integers(1, 700), min_size=1, max_size=20), first=st.integers(0, 63))
def test_words_may_come_in_any_pieces(pieces: list[int], first: int) -> None:
    currents = np.linspace(100, 9000, 600)
    with attached(trace(currents.tolist(), [2] * 600, first), pieces=pieces) as device:
        seen = sampled(device)
    assert len(seen.current_ua) == 600
    assert abs(seen.current_ua - currents).max() <= quantum_ua(2) / 2 + 1e-6


@pytest.mark.parametrize(
    ("option", "mode", "switched_off"), [("ampere=3300", 1, False), ("source=1800", 2, True), ("source=800", 2, True)]
)
def test_the_meter_is_told_its_mode_and_voltage(option: str, mode: int, switched_off: bool) -> None:
    with attached(trace([1000.0] * 100, [2] * 100)) as device:
        sampled(device, option)
    steps = int(option.partition("=")[2]) - 800 + 32
    assert (REGULATOR, 3 + steps // 256, steps % 256) in device.commands
    assert (0x11, mode) in device.commands
    assert device.commands.index((POWER, 1)) < device.commands.index((START,)) < len(device.commands) - 1
    assert ((POWER, 0) in device.commands) == switched_off
    assert device.commands[0] == (STOP,) and device.commands[-1 - switched_off] == (STOP,)


@pytest.mark.parametrize("lost", [4, 3, 1, 8000])
def test_lost_samples_are_noticed(lost: int) -> None:
    whole = trace([1000.0] * 5000, [2] * 5000)
    with attached(whole[:4000] + whole[4000 + lost :]) as device, pytest.raises(CellError, match="were lost in"):
        sampled(device)


def test_a_meter_that_is_unplugged_while_it_measures_is_named() -> None:
    recording = trace([1000.0] * 50_000, [2] * 50_000)
    with attached(recording, cut=40_000) as device, pytest.raises(CellError) as caught:
        sampled(device)
    assert device.port in str(caught.value) and "was lost while it measured" in str(caught.value)


def test_what_goes_wrong_in_the_work_passes_and_stops_the_meter() -> None:
    def fail() -> None:
        raise CellError("the board reset")

    with attached(trace([1000.0] * 100, [2] * 100)) as device:
        with meter(f"ppk2:{device.port}") as ppk2, pytest.raises(CellError, match="the board reset"):
            ppk2.sampled(fail)
        assert device.commands[-1] == (STOP,)


def test_a_port_that_is_no_meter_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with attached(b"", dumb=True) as device, pytest.raises(UserError, match=f"{device.port}: no PPK2 answers there"):
        sampled(device)
    with pytest.raises(UserError, match=r"ppk2: .*nowhere") as caught, meter(f"ppk2:{tmp_path / 'nowhere'}"):
        pass
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(power, "_SECONDS", 0.2)
    with attached(b"") as device, pytest.raises(CellError, match="the PPK2 sends no samples"):
        sampled(device)


@pytest.mark.parametrize(
    "says", ["R0: nan", "R2: -1", "R: \x1b[31m", "GS3: inf", "O1: 1e300", "UG4: nan", f"S: {'9' * 2000}", "I0: 1e10"]
)
def test_a_calibration_that_no_meter_has_is_one_line(says: str) -> None:
    with attached(b"", says=says) as device, pytest.raises(UserError) as caught:
        sampled(device)
    key = says.partition(":")[0]
    assert str(caught.value).startswith(f"{device.port}: calibration of the PPK2: {key} is ")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 200


@pytest.mark.parametrize("slowly", [1, 40, 300, len(metadata()) - 1])
def test_a_calibration_may_come_in_pieces(slowly: int) -> None:
    """What came first is as true as what came last: no value of the package's own stands in for it."""
    with attached(trace([9_000.0] * 500, [2] * 500), slowly=slowly) as device:
        seen = sampled(device)
    assert len(seen.current_ua) == 500 and abs(seen.current_ua - 9_000.0).max() <= quantum_ua(2) / 2


def test_a_meter_that_does_not_stop_sending_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "_SECONDS", 0.2)
    with (
        attached(b"", flood=bytes(100)) as device,
        pytest.raises(UserError, match=rf"{device.port}: no PPK2 answers there: it (does not stop|sends more)"),
    ):
        sampled(device)


@pytest.mark.parametrize("data", [b"\0", b"\0\0\0"])
def test_less_than_a_sample_is_none(data: bytes) -> None:
    with attached(data) as device, pytest.raises(CellError, match=f"the PPK2 sent {len(data)} bytes that are not all"):
        sampled(device)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ppk3", "no power meter 'ppk3'; nearest is 'ppk2'; there are ppk2"),
        ("ppk2:/dev/x,volts=3", "'volts=3' is neither ampere=MILLIVOLTS nor source=MILLIVOLTS, from 800 to 5000"),
        ("ppk2:,source=12000", "from 800 to 5000"),
        ("ppk2:,ampere=3.3", "from 800 to 5000"),
    ],
)
def test_wrong_specifications_are_named(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        meter(spec)


def test_without_a_meter_or_the_extra_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from ppk2_api.ppk2_api import PPK2_API

    monkeypatch.setattr(PPK2_API, "list_devices", staticmethod(list))
    with pytest.raises(UserError, match="no PPK2 is attached"), meter("ppk2"):
        pass
    monkeypatch.setitem(sys.modules, "ppk2_api.ppk2_api", None)
    with pytest.raises(UserError, match=r"needs an extra: python -m pip install 'kilobench\[ppk2\]'"):
        meter("ppk2")


def test_a_package_may_bring_its_own_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "own_meter-1.dist-info"
    info.mkdir()
    (tmp_path / "own_meter.py").write_text("def connect(text): return 'the meter at ' + text\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-meter\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[kilobench.power]\nown = own_meter:connect\nbad = no_such:connect\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert meter("own:COM1") == "the meter at COM1"  # type: ignore[comparison-overlap]
    with pytest.raises(UserError, match="the power meter 'bad' cannot be used: No module"):
        meter("bad")


def test_the_scale_is_that_of_the_decoder() -> None:
    from ppk2_api.ppk2_api import PPK2_API

    with attached(b"") as device:
        assert PPK2_API(device.port).adc_mult == SCALE


def test_energy_is_shown_only_where_it_was_measured(tmp_path: Path) -> None:
    plain = [record("full"), record("int8", correct=70)]
    assert plain[0].energy_uj is None and "energy_uj" in plain[0].model_dump()
    render(plain, tmp_path / "plain")
    assert "nergy" not in (tmp_path / "plain/tasks/fsdd-classes=5.md").read_text()
    render([record("full", energy_uj=1234.56), plain[1]], tmp_path / "some")
    page = (tmp_path / "some/tasks/fsdd-classes=5.md").read_text()
    assert "Energy µJ" in page and "1234.6" in page and "nan" not in page and "by a power meter" in page
    folds = [record("full", fold=0, energy_uj=10.0), record("full", fold=1, energy_uj=20.0)]
    assert [row["energy_uj"] for row in rows_of(folds)] == [15.0]
    assert all(np.isnan(row["energy_uj"]) for row in rows_of([folds[0], record("full", fold=1)]))

# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from kilobench.cli import main
from kilobench.results.store import Store
from tests.caches import new_cache
from tests.results.records import record

DIGITS = ["--task", "digits", "--recipe", "xnor", "--board", "nucleo_l476rg"]
WRONG = [
    (["--training", "batch=-5"], "training: batch must be at least 1, not -5"),
    (["--training", "batch=2.5"], "training: batch must be of type int, not '2.5'"),
    (["--training", "epochs=0"], "training: epochs must be at least 1, not 0"),
    (["--training", "epochs=-3"], "training: epochs must be at least 1, not -3"),
    (["--training", "steps=-1"], "training: steps must be at least 0, not -1"),
    (["--training", "lr=nan"], "training: lr must be a finite number, not 'nan'"),
    (["--training", "lr=inf"], "training: lr must be a finite number, not 'inf'"),
    (["--training", "lr=0"], "training: lr must be at least 1e-12, not 0.0"),
    (["--training", "epochs=3,steps=5"], "training: give epochs or steps, not both"),
    (["--training", "epoch=3"], "training has no parameter 'epoch'; nearest is 'epochs'"),
    (["--network", "acdnet[width=0]"], "acdnet: width must be positive, not 0"),
    (["--network", "resnet8[width=nan]"], "resnet8: width must be a finite number, not 'nan'"),
    (["--network", "resnet8[width=-4]"], "resnet8: width must be positive, not -4"),
    (["--seed", "-1"], "argument --seed: '-1' is not a whole number from 0 to 4294967295"),
    (["--seed", "4294967296"], "'4294967296' is not a whole number from 0 to 4294967295"),
    (["--effort", "0"], "the effort must be a positive number of trainings below 1e+06, not 0"),
    (["--effort", "-1"], "the effort must be a positive number of trainings below 1e+06, not -1"),
    (["--effort", "nan"], "the effort must be a positive number of trainings below 1e+06, not nan"),
    (["--effort", "inf"], "the effort must be a positive number of trainings below 1e+06, not inf"),
    (["--effort", "much"], "argument --effort: 'much' is not a number of trainings"),
    (["--effort", "1"], "an effort of 1 leaves nothing to xnor after the first training; give more than 1"),
    (["--budget", "flash=0KiB"], "'0KiB' is no positive number with a unit (B, KiB, MiB)"),
    (["--budget", "flash=64KB"], "'64KB' is no positive number with a unit (B, KiB, MiB); nearest is 'KiB'"),
    (["--budget", "speed=3"], "budget 'speed=3': 'speed=3' is not of the form flash=, ram=, latency= or board="),
    (["--budget", "flash=64KiB,board=nucleo_l476"], "no board 'nucleo_l476'; nearest is 'nucleo_l476rg'"),
    (["--budget", "64KiB", "--board", "esp32_devkitc"], "cannot be emulated"),
    (["--budget", "flash=1KiB"], "board=nucleo_l476rg; the smallest takes "),
    (["--budget", "64KiB", "--recipe", "prune[keep=0.5]"], "prune: a budget says how much is kept; give no keep"),
    (["--recipe", "xnor[lr=-1]"], "xnor: lr must be positive, not -1"),
    (["--recipe", "prune[effort=0]"], "prune: effort must be positive, not 0"),
    (["--recipe", "xnor[layout=study,keep=first]"], "xnor: layout=study says what keep is; leave it out"),
    (["--recipe", "int8+xnor"], "recipe 'int8+xnor': xnor cannot follow int8"),
    (["--recipe", "distill+xnor[layout=study]"], "xnor begins with the untrained network: it must be the first"),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "quikstart"], "no suite 'quikstart'; nearest is 'quickstart'"),
        (["run", "--task", "fsd", "--recipe", "full", "--board", "nucleo_l476rg"], "no task 'fsd'; nearest is 'fsdd'"),
        (["run", "--task", "digits", "--recipe", "full"], "--board is missing"),
        (["run"], "--task is missing"),
        (["run", "quickstart", "--task", "digits"], "not both"),
        (["run", "quickstart", "--on", "usb"], "no link 'usb'"),
        (["run", "quickstart", "--on", "serial"], "nucleo_l476rg"),  # neither its platform nor the board is here
        (["run", "quickstart", "--power", "ppk2"], "--power is for real boards: --on serial"),
        (["run", "--task", "digits", "--recipe", "full", "--board", "esp32_devkitc"], "cannot be emulated"),
        *((["run", *DIGITS, *options], message) for options, message in WRONG),
        (["show", "xnr"], "nothing is called 'xnr'; nearest is 'xnor'"),
        (["list", "method"], "no command or kind 'method'; nearest is 'methods'"),
        (["data", "verfy", "fsdd"], "no command or kind 'verfy'; nearest is 'verify'"),
        (["lst"], "no command or kind 'lst'; nearest is 'list'"),
        (["--plugins", "nowhere", "list"], "no such file or folder"),
        (["leaderboard", "--output", "nowhere"], "holds no records"),
        (["new", "method", "Bad Name"], "not 'Bad Name'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    cache: Path,
) -> None:
    monkeypatch.setenv("KILOBENCH_PLUGINS", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KILOBENCH_CACHE", str(new_cache(tmp_path / "cache", cache)))
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code  # type: ignore[assignment]
    assert code == 2
    error_text = capsys.readouterr().err
    assert message in error_text
    assert error_text.startswith("kilobench: ")
    assert error_text.count("\n") == 1
    assert not (tmp_path / "cache" / "models").exists()  # nothing was trained


def test_the_site_replaces_no_other_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store(tmp_path / "records").write(record())
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mine.html").write_text("mine")
    assert main(["leaderboard", "--output", str(tmp_path)]) == 2
    assert "is no site of kilobench" in capsys.readouterr().err
    assert (tmp_path / "site" / "mine.html").read_text() == "mine"
    (tmp_path / "site" / "mine.html").rename(tmp_path / "mine.html")
    (tmp_path / "site").rmdir()
    for _ in range(2):  # its own it replaces
        assert main(["leaderboard", "--output", str(tmp_path)]) == 0
    assert str(tmp_path / "site" / "index.html") in capsys.readouterr().out


def test_doctor_finds_what_the_tests_run_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "everything that is needed is there" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["method", "task", "network", "board"])
def test_scaffolds_pass_the_contract_tests(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILOBENCH_PLUGINS", "")
    assert main(["new", kind, "mine", "--to", str(tmp_path)]) == 0
    path = capsys.readouterr().out.splitlines()[0]
    assert main(["test", path]) == 0
    output = capsys.readouterr().out
    assert "ok      mine: can be imported" in output
    assert output.count("ok ") >= 2
    assert main(["new", kind, "mine", "--to", str(tmp_path)]) == 2

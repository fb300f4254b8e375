# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from kilobench.cli import main
from kilobench.results.store import Store
from tests.results.records import record


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
) -> None:
    monkeypatch.setenv("KILOBENCH_PLUGINS", "")
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code  # type: ignore[assignment]
    assert code == 2
    error_text = capsys.readouterr().err
    assert message in error_text
    assert error_text.startswith("kilobench: ")
    assert error_text.count("\n") == 1


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

"""The wheel, built from the sdist, in a clean environment."""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_lists_its_contributions_in_a_clean_environment(tmp_path: Path) -> None:
    """Listing needs PyYAML and filelock only; the heavy dependencies are left out to keep this quick."""
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert len(list(tmp_path.glob("*.tar.gz"))) == 1
    venv.create(tmp_path / "clean", with_pip=True)
    python = tmp_path / "clean" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", "pyyaml", "filelock"], check=True)
    subprocess.run([*pip, "--no-deps", wheel], check=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "KILOBENCH"))}
    program = tmp_path / "clean" / "bin" / "kilobench"
    done = subprocess.run([program, "list"], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    for name in ("spoken-words", "acdnet", "xnor", "raspberry_pi_pico", "quickstart"):
        assert name in done.stdout
    assert "BROKEN" not in done.stdout
    one_name = "from kilobench.contrib.methods.xnor import Xnor; print(Xnor.__module__)"
    done = subprocess.run(
        [python, "-c", one_name], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
    )
    assert done.stdout.strip() == "kilobench.contrib.methods.xnor"

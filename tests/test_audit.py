"""The audit trail: whole lines, written before the answer, or a failure."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from mmap import mmap
from pathlib import Path

import pytest

from broker.audit import WRITE_WITHIN, AuditUnavailable, Trail, cleaned


def lines(path: Path) -> list[dict[str, int]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_each_event_is_one_line(tmp_path: Path) -> None:
    trail = Trail(tmp_path / "audit")
    await asyncio.gather(*(trail.write({"n": number, "text": "a\nb"}) for number in range(200)))
    trail.close()
    assert sorted(line["n"] for line in lines(tmp_path / "audit")) == list(range(200))
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o600


async def test_a_renamed_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    trail = Trail(path)
    await trail.write({"n": 1})
    path.rename(tmp_path / "audit.1")
    await trail.write({"n": 2})
    trail.close()
    assert [line["n"] for line in lines(tmp_path / "audit.1")] == [1]
    assert [line["n"] for line in lines(path)] == [2]


async def test_a_full_disk_fails_every_event() -> None:
    trail = Trail(Path("/dev/full"))
    for _ in range(2):
        with pytest.raises(AuditUnavailable):
            await trail.write({"n": 1})
    trail.close()


async def test_a_reader_that_hangs_fails_in_time(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    trail = Trail(path)
    begun = asyncio.get_running_loop().time()
    with pytest.raises(AuditUnavailable):
        await asyncio.gather(*(trail.write({"text": "x" * 4000}) for _ in range(40)))
    taken = asyncio.get_running_loop().time() - begun
    os.set_blocking(reader, False)
    while True:  # drain, so that the writing thread ends
        try:
            if not os.read(reader, 1 << 16):
                break
        except BlockingIOError:
            await asyncio.sleep(0.01)
            if not trail.busy:
                break
    trail.close()
    os.close(reader)
    assert taken < WRITE_WITHIN + 10  # and not for ever


_WORKER = """
import asyncio, sys
from broker.audit import Trail

async def main():
    trail = Trail(None)
    print("ready", file=sys.stderr)
    sys.stdin.readline()  # that the other workers are ready too, and the pipe is read
    for _ in range(20):
        await trail.write({"worker": sys.argv[1], "text": "x" * 100_000})
    trail.close()

asyncio.run(main())
"""


def test_long_lines_of_several_workers_do_not_mix_in_a_pipe() -> None:
    read, write = os.pipe()
    commands = [[sys.executable, "-c", _WORKER, str(number)] for number in range(3)]
    pipe_of = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe_of, stdout=write, stderr=pipe_of) for command in commands]
    os.close(write)
    for worker in workers:
        assert worker.stderr is not None
        with worker.stderr:
            assert worker.stderr.readline() == b"ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
    with os.fdopen(read, "rb") as pipe:
        written = [json.loads(line)["worker"] for line in pipe]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert Counter(written) == {"0": 20, "1": 20, "2": 20}


def _writing(text: str, pipe: int, torn: mmap) -> int:
    """A worker that writes one event to its standard output, which is the pipe."""
    worker = os.fork()
    if worker == 0:
        os.dup2(pipe, 1)
        asyncio.run(Trail(None, torn).write({"text": text}))
        os._exit(0)
    return worker


def test_a_line_in_a_pipe_whose_worker_was_killed_is_ended_by_the_next() -> None:
    read, write = os.pipe()
    torn = mmap(-1, 1)
    killed = _writing("x" * 1_000_000, write, torn)
    assert os.read(read, 10) == b'{"text":"x'
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    workers = [_writing(text, write, torn) for text in ("a", "b")]
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        fragment, *lines = pipe.read().splitlines()
    assert set(fragment) == {ord("x")}
    assert sorted(json.loads(line)["text"] for line in lines) == ["a", "b"]
    assert [os.waitpid(worker, 0)[1] for worker in workers] == [0, 0]


def test_what_callers_write_is_cleaned() -> None:
    assert cleaned("a\x1b[31m\r\nb\u202e") == "a�[31m��b�"
    assert len(cleaned("x" * 5000)) == 1024

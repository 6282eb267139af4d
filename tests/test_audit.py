"""The audit trail: whole lines, written before the answer, or a failure."""

import asyncio
import json
import os
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
    assert asyncio.get_running_loop().time() - begun < WRITE_WITHIN + 1
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


def test_what_callers_write_is_cleaned() -> None:
    assert cleaned("a\x1b[31m\r\nb\u202e") == "a�[31m��b�"
    assert len(cleaned("x" * 5000)) == 1024

"""Load on an HTTP server from a process of its own, and what the server's process tree spent on it."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Measured:
    """Answers per second, the server's CPU per answer (microseconds, children included), and latency (milliseconds)."""

    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    failed: int

    @property
    def per_cpu_second(self) -> float:
        """Answers per second of the server's CPU."""
        return 1e6 / self.cpu_us if self.cpu_us else 0.0


def tree_cpu_seconds(pid: int, *, leave_out: Sequence[str] = ()) -> float:
    """User and system time of a process and its living descendants; `leave_out`: names that do not count."""
    children: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            head, _, rest = (entry / "stat").read_text().rpartition(")")
        except OSError:
            continue
        fields = rest.split()
        number = int(entry.name)
        names[number] = head.partition("(")[2]
        children.setdefault(int(fields[1]), []).append(number)
        spent[number] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    total, waiting = 0.0, [pid]
    while waiting:
        each = waiting.pop()
        waiting += children.get(each, ())
        if names.get(each) not in leave_out:
            total += spent.get(each, 0.0)
    return total


def run(pid: int, requests: Sequence[bytes], url: str, *, seconds: float, connections: int = CONNECTIONS) -> Measured:
    """Send `requests` round and round over keep-alive connections from a second process."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        Path(file.name).write_text(json.dumps([request.decode("latin-1") for request in requests]))
        command = [sys.executable, "-m", "benchmarks.load", url, str(seconds), str(connections), file.name]
        before = tree_cpu_seconds(pid, leave_out=("valkey-server", "redis-server"))
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        after = tree_cpu_seconds(pid, leave_out=("valkey-server", "redis-server"))
    result = json.loads(answer.stdout)
    done = result["answered"]
    return Measured(
        rate=done / result["seconds"],
        cpu_us=(after - before) / max(done, 1) * 1e6,
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        failed=result["failed"],
    )


async def _connection(
    host: str, port: int, requests: Sequence[bytes], start: int, until: float
) -> tuple[list[float], int]:
    took: list[float] = []
    failed, position = 0, start
    reader, writer = await asyncio.open_connection(host, port)
    while time.perf_counter() < until:
        begun = time.perf_counter()
        try:
            writer.write(requests[position % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
            )
            await reader.readexactly(length)
            closing = b"connection: close" in head.lower()
        except (OSError, asyncio.IncompleteReadError):
            closing, head = True, b""
        position += 1
        if b" 200 " in head[:20]:
            took.append(time.perf_counter() - begun)
        else:
            failed += 1
        if closing:
            writer.close()
            reader, writer = await asyncio.open_connection(host, port)
    writer.close()
    return took, failed


async def _main(url: str, seconds: float, connections: int, path: str) -> None:
    parts = urlsplit(url)
    requests = [text.encode("latin-1") for text in json.loads(Path(path).read_text())]
    begun = time.perf_counter()
    stride = max(1, len(requests) // connections)
    results = await asyncio.gather(
        *(
            _connection(parts.hostname or "", parts.port or 80, requests, number * stride, begun + seconds)
            for number in range(connections)
        )
    )
    took = sorted(each for times, _ in results for each in times)
    print(
        json.dumps(
            {
                "answered": len(took),
                "failed": sum(failed for _, failed in results),
                "seconds": time.perf_counter() - begun,
                "p50_ms": took[len(took) // 2] * 1e3 if took else 0,
                "p99_ms": took[len(took) * 99 // 100] * 1e3 if took else 0,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))

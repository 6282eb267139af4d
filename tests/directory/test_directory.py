"""The configuration in force: replaced as a whole, or not at all."""

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from broker.directory.directory import Directory, Refused, Reloaded
from broker.directory.files import load
from broker.settings import Overrides
from tests.directory.conftest import Write

ACCOUNT = 'Account: "111122223333"\n'
ALICE = ACCOUNT + "Users:\n  - UserName: alice\n"
POLL = timedelta(milliseconds=20)

Reports = list[Reloaded | Refused]


@pytest.fixture
def reports() -> Reports:
    return []


@pytest.fixture
def directory(write: Write, reports: Reports) -> Directory:
    path = write({"accounts/a.yaml": ACCOUNT, "accounts/secret": "hunter2222\n"})
    environ = {"KEY": "AKIAIOSFODNN7EXAMPLE"}
    overrides = Overrides(port=9999)
    snapshot = load(path, environ=environ, overrides=overrides)
    return Directory(path, snapshot, environ=environ, overrides=overrides, report=reports.append)


async def test_a_reload_puts_the_files_in_force(directory: Directory, tmp_path: Path, reports: Reports) -> None:
    before = directory.snapshot
    (tmp_path / "accounts" / "a.yaml").write_text(ALICE)
    result = await directory.reload()
    assert isinstance(result, Reloaded)
    assert reports == [result]
    assert directory.snapshot is result.snapshot
    assert set(directory.snapshot.accounts["111122223333"].users) == {"alice"}
    assert not before.accounts["111122223333"].users


async def test_a_faulty_file_changes_nothing(directory: Directory, tmp_path: Path, reports: Reports) -> None:
    before = directory.snapshot
    (tmp_path / "accounts" / "a.yaml").write_text(ALICE + "    Pathh: x\n")
    (tmp_path / "accounts" / "b.yaml").write_text('Account: "999999999999"\n')
    result = await directory.reload()
    assert isinstance(result, Refused)
    assert [fault.line for fault in result.error.faults] == [4]
    assert directory.snapshot is before
    assert reports == [result]


async def test_what_needs_a_restart_is_said_and_waits_for_it(directory: Directory, tmp_path: Path) -> None:
    assert directory.snapshot.settings.public_url == "http://localhost:9999"
    (tmp_path / "sojourn.yaml").write_text(
        "server: {workers: 2, public_url: https://sts.acme.test, trusted_proxies: [10.0.0.0/8]}\n"
        "sts: {regions: [eu-west-1]}\nkeys: {rotate_every: 60d}\n"
    )
    for _ in range(2):
        result = await directory.reload()
        assert isinstance(result, Reloaded)
        assert result.restart_needed == ("server", "keys.rotate_every")
    settings = directory.snapshot.settings
    assert settings.sts.regions == ("eu-west-1",)
    assert (settings.server.workers, settings.server.trusted_proxies, settings.server.port) == (1, (), 9999)
    assert (settings.public_url, settings.saml_entity_id) == (
        "http://localhost:9999",
        "http://localhost:9999/saml/metadata",
    )
    assert (settings.keys.rotate_every, settings.state) == (timedelta(days=30), tmp_path / "state")


async def test_master_keys_need_no_restart(directory: Directory, tmp_path: Path) -> None:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    (tmp_path / "sojourn.yaml").write_text(f"keys: {{master: {key}}}\n")
    result = await directory.reload()
    assert isinstance(result, Reloaded)
    assert result.restart_needed == ()
    assert len(result.snapshot.settings.keys.master) == 1
    (tmp_path / "sojourn.yaml").write_text(f"keys: {{master: {key}, rotate_every: 60d}}\n")
    result = directory.reload_at_once()
    assert isinstance(result, Reloaded)
    assert result.restart_needed == ("keys.rotate_every",)
    assert directory.snapshot is result.snapshot


@asynccontextmanager
async def watching(directory: Directory) -> AsyncIterator[None]:
    task = asyncio.create_task(directory.watch(POLL))
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_changed_new_and_removed_files_are_noticed(
    directory: Directory, tmp_path: Path, reports: Reports
) -> None:
    accounts = tmp_path / "accounts"
    async with watching(directory):
        (accounts / "a.yaml").write_text(ALICE)
        await until(lambda: len(reports) == 1)
        (accounts / "b.yaml").write_text('Account: "999999999999"\n')
        await until(lambda: len(reports) == 2)
        assert set(directory.snapshot.accounts) == {"111122223333", "999999999999"}
        (accounts / "b.yaml").unlink()
        await until(lambda: len(reports) == 3)
        assert set(directory.snapshot.accounts) == {"111122223333"}
        # Replaced by a file of the same size and time, as a deployment tool may do.
        (accounts / "new").write_text(ALICE.replace("alice", "malik"))
        stat = (accounts / "a.yaml").stat()
        os.utime(accounts / "new", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        (accounts / "new").replace(accounts / "a.yaml")
        await until(lambda: len(reports) == 4)
        assert set(directory.snapshot.accounts["111122223333"].users) == {"malik"}


async def test_files_that_are_put_in_are_watched_too(directory: Directory, tmp_path: Path, reports: Reports) -> None:
    (tmp_path / "accounts" / "a.yaml").write_text(
        ALICE + '    AccessKeys: [{AccessKeyId: "${env:KEY}", SecretAccessKey: "${file:accounts/secret}"}]\n'
    )
    await directory.reload()
    async with watching(directory):
        (tmp_path / "accounts" / "secret").write_text("another1\n")
        await until(lambda: len(reports) == 2)
    key = directory.snapshot.access_key("AKIAIOSFODNN7EXAMPLE")
    assert key is not None
    assert key.secret == "another1"


async def test_a_refused_state_is_reported_once_and_the_next_change_counts(
    directory: Directory, tmp_path: Path, reports: Reports
) -> None:
    file = tmp_path / "accounts" / "a.yaml"
    async with watching(directory):
        file.write_text(
            ALICE + "    AccessKeys: [{AccessKeyId: AKIAIOSFODNN7EXAMPLE, SecretAccessKey: '${file:late}'}]"
        )
        await until(lambda: len(reports) == 1)
        await asyncio.sleep(10 * POLL.total_seconds())
        assert len(reports) == 1
        assert isinstance(reports[0], Refused)
        assert not directory.snapshot.accounts["111122223333"].users
        (tmp_path / "late").write_text("wJalrXUtnFEMI")
        await until(lambda: len(reports) == 2)
    assert set(directory.snapshot.accounts["111122223333"].users) == {"alice"}


async def test_a_file_that_is_still_being_written_is_left_alone(
    directory: Directory, tmp_path: Path, reports: Reports
) -> None:
    async with watching(directory):
        with (tmp_path / "accounts" / "a.yaml").open("w") as stream:
            for line in (ALICE + "  - UserName: bob\n  - UserName: carol\n").splitlines(keepends=True):
                stream.write(line)
                stream.flush()
                await asyncio.sleep(POLL.total_seconds() / 2)
        await until(lambda: len(reports) == 1)
    assert set(directory.snapshot.accounts["111122223333"].users) == {"alice", "bob", "carol"}


async def test_the_event_loop_goes_on_while_files_are_read(write: Write, reports: Reports) -> None:
    roles = "".join(
        f"""  - RoleName: r{i}
    AssumeRolePolicyDocument:
      Version: 2012-10-17
      Statement: [{{Effect: Allow, Principal: {{AWS: "111122223333"}}, Action: "sts:AssumeRole"}}]
"""
        for i in range(300)
    )
    path = write({"accounts/a.yaml": f"{ACCOUNT}Roles:\n{roles}"})
    directory = Directory(path, load(path, environ={}), environ={}, overrides=Overrides(), report=reports.append)
    reload = asyncio.create_task(directory.reload())
    ticks = 0
    while not reload.done():
        await asyncio.sleep(0)
        ticks += 1
    assert isinstance(reload.result(), Reloaded)
    assert ticks > 5

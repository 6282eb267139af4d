"""Encryption, fail-over, time limits: slapd with certificates, stopped, hung and back again."""

import asyncio
import contextlib
import socket
import ssl
import time
from datetime import timedelta
from pathlib import Path

import pytest

from providers.contract import Password
from providers.errors import ProviderUnavailable
from providers.ldap import LdapProvider
from providers.ldap.config import Address
from providers.ldap.servers import Lease
from providers.ldap.wire import Link, ServerFailed
from tests.fakes.slapd import Authority, Slapd
from tests.fakes.tcp_proxy import TcpProxy
from tests.providers.ldap.conftest import MakeProvider

LONG_PAUSE = {"first_pause": timedelta(minutes=10), "longest_pause": timedelta(minutes=10)}
"""A server that failed is passed over for as long as a test takes."""
ALICE = Password("alice", "correct horse")


async def unavailable(provider: LdapProvider) -> ProviderUnavailable:
    """Why it is, after no more than once the time of a sign-in, and long before that where it has a minute."""
    most = min(provider.config.timeout.total_seconds() * 1.9, 30)
    began = time.monotonic()
    with pytest.raises(ProviderUnavailable) as failure:
        await provider.verify(ALICE)
    assert time.monotonic() - began < most
    assert "correct horse" not in f"{failure.value} {failure.value.detail}"
    return failure.value


async def until_back(provider: LdapProvider) -> None:
    """Sign in again and again until it succeeds: a server is passed over for a second after its first failure, then
    for two, and long after many."""
    end = time.monotonic() + 15
    while True:
        try:
            await provider.verify(ALICE)
        except ProviderUnavailable:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        else:
            return


async def test_ldaps_and_start_tls_with_a_private_authority(
    provider: MakeProvider, directory: Slapd, authority: Authority
) -> None:
    by_address = f"ldaps://127.0.0.1:{directory.tls_port}"
    for urls, start_tls in (((directory.ldaps_url,), False), ((by_address,), False), ((directory.url,), True)):
        ldap = provider(urls=urls, start_tls=start_tls, ca_file=authority.file)
        for _ in range(2):
            assert (await ldap.verify(ALICE)).session_name == "alice"


async def test_an_unknown_authority_or_another_name_is_not_trusted(
    provider: MakeProvider, directory: Slapd, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    await unavailable(provider(urls=(directory.ldaps_url,)))
    await unavailable(provider(urls=(directory.ldaps_url,), ca_file=other.file))
    await unavailable(provider(start_tls=True, ca_file=other.file))
    with Slapd(tmp_path / "wrong", certificate=authority.issue(tmp_path / "tls", "directory.test")) as misnamed:
        for urls, start_tls in (((misnamed.ldaps_url,), False), ((misnamed.url,), True)):
            ldap = provider(urls=urls, start_tls=start_tls, ca_file=authority.file)
            assert "certificate" in str((await unavailable(ldap)).detail).lower()
    with Slapd(tmp_path / "named", certificate=authority.issue(tmp_path / "tls2", "localhost")) as named:
        await provider(urls=(named.ldaps_url,), ca_file=authority.file).verify(ALICE)
        by_address = f"ldaps://127.0.0.1:{named.tls_port}"
        await unavailable(provider(urls=(by_address,), ca_file=authority.file))


async def test_a_refused_start_tls_ends_it(provider: MakeProvider, fragile: Slapd, authority: Authority) -> None:
    failure = await unavailable(provider(urls=(fragile.url,), start_tls=True, ca_file=authority.file))
    assert "TLS" in str(failure.detail)


def test_a_ca_file_that_is_none_is_refused_at_once(provider: MakeProvider, directory: Slapd, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises((OSError, ssl.SSLError)):
        provider(urls=(directory.ldaps_url,), ca_file=tmp_path / "ca.pem")


async def test_a_server_that_is_down_is_passed_over(provider: MakeProvider, directory: Slapd) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen yet: connections are refused
        ldap = provider(urls=(f"ldap://127.0.0.1:{nobody.getsockname()[1]}", directory.url), **LONG_PAUSE)
        for _ in range(3):
            await ldap.verify(ALICE)
        nobody.listen()
        nobody.settimeout(0)
        await ldap.verify(ALICE)
        with pytest.raises(BlockingIOError):
            nobody.accept()


async def test_referrals_are_not_followed(provider: MakeProvider, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0)
        referral = f"ldap://127.0.0.1:{elsewhere.getsockname()[1]}"
        with Slapd(tmp_path / "slapd", referral=referral) as server:
            await unavailable(provider(urls=(server.url,), user_search_base="dc=elsewhere,dc=test"))
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


async def test_a_server_that_is_back_is_noticed(provider: MakeProvider, fragile: Slapd) -> None:
    ldap = provider(urls=(fragile.url,), first_pause=timedelta(seconds=3))
    await ldap.verify(ALICE)
    fragile.stop()
    await unavailable(ldap)
    assert "a moment ago" in str((await unavailable(ldap)).detail)
    fragile.start()
    await until_back(ldap)


async def test_connections_that_the_server_closed_are_replaced(provider: MakeProvider, fragile: Slapd) -> None:
    ldap = provider(urls=(fragile.url,))
    await asyncio.gather(*(ldap.verify(ALICE) for _ in range(6)))
    fragile.stop()
    fragile.start()
    for _ in range(4):
        await ldap.verify(ALICE)


async def test_a_hung_server_costs_its_share_of_the_time_once(
    provider: MakeProvider, directory: Slapd, fragile: Slapd
) -> None:
    ldap = provider(urls=(fragile.url, directory.url), timeout=timedelta(seconds=6), **LONG_PAUSE)
    share = 2.85  # of two servers, and a little less
    await ldap.verify(ALICE)
    fragile.pause()
    try:
        began = time.monotonic()
        await ldap.verify(ALICE)
        assert time.monotonic() - began > share
        began = time.monotonic()
        for _ in range(5):
            await ldap.verify(ALICE)
        assert time.monotonic() - began < share
    finally:
        fragile.resume()


async def test_a_hung_server_alone_costs_the_time_and_no_more(
    provider: MakeProvider, fragile: Slapd, authority: Authority
) -> None:
    alone = provider(urls=(fragile.url,), timeout=timedelta(seconds=3))
    encrypted = provider(urls=(fragile.url,), start_tls=True, ca_file=authority.file, timeout=timedelta(seconds=3))
    fragile.pause()
    try:
        await asyncio.gather(unavailable(alone), unavailable(encrypted))
    finally:
        fragile.resume()
    await until_back(alone)


def test_each_operation_ends_with_its_own_time(fragile: Slapd) -> None:
    link = Link(Address("127.0.0.1", fragile.port, tls=False), tls=None, start_tls=False)
    link.open(time.monotonic() + 60)
    fragile.pause()
    try:
        began = time.monotonic()
        with pytest.raises(ServerFailed):
            link.bind("cn=x", b"x", time.monotonic() + 0.3)
        assert 0.2 < time.monotonic() - began < 30
    finally:
        fragile.resume()
        link.close()


def test_a_bind_without_a_name_or_a_password_is_not_sent(fragile: Slapd) -> None:
    link = Link(Address("127.0.0.1", fragile.port, tls=False), tls=None, start_tls=False)
    link.open(time.monotonic() + 60)
    for dn, password in (("", b"x"), ("cn=x", b"")):
        with pytest.raises(ServerFailed, match="anonymous"):
            link.bind(dn, password, time.monotonic() + 60)
    link.close()


def test_giving_a_call_up_touches_what_it_holds_and_not_what_it_held(fragile: Slapd) -> None:
    link = Link(Address("127.0.0.1", fragile.port, tls=False), tls=None, start_tls=False)
    link.open(time.monotonic() + 60)
    lease = Lease()
    lease.hold(link)
    assert lease.release()
    lease.abort()
    assert link.bind("cn=nobody,dc=acme,dc=test", b"x", time.monotonic() + 60).code == 49
    held = Lease()
    held.hold(link)
    held.abort()
    assert not held.release()
    with pytest.raises(ServerFailed):
        link.bind("cn=nobody,dc=acme,dc=test", b"x", time.monotonic() + 60)
    with pytest.raises(ServerFailed):
        held.hold(link)
    link.close()


async def test_two_hundred_sign_ins_at_a_hung_directory_leave_the_event_loop_free(
    provider: MakeProvider, fragile: Slapd
) -> None:
    ldap = provider(urls=(fragile.url,), timeout=timedelta(seconds=4))
    await ldap.verify(ALICE)
    lags: list[float] = []

    async def watch() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            lags.append(time.monotonic() - before)

    watching = asyncio.create_task(watch())
    fragile.pause()
    try:
        began = time.monotonic()
        ends = await asyncio.gather(*(ldap.verify(ALICE) for _ in range(200)), return_exceptions=True)
        assert time.monotonic() - began < 16
    finally:
        fragile.resume()
    watching.cancel()
    assert all(isinstance(end, ProviderUnavailable) for end in ends)
    assert sum(1 for end in ends if isinstance(end, ProviderUnavailable) and end.reason == "busy") == 137
    assert max(lags) < 2  # to wait for the directory would be nearly 4
    await until_back(ldap)


async def test_many_sign_ins_leave_the_event_loop_free(provider: MakeProvider, directory: Slapd) -> None:
    """Its thread does a small part of what they take."""
    ldap = provider()
    began = time.thread_time(), time.process_time()
    await asyncio.gather(*(ldap.verify(ALICE) for _ in range(60)))
    own, all_threads = time.thread_time() - began[0], time.process_time() - began[1]
    assert own < all_threads / 2


async def test_an_answer_that_drips_ends_with_the_time(provider: MakeProvider, directory: Slapd) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            writer.write(b"\x30\x84\x00\xff\xff\xff")
            while True:
                writer.write(b"\x02")
                await writer.drain()
                await asyncio.sleep(0.05)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ldap = provider(urls=(f"ldap://127.0.0.1:{port}",), timeout=timedelta(seconds=3), threads=1, waiting=0)
    await unavailable(ldap)
    end = time.monotonic() + 15
    while (await unavailable(ldap)).reason == "busy":  # until the thread is free again
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    server.close()


@pytest.mark.parametrize(
    "garbage",
    [b"HTTP/1.1 200 OK\r\n\r\n", b"\x30\x00", b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00", b"\0" * 64],
)
async def test_an_answer_that_is_no_ldap_is_no_verdict(provider: MakeProvider, garbage: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(garbage)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await unavailable(provider(urls=(f"ldap://127.0.0.1:{port}",), timeout=timedelta(seconds=3)))
    server.close()


async def test_a_connection_cut_in_the_middle_is_no_verdict(provider: MakeProvider, directory: Slapd) -> None:
    async with TcpProxy(directory.port) as proxy:
        for cut in (1, 10, 30, 100, 300, 500):
            proxy.cut_after = cut
            ldap = provider(urls=(f"ldap://127.0.0.1:{proxy.port}",))
            try:
                identity = await ldap.verify(ALICE)
            except ProviderUnavailable:
                continue
            assert identity.attributes["ldap:groups"] == ("developers",)

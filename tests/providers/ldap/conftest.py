"""One slapd for all tests of the room, and another for those that stop it."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from providers.ldap import LdapConfig, LdapProvider
from tests.fakes.clock import Clock
from tests.fakes.slapd import GROUPS, PEOPLE, SERVICE_DN, SERVICE_PASSWORD, Authority, Slapd

MakeProvider = Callable[..., LdapProvider]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Slapd]:
    root = tmp_path_factory.mktemp("slapd")
    certificate = authority.issue(root / "tls", "localhost", "127.0.0.1")
    with Slapd(root / "one", certificate=certificate, people=50) as server:
        yield server


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Slapd]:
    """A server that the test may change, pause and end."""
    with Slapd(tmp_path / "slapd", people=5) as server:
        yield server


@pytest_asyncio.fixture
async def provider(directory: Slapd) -> AsyncIterator[MakeProvider]:
    """Makes providers with a configuration that fits the tree, and closes them after the test.

    They have a minute for a sign-in, which only waiting in vain exceeds.
    """
    made: list[LdapProvider] = []

    def make(**settings: Any) -> LdapProvider:
        config: dict[str, Any] = {
            "issuer": "arn:aws:iam::111122223333:ldap-provider/corp",
            "urls": (directory.url,),
            "bind_dn": SERVICE_DN,
            "bind_password": SERVICE_PASSWORD,
            "user_search_base": PEOPLE,
            "group_search_base": GROUPS,
            "timeout": timedelta(minutes=1),
        }
        made.append(LdapProvider(LdapConfig(**(config | settings)), now=Clock()))
        return made[-1]

    yield make
    for each in made:
        await each.close()

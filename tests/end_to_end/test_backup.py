"""What docs/backup.md says: a store restored from a dump, a copied state directory, gateways replaced in turn."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.end_to_end.administration import ACCOUNTS, ADMIN, ALICE, CHIEF, SETTINGS, administer, lives, sojourn
from tests.end_to_end.federated_world import trusting
from tests.end_to_end.world import PROD, role, role_arn
from tests.fakes.background import Background
from tests.fakes.issuer import AUDIENCE, FakeIssuer
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration
from tests.waiting import until

RESTORE = Path(__file__).parents[2] / "deploy" / "store-from-dump"
DEPLOY = f"arn:aws:iam::{PROD}:role/ci/deploy"


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    issuer = FakeIssuer()
    with Background(issuer):
        yield issuer


def configured(directory: Path, issuer: FakeIssuer) -> Path:
    """The world of administration, and a role for tokens that are good once."""
    prod = ACCOUNTS["prod"]
    provider = {"Url": issuer.url, "ClientIdList": [AUDIENCE], "AllowHttp": True, "SingleUse": True}
    once = {**prod, "Roles": [*prod["Roles"], role("once", trusting(issuer.url))], "OIDCProviders": [provider]}
    write_configuration(directory, {**ACCOUNTS, "prod": once}, SETTINGS)
    return directory


def assume(gateway: Gateway, name: str) -> dict[str, str]:
    answer = gateway.client(credentials=ALICE).assume_role(RoleArn=DEPLOY, RoleSessionName=name)
    credentials: dict[str, str] = answer["Credentials"]
    return credentials


def redeem(gateway: Gateway, token: str) -> None:
    client: Any = gateway.client(config=Config(signature_version=UNSIGNED))
    client.assume_role_with_web_identity(RoleArn=role_arn("once"), RoleSessionName="once", WebIdentityToken=token)


def kids(gateway: Gateway) -> set[str]:
    with gateway.opener.open(f"{gateway.url}/.well-known/jwks.json", timeout=60) as answer:
        return {each["kid"] for each in json.load(answer)["keys"]}


def dumped(server: RedisServer, to: Path) -> Path:
    """A dump of the server as it is."""
    assert server.command("BGSAVE").startswith("+")
    made = server.directory / "dump.rdb"
    until(made.exists)
    return Path(shutil.copy(made, to))


def test_a_store_restored_from_a_dump_knows_what_the_dump_knew(tmp_path: Path, issuer: FakeIssuer) -> None:
    one, two = (configured(tmp_path / name, issuer) for name in ("one", "two"))
    token = issuer.token()
    with (
        RedisServer(tmp_path / "lost") as server,
        running(Gateway(one, store=server.url)) as first,
        running(Gateway(two, store=server.url)) as second,
    ):
        before, revoked = assume(first, "before"), assume(first, "revoked")
        known = kids(first)
        dump = dumped(server, tmp_path / "backup.rdb")
        administer(second, ADMIN, "RevokeSessions", AccessKeyId=revoked["AccessKeyId"])
        after = assume(second, "after")
        redeem(second, token)
        assert [lives(first, each) for each in (before, revoked, after)] == [True, False, True]

    restored = tmp_path / "restored"
    restored.mkdir()
    subprocess.run([RESTORE, dump, restored], check=True, capture_output=True, timeout=120)
    with (
        RedisServer(restored) as server,
        running(Gateway(one, store=server.url)) as first,
        running(Gateway(two, store=server.url, state=tmp_path / "new")) as second,
    ):
        assert kids(second) == known
        for gateway in (first, second):
            # What was revoked after the dump is back: the page says what to do about it.
            assert [lives(gateway, each) for each in (before, revoked, after)] == [True, True, False]
            with pytest.raises(ClientError):
                redeem(gateway, token)

        assert sojourn(first, CHIEF, "keys", "rotate", "--end-sessions").returncode == 0
        for gateway in (first, second):
            assert [lives(gateway, each) for each in (before, revoked)] == [False, False]
            assert not kids(gateway) & known
        assert lives(second, assume(first, "anew"))


def test_a_dump_is_not_put_over_a_store(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "backup.rdb").write_bytes(b"REDIS0011")
    refused = subprocess.run([RESTORE, tmp_path / "backup.rdb", tmp_path], capture_output=True, text=True, timeout=120)
    assert (refused.returncode, "move it away first" in refused.stderr) == (1, True)
    (tmp_path / "new").mkdir()
    broken = subprocess.run([RESTORE, tmp_path / "backup.rdb", tmp_path / "new"], capture_output=True, timeout=120)
    assert broken.returncode == 1
    assert list((tmp_path / "new").iterdir()) == []


def test_a_copied_state_directory_is_a_gateway_with_its_sessions(tmp_path: Path, issuer: FakeIssuer) -> None:
    directory = configured(tmp_path / "one", issuer)
    with running(Gateway(directory)) as gateway:
        session = assume(gateway, "before")
    shutil.copytree(gateway.state, tmp_path / "copy")
    with running(Gateway(directory, state=tmp_path / "copy")) as gateway:
        assert lives(gateway, session)


def test_gateways_are_replaced_in_turn(tmp_path: Path, issuer: FakeIssuer) -> None:
    with RedisServer(tmp_path / "redis") as server:
        one, two = (Gateway(configured(tmp_path / name, issuer), store=server.url) for name in ("one", "two"))
        with running(one), running(two):
            session = assume(one, "before")
            for replaced, other in ((one, two), (two, one)):
                assert replaced.stop() == 0
                assert lives(other, session)
                assert lives(other, assume(other, "meanwhile"))
                replaced.start()
                assert lives(replaced, session)

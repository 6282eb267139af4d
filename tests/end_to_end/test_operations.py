"""Running it: crashes, reloads, several workers, draining, what rests in the store, audit and metrics."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest
import redis as redis_client
from botocore.exceptions import ClientError

from tests.end_to_end.refusals import refused
from tests.end_to_end.test_tls import certificate
from tests.end_to_end.world import ACCOUNTS, ALICE, DEV, PROD, role_arn
from tests.fakes.redis import RedisServer
from tests.gateway import SOJOURN, Gateway, clean_environment, running, write_configuration
from tests.waiting import until


def get(gateway: Gateway, path: str) -> tuple[int, bytes]:
    """Status and body."""
    try:
        with urllib.request.urlopen(gateway.url + path, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def assume(gateway: Gateway, **parameters: Any) -> Any:
    client = gateway.client(credentials=ALICE)
    return client.assume_role(RoleArn=role_arn("open"), RoleSessionName="ops", **parameters)["Credentials"]


def children(pid: int) -> dict[str, list[int]]:
    """Command name to process ids of a process's children."""
    found: dict[str, list[int]] = {}
    for entry in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may have ended just now
            found.setdefault(Path(f"/proc/{entry}/comm").read_text().strip(), []).append(int(entry))
    return found


def listens(gateway: Gateway) -> bool:
    """Whether a worker takes connections."""
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", gateway.port), timeout=60):
        return True
    return False


def kept(gateway: Gateway, credentials: Any) -> bool:
    """Whether a session stands in the embedded server's append-only file, which is written to a little later."""
    files = (path for path in gateway.state.rglob("*.aof*") if path.is_file())
    return any(credentials["AccessKeyId"].encode() in path.read_bytes() for path in files)


@pytest.fixture
def embedded(tmp_path: Path) -> Gateway:
    write_configuration(tmp_path, ACCOUNTS)
    return Gateway(tmp_path)


def test_sessions_survive_a_kill_of_the_gateway(embedded: Gateway) -> None:
    with running(embedded):
        credentials = assume(embedded)
        until(lambda: kept(embedded, credentials))
        embedded.kill()
        embedded.start()
        assert embedded.client(credentials=credentials).get_caller_identity()["Account"] == PROD


def test_sessions_survive_a_kill_of_the_embedded_server(embedded: Gateway) -> None:
    with running(embedded):
        assert embedded.process is not None
        credentials = assume(embedded)
        until(lambda: kept(embedded, credentials))
        (server,) = (pids[0] for name, pids in children(embedded.process.pid).items() if name.endswith("-server"))
        os.kill(server, signal.SIGKILL)
        client = embedded.client(credentials=credentials)

        def back() -> bool:
            try:
                return bool(client.get_caller_identity()["Account"] == PROD)
            except ClientError as error:
                assert error.response["Error"]["Code"] == "ServiceUnavailable"
                return False

        until(back)


def test_nothing_outlives_the_gateway(embedded: Gateway) -> None:
    with running(embedded):
        assert embedded.process is not None
        pids = [pid for each in children(embedded.process.pid).values() for pid in each]
        assert len(pids) == 2
        embedded.kill()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_two_workers_share_one_embedded_server(tmp_path: Path) -> None:
    write_configuration(tmp_path, ACCOUNTS)
    with running(Gateway(tmp_path, workers=2)) as gateway:
        assert gateway.process is not None
        parent = gateway.process.pid
        found = children(parent)
        assert sorted(len(pids) for pids in found.values()) == [1, 2]
        credentials = assume(gateway)
        for _ in range(20):
            assert gateway.client(credentials=credentials).get_caller_identity()["Account"] == PROD
        assert b"sojourn_sessions_minted_total" in get(gateway, "/metrics")[1]
        worker = found["sojourn"][0]
        os.kill(worker, signal.SIGKILL)
        until(lambda: len(set(children(parent).get("sojourn", [])) - {worker}) == 2)
        for _ in range(10):
            assume(gateway)


def test_a_worker_that_cannot_start_again_does_not_end_the_others(tmp_path: Path, redis: RedisServer) -> None:
    """Its private key is exchanged just then: the configuration is refused, the one before stays in force."""
    public, private = certificate(tmp_path)
    tls = {"certificate": public.name, "private_key": private.name}
    write_configuration(tmp_path, ACCOUNTS, {"server": {"tls": tls}})
    with running(Gateway(tmp_path, store=redis.url, workers=2, authority=public)) as gateway:
        assert gateway.process is not None
        parent = gateway.process.pid
        killed, other = children(parent)["sojourn"]
        key = private.read_bytes()
        private.write_bytes(b"")
        os.kill(killed, signal.SIGKILL)
        until(lambda: "the others serve on" in gateway.log)
        assert gateway.client(credentials=ALICE).get_caller_identity()["Account"] == DEV
        private.write_bytes(key)
        until(lambda: len(children(parent)["sojourn"]) == 2)
        assert other in children(parent)["sojourn"]


def test_a_session_ends_with_its_record_and_with_its_time(tmp_path: Path, redis: RedisServer) -> None:
    write_configuration(tmp_path, ACCOUNTS)
    with running(Gateway(tmp_path, store=redis.url)) as gateway:
        credentials = assume(gateway)
        client = gateway.client(credentials=credentials)
        client.get_caller_identity()
        store = redis_client.Redis.from_url(redis.url)
        (key,) = [key for key in store.scan_iter() if credentials["AccessKeyId"].encode() in key]
        ttl = store.ttl(key)
        assert 3500 < ttl <= 3600
        store.delete(key)
        with refused("InvalidClientTokenId"):
            client.get_caller_identity()


def test_the_store_holds_nothing_usable(tmp_path: Path, redis: RedisServer) -> None:
    write_configuration(tmp_path, ACCOUNTS)
    store = redis_client.Redis.from_url(redis.url)
    store.flushdb()
    with running(Gateway(tmp_path, store=redis.url)) as gateway:
        credentials = [assume(gateway, SourceIdentity="alice") for _ in range(3)]
        dumped = b""
        for key in store.scan_iter():
            kind = store.type(key)
            dumped += key + b"\n" + (store.get(key) if kind == b"string" else repr(store.zrange(key, 0, -1)).encode())
        assert b"ASIA" in dumped
        for each in credentials:
            token = each["SessionToken"]
            for secret in (each["SecretAccessKey"], token, token.rpartition(".")[2], token.split(".")[1]):
                assert secret.encode() not in dumped
        for secret in (ALICE["SecretAccessKey"], "PRIVATE KEY", (gateway.state / "master-key").read_text().strip()):
            assert secret.encode() not in dumped


def test_secrets_stay_out_of_logs_and_audit(tmp_path: Path, redis: RedisServer) -> None:
    write_configuration(tmp_path, ACCOUNTS)
    with running(Gateway(tmp_path, store=redis.url)) as gateway:
        credentials = assume(gateway)
        gateway.client(credentials=credentials).get_caller_identity()
        with refused("SignatureDoesNotMatch"):
            gateway.client(credentials=credentials | {"SecretAccessKey": "z" * 40}).get_caller_identity()
        printed = gateway.log + json.dumps(gateway.audit)
        for secret in (credentials["SecretAccessKey"], credentials["SessionToken"], ALICE["SecretAccessKey"]):
            assert secret not in printed


def test_every_call_is_one_audit_record(tmp_path: Path, redis: RedisServer) -> None:
    write_configuration(tmp_path, ACCOUNTS)
    with running(Gateway(tmp_path, store=redis.url)) as gateway:
        credentials = assume(gateway, ExternalId="x-1")
        with refused("AccessDenied"):
            gateway.client(credentials=ALICE).assume_role(RoleArn=role_arn("names-bob"), RoleSessionName="ops")
        minted, denied = gateway.audit
    assert minted["eventName"] == "AssumeRole"
    assert minted["userIdentity"]["arn"] == f"arn:aws:iam::{DEV}:user/people/alice"
    assert minted["responseElements"]["credentials"]["accessKeyId"] == credentials["AccessKeyId"]
    assert denied["errorCode"] == "AccessDenied"
    assert denied["requestParameters"]["roleArn"] == role_arn("names-bob")
    statement = denied["additionalEventData"]["authorization"]["statements"][0]
    assert "user/bob" in statement["reasons"][0]


def test_nothing_is_minted_off_the_record(tmp_path: Path, redis: RedisServer) -> None:
    write_configuration(tmp_path, ACCOUNTS, {"audit": {"path": "/dev/full"}})
    store = redis_client.Redis.from_url(redis.url)
    with running(Gateway(tmp_path, store=redis.url)) as gateway:
        store.delete(*store.keys("*session:*") or [b"none"])
        with refused("ServiceUnavailable", "could not be put on record"):
            assume(gateway)
        assert store.keys("*session:ASIA*") == []


@pytest.mark.parametrize("path", ["nowhere/trail.jsonl", "accounts"])
def test_a_trail_that_cannot_be_written_is_told_at_the_start(tmp_path: Path, redis: RedisServer, path: str) -> None:
    write_configuration(tmp_path, ACCOUNTS, {"audit": {"path": path}})
    with running(Gateway(tmp_path, store=redis.url)) as gateway:
        assert f"warning: {tmp_path / path} cannot be written" in gateway.log


class TestReload:
    def test_a_changed_file_takes_effect(self, tmp_path: Path, redis: RedisServer) -> None:
        write_configuration(tmp_path, ACCOUNTS)
        with running(Gateway(tmp_path, store=redis.url)) as gateway:
            credentials = assume(gateway)
            changed = json.loads(json.dumps(ACCOUNTS))
            changed["prod"]["Roles"] = [each for each in changed["prod"]["Roles"] if each["RoleName"] != "open"]
            write_configuration(tmp_path, changed)
            until(lambda: self._denied(gateway))
            with refused("InvalidClientTokenId"):
                gateway.client(credentials=credentials).get_caller_identity()
            write_configuration(tmp_path, ACCOUNTS)
            until(lambda: not self._denied(gateway))
            gateway.client(credentials=credentials).get_caller_identity()

    def test_doubts_about_a_changed_file_are_told(self, tmp_path: Path, redis: RedisServer) -> None:
        write_configuration(tmp_path, ACCOUNTS)
        with running(Gateway(tmp_path, store=redis.url)) as gateway:
            for path in (tmp_path / "accounts").iterdir():
                path.unlink()
            until(lambda: "no account is described" in gateway.log)

    def test_a_faulty_file_is_reported_and_the_old_one_serves_on(self, tmp_path: Path, redis: RedisServer) -> None:
        write_configuration(tmp_path, ACCOUNTS)
        with running(Gateway(tmp_path, store=redis.url)) as gateway:
            assert gateway.process is not None
            path = tmp_path / "accounts" / "prod.yaml"
            path.write_text(path.read_text().replace("RoleName: open", "RolName: open"))
            gateway.process.send_signal(signal.SIGHUP)
            until(lambda: "configuration refused" in gateway.log)
            assert "RoleName" in gateway.log
            assume(gateway)
            # Once more where the change was seen on the disk, too, before the signal's reload was over.
            assert re.search(rb"sojourn_configuration_refused_total [12]\.0", get(gateway, "/metrics")[1])

    def test_requests_in_flight_are_not_disturbed(self, tmp_path: Path, redis: RedisServer) -> None:
        write_configuration(tmp_path, ACCOUNTS)
        with running(Gateway(tmp_path, store=redis.url)) as gateway:
            assert gateway.process is not None
            stop, failures, answered = threading.Event(), [], []

            def call() -> None:
                client = gateway.client(credentials=ALICE)
                while not stop.is_set():
                    try:
                        client.get_caller_identity()
                        answered.append(1)
                    except Exception as error:
                        failures.append(error)

            threads = [threading.Thread(target=call) for _ in range(4)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(10):
                    gateway.process.send_signal(signal.SIGHUP)
                    until(partial(lambda before: failures or len(answered) > before + 4, len(answered)))
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
            assert not failures

    @staticmethod
    def _denied(gateway: Gateway) -> bool:
        try:
            assume(gateway)
        except Exception as error:
            assert "AccessDenied" in str(error)
            return True
        return False


SOON = 10.0
"""Seconds. What waits for a store until the operating system or the client gives up takes longer."""


class TestStoreDown:
    def test_it_starts_without_its_store_and_recovers(self, tmp_path: Path) -> None:
        write_configuration(tmp_path, ACCOUNTS)
        server = RedisServer(tmp_path / "redis")
        gateway = Gateway(tmp_path, store=server.url)
        with running(gateway, ready=False):
            until(
                lambda: (
                    json.loads(get(gateway, "/health/ready")[1])["reasons"]
                    == [
                        "store: it is unavailable; the log says why",
                        "keys: the signing keys cannot be read from the store",
                    ]
                )
            )
            assert get(gateway, "/health/ready")[0] == 503
            assert f"127.0.0.1:{server.port}" in gateway.log
            begun = time.monotonic()
            with refused("ServiceUnavailable"):
                assume(gateway)
            assert time.monotonic() - begun < SOON
            with server:
                gateway.wait()
                credentials = assume(gateway)
                server.kill()
                begun = time.monotonic()
                with refused("ServiceUnavailable"):
                    gateway.client(credentials=credentials).get_caller_identity()
                assert time.monotonic() - begun < SOON
                server.start()
                begun = time.monotonic()
                gateway.wait()
                assert time.monotonic() - begun < SOON
                gateway.client(credentials=credentials).get_caller_identity()

    def test_a_store_that_evicts_is_refused(self, tmp_path: Path) -> None:
        write_configuration(tmp_path, ACCOUNTS)
        with RedisServer(tmp_path / "redis", maxmemory="100mb", maxmemory_policy="allkeys-lru") as server:
            command = [SOJOURN, "serve", "--config", tmp_path, "--port", "1", "--store", server.url]
            ended = subprocess.run(
                [str(word) for word in [*command[:5], str(Gateway(tmp_path).port), *command[6:]]],
                capture_output=True,
                text=True,
                timeout=120,
                env=clean_environment(),
            )
            assert ended.returncode == 1
            assert "noeviction" in ended.stderr


def test_sigterm_drains_and_exits_zero(embedded: Gateway) -> None:
    with running(embedded):
        assert embedded.stop() == 0


def test_a_port_in_use_is_told(embedded: Gateway, tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(embedded):
        other = tmp_path_factory.mktemp("other")
        write_configuration(other, ACCOUNTS)
        ended = subprocess.run(
            [str(SOJOURN), "serve", "--config", str(other), "--port", str(embedded.port)],
            capture_output=True,
            text=True,
            timeout=120,
            env=clean_environment(),
        )
        assert ended.returncode == 1
        assert "in use" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_session_token_verifies_offline(gateway: Gateway) -> None:
    document = json.loads(get(gateway, "/.well-known/openid-configuration")[1])
    issuer = f"http://localhost:{gateway.port}"
    assert document["issuer"] == issuer
    assert document["jwks_uri"] == f"{issuer}/.well-known/jwks.json"
    keys = jwt.PyJWKSet.from_dict(json.loads(get(gateway, "/.well-known/jwks.json")[1]))
    credentials = assume(gateway, Tags=[{"Key": "Team", "Value": "mine"}])
    token = credentials["SessionToken"]
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"]) == ("ES256", "sts+jwt")
    claims = jwt.decode(token, keys[header["kid"]], algorithms=["ES256"], audience=issuer, issuer=issuer)
    assert claims["jti"] == credentials["AccessKeyId"]
    assert claims["sub"] == f"arn:aws:sts::{PROD}:assumed-role/open/ops"
    assert claims["account"] == PROD
    assert claims["use"] == "sigv4"
    assert claims["principal_tags"] == {"Team": "mine", "stage": "prod"}
    assert claims["exp"] == int(credentials["Expiration"].timestamp())


def test_many_tags_stay_out_of_the_token(gateway: Gateway) -> None:
    tags = [{"Key": f"key-{number}", "Value": "v" * 60} for number in range(50)]
    claims = jwt.decode(assume(gateway, Tags=tags)["SessionToken"], options={"verify_signature": False})
    assert claims["principal_tags_omitted"] is True
    assert "principal_tags" not in claims


def test_metrics_are_prometheus_text(gateway: Gateway) -> None:
    assume(gateway)
    text = get(gateway, "/metrics")[1].decode()
    assert 'sojourn_requests_total{action="AssumeRole",code="-",face="query"}' in text
    assert get(gateway, "/health/live")[0] == 200


def test_a_head_that_never_ends_is_not_waited_for(gateway: Gateway) -> None:
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=90) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n")
        assert connection.recv(100) == b""
    assert time.monotonic() - begun < 60


def test_a_request_in_flight_ends_before_the_gateway(tmp_path: Path, redis: RedisServer) -> None:
    write_configuration(tmp_path, ACCOUNTS)
    with running(Gateway(tmp_path, store=redis.url)) as gateway:
        assert gateway.process is not None
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as connection:
            body = b"Action=GetCallerIdentity&Version=2011-06-15"
            head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n"
            connection.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")  # it is in flight
            gateway.process.send_signal(signal.SIGTERM)
            until(lambda: not listens(gateway))
            connection.sendall(body)
            assert b"MissingAuthenticationToken" in connection.recv(10_000)
        assert gateway.stop() == 0

"""Value types of settings: durations, networks, URLs, files, each read strictly from its text."""

import re
import ssl
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainValidator, StringConstraints, ValidationInfo

from broker.sealing import parse_master_key
from broker.settings.sources import LoadedFile, Sources

_DURATION = re.compile(r"(?:([0-9]{1,5})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,7})m)?(?:([0-9]{1,9})s)?")


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
    result = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not result:
        raise ValueError("must be a duration such as 90s, 15m, 1h or 30d")
    return result


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be a network such as 10.0.0.0/8, without bits behind its prefix") from None


def split_url(url: str) -> SplitResult:
    """The parts of an absolute URL. Raises ValueError where it has no host or an impossible port."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if not parts.hostname or re.search(r"[\x00-\x20\x7f\\]", url):
        raise ValueError("is not a URL with a host")
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def http_url(url: str) -> str:
    """An http(s) URL without query, fragment and user. Raises ValueError."""
    parts = split_url(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("must begin with https:// or http://")
    if "?" in url or "#" in url or "@" in parts.netloc:
        raise ValueError("must have no user, query or fragment")
    return url


def _base_url(url: str) -> str:
    return http_url(url).rstrip("/")


class HasSources:
    """Validation context: where files are read from."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources


def _loaded(value: object, info: ValidationInfo) -> LoadedFile:
    if isinstance(value, LoadedFile):
        return value
    if isinstance(value, str) and isinstance(info.context, HasSources):
        try:
            return info.context.sources.file(value)
        except ValueError as error:
            raise ValueError(f"names a file that {error}; paths are relative to the configuration directory") from None
    raise ValueError("must be the path of a file")


def _certificates(file: LoadedFile) -> LoadedFile:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=file.text)
    except (ssl.SSLError, ValueError, TypeError):
        raise ValueError("names a file without a PEM certificate that can be read, or not all in ASCII") from None
    return file


def _master_keys(value: object) -> object:
    if value is None:
        return ()
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError("must be a text or a list of texts")
    keys = tuple(map(parse_master_key, texts))
    if len(set(keys)) < len(keys):
        raise ValueError("has the same key twice")
    return keys


_STORE_SCHEMES = (
    *("embedded", "redis", "rediss", "unix"),
    *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
)


def _store_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _STORE_SCHEMES:
        raise ValueError(f"must begin with one of {', '.join(f'{each}://' for each in _STORE_SCHEMES)}")
    if scheme == "embedded":
        if rest:
            raise ValueError("embedded:// takes nothing behind it; --state says where its files are")
        return url
    authority, _, path = rest.partition("/")
    hosts = authority.rpartition("@")[2]
    if scheme == "unix":
        if not path:
            raise ValueError("unix:// needs the path of a socket")
    elif scheme in ("redis", "rediss"):
        split_url(url)
    else:
        for host in hosts.split(","):
            split_url(f"redis://{host}")
        if scheme.endswith("+sentinel") and not path.partition("?")[0]:
            raise ValueError(f"{scheme}:// needs the name of the service behind the hosts, as in …/mymaster")
    return url


Text = Annotated[str, StringConstraints(min_length=1)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
HttpUrl = Annotated[str, AfterValidator(http_url)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
MasterKeys = Annotated[tuple[bytes, ...], BeforeValidator(_master_keys)]
File = Annotated[LoadedFile, PlainValidator(_loaded)]
CertificatesFile = Annotated[LoadedFile, PlainValidator(_loaded), AfterValidator(_certificates)]
AccountId = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]

"""How operators read values, and what they make of them."""

from collections.abc import Callable
from decimal import Decimal
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.policy import OPERATORS, RequestContext
from broker.policy.conditions import condition_test
from broker.policy.operators import OperatorName
from broker.policy.values import (
    read_address,
    read_arn,
    read_binary,
    read_bool,
    read_date,
    read_network,
    read_number,
)


def holds(operator: str, value: str, actual: str, **variables: str) -> bool:
    test = condition_test(OperatorName.parse(operator), "t:k", [value], variables=True, deny=False)
    return test(RequestContext({"t:k": actual} | {f"t:{name}": text for name, text in variables.items()}))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", "0"),
        ("1970-01-02T00:00Z", "86400"),
        ("1970-01-01T00:00:01.5Z", "1.5"),
        ("1970-01-01T02:30:00+02:30", "0"),
        ("1969-12-31T20:00:00-04:00", "0"),
        ("1969-12-31T23:59:59.75Z", "-0.25"),
        ("0001-01-01T00:00:00+23:59", "-62135683140"),
        ("1700000000", "1700000000"),
        ("-1.25", "-1.25"),
    ],
)
def test_a_date_is_an_instant(text: str, seconds: str) -> None:
    assert read_date(text) == Decimal(seconds)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_date, "2026-13-01"),
        (read_date, "2026-01-01T24:00Z"),
        (read_date, "2026-01-01T10:00:60Z"),
        (read_date, "2026-01-01T10:00"),
        (read_date, "2026-01-01 10:00Z"),
        (read_date, "2026-01-01T10:00+24:00"),
        (read_date, "2026-01-01T10:00+00:60"),
        (read_date, "0000-01-01"),
        (read_date, "２０２６-01-01"),
        (read_date, "2026-01-01\n"),
        (read_number, ""),
        (read_number, "1."),
        (read_number, "NaN"),
        (read_number, "1_000"),
        (read_number, "٣"),
        (read_number, " 1"),
        (read_number, "1" * 101),
        (read_bool, "1"),
        (read_bool, "true "),
        (read_binary, "QUI"),
        (read_binary, "QUI=="),
        (read_binary, "QU=I"),
        (read_binary, "é"),
        (read_address, "1.2.3"),
        (read_address, "1.2.3.256"),
        (read_address, "1.2.3.04"),
        (read_address, "1.2.3.4.5"),
        (read_address, "1.2.3.٤"),
        (read_address, "fe80::1%1"),
        (read_address, "10.0.0.0/8"),
        (read_network, "10.0.0.0/"),
        (read_network, "10.0.0.0/-1"),
        (read_network, "10.0.0.0/255.0.0.0"),
        (read_network, "10.0.0.0/8/8"),
        (read_network, "/8"),
        (read_arn, "arn:aws:s3::b"),
        (read_arn, "urn:aws:s3:::b"),
    ],
)
def test_what_cannot_be_read_is_refused(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read(text)


@settings(deadline=None)
@given(st.ip_addresses())
def test_addresses_are_read_as_the_standard_library_reads_them(address: object) -> None:
    expected = ip_address(str(address))
    assert read_address(str(address)) == (expected.version, int(expected))


@settings(deadline=None)
@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 128))
def test_networks_hold_what_the_standard_library_says(base: object, address: object, length: int) -> None:
    network = ip_network(f"{base}/{min(length, ip_address(str(base)).max_prefixlen)}", strict=False)
    expected = ip_address(str(address)) in network
    assert holds("IpAddress", str(network), str(address)) is expected
    assert holds("NotIpAddress", str(network), str(address)) is not expected


@pytest.mark.parametrize(
    ("operator", "value", "actual", "expected"),
    [
        ("StringEqualsIgnoreCase", "A*?", "a*?", True),
        ("StringEqualsIgnoreCase", "a*", "ab", False),
        ("StringEqualsIgnoreCase", "x${t:v}", "Xone", True),
        ("StringEqualsIgnoreCase", "x${t:none}", "x", False),
        ("StringEquals", "a*", "ab", False),
        ("StringEquals", "${t:v}", "One", True),
        ("StringEquals", "${t:v}${*}", "One*", True),
        ("StringLike", "${t:star}", "anything", False),
        ("StringLike", "${t:star}", "*", True),
        ("StringLike", "${t:star}*", "*x", True),
        ("ArnLike", "arn:aws:*:*:*:x${t:star}", "arn:aws:s3:::x*", True),
        ("ArnLike", "arn:aws:*:*:*:x${t:star}", "arn:aws:s3:::xy", False),
    ],
)
def test_wildcards_and_variables_mean_something_where_they_may(
    operator: str, value: str, actual: str, expected: bool
) -> None:
    assert holds(operator, value, actual, v="One", star="*") is expected


def test_every_negation_is_the_opposite_for_a_value_that_can_be_read() -> None:
    samples = {
        "String": ("a", "a", "b"),
        "Numeric": ("7", "7.0", "8"),
        "Date": ("2026-01-01", "2026-01-01T00:00Z", "0"),
        "Arn": ("arn:aws:s3:::a", "arn:aws:s3:::a", "arn:aws:s3:::b"),
        "IpAddress": ("10.0.0.0/8", "10.1.2.3", "11.1.2.3"),
    }
    negated = [name for name, operator in OPERATORS.items() if operator.negated]
    assert len(negated) == 8
    for name in negated:
        value, same, other = samples["IpAddress" if name == "NotIpAddress" else name.split("Not")[0]]
        assert not holds(name, value, same)
        assert holds(name, value, other)

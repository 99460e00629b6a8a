"""Client addresses: only trusted proxies may name another address than their own."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.client_addresses import client_address, client_of

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
STRANGER = "198.51.100.7"
PROXY = "10.0.0.1"
OTHER_PROXY = "10.9.9.9"

claims = st.lists(st.text(max_size=20) | st.ip_addresses().map(str), max_size=5).map(", ".join)


@given(claims)
def test_peer_without_a_trusted_proxy_is_the_client(claim: str) -> None:
    """Whatever its header claims."""
    assert client_address(STRANGER, claim, TRUSTED) == STRANGER
    assert client_address(PROXY, claim, ()) == PROXY


@given(claims)
def test_addresses_left_of_the_first_untrusted_one_are_ignored(claim: str) -> None:
    """The proxy appends its own peer at the right; the client wrote everything before it."""
    assert client_address(PROXY, f"{claim}, {STRANGER}", TRUSTED) == STRANGER
    assert client_address(OTHER_PROXY, f"{claim}, {STRANGER}, {PROXY}", TRUSTED) == STRANGER


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("", PROXY),
        ("garbage", PROXY),
        ("203.0.113.9, garbage", PROXY),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::5]:4711", "2001:db8::5"),
        ("2001:db8::5", "2001:db8::5"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        (" 203.0.113.9 ", "203.0.113.9"),
        ("203.0.113.9,", PROXY),
    ],
)
def test_header_forms_written_by_proxies(forwarded: str, client: str) -> None:
    """With or without a port; at an unreadable entry the last readable hop is the client."""
    assert client_address(PROXY, forwarded, TRUSTED) == client


def test_proxy_with_a_mapped_address_is_trusted() -> None:
    """A server that listens on IPv6 sees IPv4 peers as ::ffff:…"""
    assert client_address(f"::ffff:{PROXY}", STRANGER, TRUSTED) == STRANGER


@given(st.ip_addresses(v=4))
def test_each_ipv4_address_is_one_client(address: IPv4Address) -> None:
    """In either form."""
    assert client_of(str(address)) == client_of(f"::ffff:{address}") == str(address)


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_ipv6_network_is_one_client(address: IPv6Address, host: int) -> None:
    """A client with one address of a /64 has them all."""
    neighbour = IPv6Address((int(address) >> 64 << 64) | host)

    if not (int(address) >> 32 == 0xFFFF or int(neighbour) >> 32 == 0xFFFF):
        assert client_of(str(address)) == client_of(str(neighbour))
        assert client_of(str(address)) != client_of(str(IPv6Address(int(address) ^ 1 << 64)))


@given(st.text(max_size=30))
def test_invalid_addresses_share_one_bucket(text: str) -> None:
    try:
        ip_address(text)
    except ValueError:
        assert client_of(text) == "unknown"

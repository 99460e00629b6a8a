"""Determine a request's client address behind trusted proxies, and what counts as one client."""

from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

# One subscriber has a network of this size and could otherwise be any number of clients.
_IPV6_CLIENT_BITS = 64


def client_address(peer: str, forwarded_for: str, trusted: Collection[Network]) -> str:
    """Return the client address of a connection from `peer` with this X-Forwarded-For header.

    Each proxy appends its peer's address on the right. The list is read from the right while the
    writer of the entry is trusted; what is left of the first untrusted address is that client's own
    claim and is ignored.
    """
    address = peer
    for entry in reversed(forwarded_for.split(",")) if trusted and forwarded_for else ():
        if not _is_in(address, trusted):
            break
        before = _plain(entry)
        if before is None:
            break
        address = before
    return address


def client_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address or an IPv6 /64 network. All invalid texts
    are one.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), _IPV6_CLIENT_BITS), strict=False))


def _is_in(address: str, networks: Collection[Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def _plain(entry: str) -> str | None:
    """Return the address of an entry, which some proxies write with a port; None if it has none."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None

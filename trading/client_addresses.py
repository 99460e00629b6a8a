"""Where a request comes from: the client's own address behind the proxies that are trusted, and what of it counts as one client."""

from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

# One subscriber has a whole network of this size, and could otherwise be as many clients as he likes.
_IPV6_CLIENT_BITS = 64


def client_address(peer: str, forwarded_for: str, trusted: Collection[Network]) -> str:
    """The address of the client of a connection from ``peer``, whose X-Forwarded-For is ``forwarded_for``.

    Each proxy adds the address of its own peer to the right of what it was sent. So the list is read from the right for as long as whoever wrote an
    entry is trusted; whatever stands left of the first stranger is his own claim, and is never looked at.
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
    """What counts as one client: an IPv4 address, or the /64 network of an IPv6 address. A text that is no address is one client, whatever it is."""
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
    """The address of an entry, which some proxies write with a port; None for what is none."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None

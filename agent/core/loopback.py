"""Whether a host is this machine: one answer for the platform's address, the console's listener and its Host header."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host, a name or an address, is this machine by definition; nothing is looked up.

    Of names, ``localhost`` alone: a name below it (``edge.localhost``) is one that some resolvers ask the network for.
    """
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback

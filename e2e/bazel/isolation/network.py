"""network.py OUT: which interfaces there are, and whether anything answers outside loopback."""

import socket
import sys

interfaces = sorted(name for _, name in socket.if_nameindex())
try:
    # Nothing is sent: connecting a datagram socket only asks for a route (TEST-NET-1, RFC 5737).
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
    route = "a route"
except OSError as error:
    route = type(error).__name__ if error.errno is None else "no route"
with open(sys.argv[1], "w", encoding="utf-8") as out:
    out.write(f"{' '.join(interfaces)}: {route}\n")

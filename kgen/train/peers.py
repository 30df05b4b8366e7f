"""Notices within seconds that another worker of a training has died.

TensorFlow's coordination service sends heartbeats, and calls a worker lost after 10 s without one; the others may hear
of it as late as 20 s after its death, and a shorter timeout would give false alarms on a loaded machine, where a living
worker may send none for seconds. The kernel answers for a process however loaded the machine is: it closes the
connections of one that has died at once, and acknowledges the probes of TCP for one that lives. So every worker keeps a
connection to the port of every other (that of TF_CONFIG, no further one), and sends nothing over it.

TensorFlow's server closes such a connection every minute; a worker is dead where nobody listens then at its port. One
that hangs, and does not die, is left to the heartbeats.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence

PROBES = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 4}
"""Seconds of silence before the first probe, seconds between two, unanswered ones: 6 s for a lost machine."""
CONNECT_SECONDS = 2.0
"""So long a worker has to accept another connection."""
PAUSE_SECONDS = 0.1
"""Before that connection."""


class PeerWatch:
    """Watches other workers in threads of its own.

    Args:
        addresses: "host:port" of each.
        on_death: is called once, with the address of the first that died, in one of the threads.
    """

    def __init__(self, addresses: Sequence[str], on_death: Callable[[str], None]):
        self._on_death, self._lock, self._over = on_death, threading.Lock(), False
        self._connections: set[socket.socket] = set()
        for address in addresses:
            threading.Thread(target=self._watch, args=(address,), daemon=True, name=f"watch {address}").start()

    def stop(self):
        """Ends it; nobody is called afterwards."""
        with self._lock:
            self._over = True
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _watch(self, address: str):
        try:
            connection = _connect(address)
        except OSError:  # e.g. behind a firewall that only lets TensorFlow through
            return
        while self._closed(connection):
            time.sleep(PAUSE_SECONDS)
            try:
                connection = _connect(address)
            except OSError:
                break
        with self._lock:
            alarm = not self._over
            self._over = True
        if alarm:
            self._on_death(address)

    def _closed(self, connection: socket.socket) -> bool:
        """Waits until a connection is closed; whether it was so by the other side."""
        with connection:
            with self._lock:
                if self._over:
                    return False
                self._connections.add(connection)
            with contextlib.suppress(OSError):  # reset, or probes without an answer
                while connection.recv(4096):
                    pass
            with self._lock:
                self._connections.remove(connection)
                return not self._over


def _connect(address: str) -> socket.socket:
    """A connection that fails when the machine at its other end is gone."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS)
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in PROBES.items():
        if hasattr(socket, name):  # not on every system
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection

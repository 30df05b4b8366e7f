"""The death of another worker is noticed by its connections, and nothing else is taken for one."""

import socket
import threading

import pytest

from kgen.train import peers
from kgen.train.peers import PeerWatch

SECONDS = 20
"""Upper bound of a wait for a thread; none of the tests takes as long."""


class Peer:
    """A worker that listens, as TensorFlow's server does: it accepts connections and never answers."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self) -> socket.socket:
        self.listener.settimeout(SECONDS)
        return self.listener.accept()[0]

    def die(self, connection: socket.socket):
        """As the kernel ends a process: whoever listens first."""
        self.listener.close()
        connection.close()


@pytest.fixture
def watched(monkeypatch):
    """Two peers, a connection to each, the watch, the deaths that it told, and an event of the first."""
    monkeypatch.setattr(peers, "PAUSE_SECONDS", 0)
    both, deaths, told = (Peer(), Peer()), [], threading.Event()
    watch = PeerWatch([peer.address for peer in both], lambda address: (deaths.append(address), told.set()))
    connections = [peer.accept() for peer in both]
    yield both, connections, watch, deaths, told
    watch.stop()
    for peer in both:
        peer.listener.close()


def test_a_dead_worker_is_noticed_once(watched):
    (one, other), connections, _, deaths, told = watched
    other.die(connections[1])
    assert told.wait(SECONDS)
    one.die(connections[0])
    wait_for_threads()
    assert deaths == [other.address]


def test_a_closed_connection_of_a_living_worker_is_opened_again(watched):
    (one, _), connections, _, deaths, told = watched
    for _ in range(3):
        connections[0].sendall(b"goodbye")
        connections[0].close()
        connections[0] = one.accept()
    assert not deaths
    one.die(connections[0])
    assert told.wait(SECONDS) and deaths == [one.address]


def test_nothing_is_told_after_the_end_of_a_watch(watched):
    both, connections, watch, deaths, _ = watched
    watch.stop()
    wait_for_threads()
    for peer, connection in zip(both, connections, strict=True):
        peer.die(connection)
    assert not deaths


def test_a_worker_that_cannot_be_reached_is_left_to_the_heartbeats():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    deaths = []
    PeerWatch([address], deaths.append)
    wait_for_threads()
    assert not deaths


def wait_for_threads():
    for thread in threading.enumerate():
        if thread.name.startswith("watch "):
            thread.join(SECONDS)
            assert not thread.is_alive()

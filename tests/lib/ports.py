"""Ports that a server is told before it listens."""

import random
import socket
from contextlib import closing, suppress


def free_port():
    """
    One that nobody listens on now. From below those that the system gives to whoever asks for any (Linux: 32768 on), so that none of these takes
    it meanwhile.
    """
    while True:
        with closing(socket.socket()) as one, suppress(OSError):
            one.bind(("127.0.0.1", random.randrange(12000, 32000)))
            return one.getsockname()[1]

"""A bare WebSocket handshake, for the words with which one is refused."""

import re
import socket


def refused(url, headers=(), subprotocol=None):
    """Status and words of a refused handshake; (101, "") when it was not."""
    host, port, path = re.fullmatch(r"ws://([^:/]+):(\d+)(/.*)", url).groups()
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "Connection: Upgrade", "Upgrade: websocket", *headers]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    lines += [f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        answer = b""
        while b"101 Switching" not in answer and (some := connection.recv(65536)):
            answer += some
    status = int(answer.split()[1])
    return status, "" if status == 101 else answer.decode()

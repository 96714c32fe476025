"""A load whose requests can be distinguished: what the clients saw, for comparison with the access log.

    python -m support.ids PORT CONNECTIONS REQUESTS FILE [PATH]

sends that many requests on that many connections, a few of them at once on each. Every other one has
an id of the client's own, the others get one from weir. The file gets the id of each response.
"""

import collections
import os
import re
import selectors
import socket
import subprocess
import sys

AT_ONCE = 8  # requests on one connection before their responses
ID = re.compile(rb"\r\nx-request-id: ([^\r]+)\r\n", re.IGNORECASE)
OK = re.compile(rb"HTTP/1\.1 200 ")


class Connection:
    def __init__(self, port, number, requests, path):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number, self.left, self.path, self.begun = number, requests, path, 0
        self.waiting = 0
        self.rest = b""

    def ask(self):
        """The next requests; False: there are none."""
        n = min(AT_ONCE, self.left)
        parts = []
        for i in range(self.begun, self.begun + n):
            own = f"X-Request-Id: c{self.number}-{i}\r\n" if i % 2 else ""
            parts.append(f"GET {self.path}/{i} HTTP/1.1\r\nHost: a\r\nUser-Agent: ids\r\n{own}\r\n")
        self.sock.sendall("".join(parts).encode())
        self.begun += n
        self.left -= n
        self.waiting = n
        return n > 0

    def hear(self):
        """The ids that have arrived; each response's head is whole when its id is."""
        data = self.rest + self.sock.recv(65536)
        end = data.rfind(b"\r\n\r\n") + 4
        if end < 4:
            self.rest = data
            return []
        whole, self.rest = data[:end], data[end:]
        ids = ID.findall(whole)
        assert len(ids) == len(OK.findall(whole)), whole
        self.waiting -= len(ids)
        return ids


def run(port, connections, requests, path, out):
    selector = selectors.DefaultSelector()
    share = requests // connections
    for number in range(connections):
        connection = Connection(port, number, share, path)
        selector.register(connection.sock, selectors.EVENT_READ, connection)
        connection.ask()
    left = connections
    while left:
        for key, _ in selector.select(30):
            connection = key.data
            for one in connection.hear():
                out.write(one + b"\n")
            if connection.waiting == 0 and not connection.ask():
                selector.unregister(connection.sock)
                connection.sock.close()
                left -= 1


class Ids:
    """The same as a process; its requests are a multiple of its connections."""

    def __init__(self, port, connections, requests, folder, path="/x"):
        self.path = os.path.join(folder, "ids")
        arguments = [str(port), str(connections), str(requests), self.path, path]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.ids", *arguments],
            cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        )

    def seen(self, within):
        """How often each id was seen."""
        try:
            assert self.process.wait(within) == 0
        finally:
            self.process.kill()
            self.process.wait(10)
        with open(self.path, encoding="ascii") as file:
            return collections.Counter(file.read().split())


if __name__ == "__main__":
    with open(sys.argv[4], "wb") as target:
        run(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[5], target)

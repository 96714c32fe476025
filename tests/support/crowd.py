"""Many connections that are cheap to hold, for attacks: nothing here waits for any of them."""

import select
import socket

from .client import dial


class Member:
    def __init__(self, sock):
        self.sock = sock
        self.came = b""  # what was read of it
        self.ended = False  # weir has closed it, in whatever way


class Crowd:
    """`slow`: with the segments and the buffer of a slow network, where the kernel accepts little."""

    def __init__(self, address, n, slow=False):
        self.members = []
        for _ in range(n):
            self.members.append(Member(slow_dial(address) if slow else dial(address, 10)))
            self.members[-1].sock.setblocking(False)

    def send(self, data):
        """To each that is open and accepts it."""
        for member in self.members:
            try:
                if not member.ended:
                    member.sock.send(data)
            except BlockingIOError:
                pass
            except ConnectionError:
                member.ended = True

    def read(self):
        """What has come for each."""
        for member in self.members:
            while not member.ended:
                try:
                    piece = member.sock.recv(65536)
                except BlockingIOError:
                    break
                except ConnectionError:
                    piece = b""
                member.came += piece
                member.ended = not piece

    def look(self):
        """Which have ended, without reading a byte."""
        poll = select.poll()
        waiting = {member.sock.fileno(): member for member in self.members if not member.ended}
        for descriptor in waiting:
            poll.register(descriptor, select.POLLRDHUP)
        for descriptor, _ in poll.poll(0):
            waiting[descriptor].ended = True

    def open(self):
        return sum(not member.ended for member in self.members)

    def statuses(self):
        """Of the first answer to each, None where there was none."""
        return [
            int(m.came[9:12]) if m.came.startswith(b"HTTP/1.1 ") else None for m in self.members
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.sock.close()


def slow_dial(address):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    sock.settimeout(10)
    sock.connect(address)
    return sock

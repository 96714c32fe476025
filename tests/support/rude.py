"""An app that the test plays itself, step by step, for manners no server has."""

import os
import select
import socket


class RudeConnection:
    """One connection from weir; nothing is read from it unasked."""

    def __init__(self, sock, timeout):
        self.sock = sock
        self.sock.settimeout(timeout)
        self.buf = bytearray()

    def head(self):
        """The next request head; empty when weir closed instead."""
        while (end := self.buf.find(b"\r\n\r\n")) < 0:
            data = self.sock.recv(65536)
            if not data:
                return b""
            self.buf += data
        out = bytes(self.buf[: end + 4])
        del self.buf[: end + 4]
        return out

    def some(self, most=65536):
        """What has come of a body, at most so much; empty at the end."""
        if not self.buf:
            return self.sock.recv(most)
        out = bytes(self.buf[:most])
        del self.buf[: len(out)]
        return out

    def send(self, data):
        self.sock.sendall(data)

    def is_gone(self):
        """Whether weir has closed, even with bytes of its still unread."""
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def close(self):
        self.sock.close()


class RudeApp:
    """A listening socket; each wait is bounded by `timeout` seconds."""

    def __init__(self, path=None, receive_buffer=None, timeout=10):
        self.path, self.timeout = path, timeout
        self.connections = []
        family = socket.AF_UNIX if path else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(path or ("127.0.0.1", 0))
        self.listener.listen(64)
        self.listener.settimeout(timeout)
        name = self.listener.getsockname()
        self.upstream = f"unix:{path}" if path else "127.0.0.1:%d" % name[1]

    def accept(self):
        """The next connection, whatever it brings; a startup probe too."""
        sock, _ = self.listener.accept()
        self.connections.append(RudeConnection(sock, self.timeout))
        return self.connections[-1]

    def is_asked(self):
        """Whether a connection waits to be accepted."""
        poll = select.poll()
        poll.register(self.listener.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def take(self):
        """The next connection that brings a request head: (connection, head)."""
        while True:
            connection = self.accept()
            head = connection.head()
            if head:
                return connection, head
            connection.close()

    def close(self):
        self.listener.close()
        for connection in self.connections:
            connection.close()
        if self.path and os.path.exists(self.path):
            os.unlink(self.path)

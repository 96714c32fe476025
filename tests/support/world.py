"""What one test sets up, and the end that every test comes to.

At the end clients leave, gates open, and each weir must be quiet, have sums that agree, and stop
cleanly: that is asserted after every test, whatever it was about.
"""

import os
import shutil
import tempfile

from . import metrics
from .client import Narrow
from .origin import Origin
from .weir import Weir

SCALE = float(os.environ.get("WEIR_SCALE", "1"))
STORMS = bool(os.environ.get("WEIR_STORMS"))  # make storms


def scaled(n, least=1):
    """A count for this run: sanitizer builds use a smaller WEIR_SCALE."""
    return max(least, int(n * SCALE))


class World:
    def __init__(self):
        self.origins, self.weirs, self.clients = [], [], []
        self.requests = {}
        self.folder = tempfile.mkdtemp(prefix="weir-e2e-")

    def origin(self, **how):
        origin = Origin(**how)
        self.origins.append(origin)
        return origin

    def weir(self, upstream, **options):
        """`upstream`: an Origin, or an address as weir takes it."""
        address = upstream if isinstance(upstream, str) else upstream.upstream
        weir = Weir(address, **options)
        self.weirs.append(weir)
        return weir

    def pair(self, **options):
        """An origin and a weir before it: the usual beginning."""
        origin = self.origin()
        return origin, self.weir(origin, **options)

    def connect(self, weir, timeout=15):
        client = weir.connect(timeout)
        self.clients.append(client)
        return client

    def narrow(self, weir):
        client = Narrow(weir.address)
        self.clients.append(client)
        return client

    def path(self, name):
        return os.path.join(self.folder, name)

    def exited(self, weir):
        """All clients leave, or weir would linger after their last responses; it ends by itself."""
        for client in self.clients:
            client.fin()
        weir.exited(0)

    def expect_requests(self, weir, n):
        """At the end `weir_requests_total` must be n."""
        self.requests[weir] = n

    def finish(self):
        try:
            for client in self.clients:
                client.fin()
            for origin in self.origins:
                origin.let_go()
            for weir in self.weirs:
                if not weir.stopped:
                    self._finish_weir(weir)
        finally:
            self._clean_up()

    def _finish_weir(self, weir):
        m = weir.identities(self.requests.get(weir))
        metrics.promtool_check(m.text)
        weir.stop()

    def _clean_up(self):
        for weir in self.weirs:
            print(f"---- {' '.join(weir.argv)}\n{weir.log()[-4000:]}")
            weir.kill()
        errors = []
        for origin in self.origins:
            try:
                origin.stop()
            except AssertionError as error:
                errors.append(error)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not errors, errors

"""An API server with its etcd on loopback, for checks that only an API server makes. tests/cluster/build.sh
builds the programs; CLUSTER is their folder, as there."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("CLUSTER") or ROOT / "build/cluster") / "bin"
NEEDED = ("etcd", "kube-apiserver", "kubectl")
sys.path.insert(0, str(ROOT / "tests"))

from support.waiting import until  # noqa: E402
from support.weir import free_port  # noqa: E402


def missing():
    """The reason why no API server can be started, or None."""
    absent = [name for name in NEEDED if not os.access(PROGRAMS / name, os.X_OK)]
    return f"no {', '.join(absent)} in {PROGRAMS}: tests/cluster/build.sh builds them" if absent else None


class Refused(Exception):
    """The message of the API server."""


class ApiServer:
    def __init__(self, address):
        self.command = [PROGRAMS / "kubectl", "--server", address, "--token", "test", "--insecure-skip-tls-verify"]

    def kubectl(self, *args, **how):
        run = subprocess.run([*self.command, *args], capture_output=True, text=True, timeout=60, **how)
        if run.returncode != 0:
            raise Refused(run.stderr)
        return run.stdout

    def ready(self):
        with contextlib.suppress(Refused):
            return self.kubectl("get", "--raw", "/readyz") == "ok"
        return False

    def apply(self, *objects):
        return self.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))

    def create(self, one, *args):
        """The object as the API server would store it."""
        out = self.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", *args, input=json.dumps(one))
        return json.loads(out)


@contextlib.contextmanager
def running(folder):
    """Both programs, configured so that pods can be created (but do not run)."""
    clients, peers, port = (free_port() for _ in range(3))
    (folder / "tokens").write_text('test,admin,1,"system:masters"\n')
    key = folder / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    etcd = {
        "data-dir": folder / "etcd",
        "unsafe-no-fsync": "true",
        "listen-client-urls": f"http://127.0.0.1:{clients}",
        "advertise-client-urls": f"http://127.0.0.1:{clients}",
        "listen-peer-urls": f"http://127.0.0.1:{peers}",
        "initial-advertise-peer-urls": f"http://127.0.0.1:{peers}",
        "initial-cluster": f"default=http://127.0.0.1:{peers}",
    }
    server = {
        "etcd-servers": f"http://127.0.0.1:{clients}",
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": port,
        "cert-dir": folder / "certificates",
        "token-auth-file": folder / "tokens",
        "authorization-mode": "RBAC",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": key,
        "service-account-signing-key-file": key,
        "service-cluster-ip-range": "10.96.0.0/16",
        "runtime-config": "admissionregistration.k8s.io/v1beta1=true",
        "disable-admission-plugins": "ServiceAccount",  # no controller makes the accounts
    }
    processes = [start(folder, "etcd", etcd), start(folder, "kube-apiserver", server)]
    try:
        api = ApiServer(f"https://127.0.0.1:{port}")
        until(api.ready, "the API server", within=90, every=0.25)
        yield api
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=30)


def start(folder, name, flags):
    command = [PROGRAMS / name, *(f"--{flag}={value}" for flag, value in flags.items())]
    with open(folder / f"{name}.log", "wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)

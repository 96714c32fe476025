"""The Cloud Run example: weir accepts its environment, and its parts agree: cloud_run.py FILE

WEIR is the weir to ask; Cloud Run sets PORT.
"""

import json
import os
import pathlib
import subprocess
import sys

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import bounds  # noqa: E402
from support.weir import clean_environment  # noqa: E402


def problems(service):
    template = service["spec"]["template"]
    containers = {c["name"]: c for c in template["spec"]["containers"]}
    if [name for name, c in containers.items() if c.get("ports")] != ["weir"]:
        yield "not weir, or not weir alone, has the port of the requests"
    order = json.loads(template["metadata"]["annotations"]["run.googleapis.com/container-dependencies"])
    for name, needed in order.items():
        for other in {name, *needed} - set(containers):
            yield f"container-dependencies: there is no container {other}"
        for other in needed:
            if "startupProbe" not in containers.get(other, {}):
                yield f"container-dependencies: {other} has no startup probe, so nothing waits for it"
    env = {e["name"]: e["value"] for e in containers["weir"]["env"]}
    inside = int(env["WEIR_CONCURRENCY"]) + int(env["WEIR_QUEUE_LENGTH"])
    if template["spec"]["containerConcurrency"] != inside:
        yield f"containerConcurrency is not {inside}, the slots and places in the queue of weir"
    port = env["WEIR_UPSTREAM"].rpartition(":")[2]
    if port != {e["name"]: e["value"] for e in containers["app"]["env"]}["BACKEND_LISTEN"].rpartition(":")[2]:
        yield f"the app does not listen on port {port}"
    if not os.access(bounds.BINARY, os.X_OK):
        print("note: no weir: it was not asked about the environment of the Cloud Run example")
        return
    refused = ask("check", env, containers["weir"])
    if refused.returncode:
        yield refused.stdout + refused.stderr
        return
    config = json.loads(ask("config print --json", env, containers["weir"]).stdout)
    needed = (bounds.of_requests(config) + bounds.of_the_program(config)) / 0.9
    limit = containers["weir"]["resources"]["limits"]["memory"]
    if bounds.size(limit + "B") < needed:
        yield f"the memory limit of weir is {limit}, but its bounds require {needed / bounds.MIB:.0f} MiB"


def ask(command, env, container):
    env = {**clean_environment(), **env, "PORT": str(container["ports"][0]["containerPort"])}
    return subprocess.run([bounds.BINARY, *command.split()], env=env, capture_output=True, text=True, timeout=10)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        found = list(problems(yaml.safe_load(file)))
    print(*found, sep="\n", end="\n" if found else "")
    print("FAIL" if found else "PASS", "manifests Cloud Run, as weir and its parts see it")
    sys.exit(bool(found))

"""The Cloud Run example: weir accepts its environment, and its parts agree: cloud_run.py FILE

WEIR is the weir to ask; Cloud Run sets PORT.
"""

import json
import os
import subprocess
import sys

import yaml


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
    yield from refusals(env, containers["weir"]["ports"][0]["containerPort"])


def refusals(env, port):
    weir = os.environ.get("WEIR", "build/weir")
    if not os.access(weir, os.X_OK):
        print("note: no weir: it was not asked about the environment of the Cloud Run example")
        return
    env = {k: v for k, v in os.environ.items() if not k.startswith("WEIR")} | env | {"PORT": str(port)}
    run = subprocess.run([weir, "check"], env=env, capture_output=True, text=True, timeout=10)
    if run.returncode:
        yield run.stdout + run.stderr


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        found = list(problems(yaml.safe_load(file)))
    print(*found, sep="\n", end="\n" if found else "")
    print("FAIL" if found else "PASS", "manifests Cloud Run, as weir and its parts see it")
    sys.exit(bool(found))

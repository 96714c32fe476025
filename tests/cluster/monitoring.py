"""Prometheus and the adapter for HorizontalPodAutoscalers, on the node."""

import json
import os
import re

import yaml

from cluster import CLUSTER, ROOT, Wrong, inside, kubectl, until

NODE = "10.250.0.1"
PROMETHEUS = f"http://{NODE}:9090"
STATE = os.path.join(CLUSTER, "state")

PROMETHEUS_CONFIG = {
    "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
    "rule_files": [os.path.join(ROOT, "deploy", "prometheus", "weir.rules.yaml")],
    "scrape_configs": [
        {
            "job_name": "pods",
            "http_sd_configs": [
                {
                    "url": f"https://{NODE}:4444/targets",
                    "refresh_interval": "2s",
                    "tls_config": {"insecure_skip_verify": True},
                }
            ],
        }
    ],
}


def recommended_rules():
    """The rules for prometheus-adapter in the README of the chart."""
    with open(os.path.join(ROOT, "helm", "weir", "README.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^ *```yaml\n(.*?)^ *```", file.read(), re.M | re.S)
    found = {}
    for block in blocks:
        if re.match(r"\s*(rules|externalRules):", block):
            found.update(yaml.safe_load(block))
    if set(found) != {"rules", "externalRules"}:
        raise Wrong("helm/weir/README.md has no rules for the adapter")
    return found


def write(name, text):
    path = os.path.join(STATE, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def start(name, *command):
    """Runs the command in the background until the cluster ends."""
    log = os.path.join(STATE, "log", f"{name}.log")
    inside("bash", "-c", 'exec setsid "$@" >"$0" 2>&1 </dev/null &', log, *command)


def on_node(name, namespace, port):
    """A Service that leads to a port of the node."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ports": [{"port": 443, "targetPort": port}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-1",
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [NODE], "conditions": {"ready": True}}],
            "ports": [{"port": port, "protocol": "TCP"}],
        },
    ]


def api(group, version, name, namespace):
    """An API for which the API server calls a Service."""
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}"},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": name, "namespace": namespace},
        },
    }


def apply(objects):
    """Server-side apply: some objects are too large for the annotation of kubectl."""
    kubectl("apply", "--server-side", "-f", "-", feed=yaml.safe_dump_all(objects))


def available(name):
    kubectl("wait", "--for=condition=Available", f"apiservice/{name}", "--timeout=60s")


def prometheus():
    """Prometheus, and the adapter, which provides its targets."""
    if os.path.exists(os.path.join(STATE, "rules.json")):
        return
    rules = write("rules.json", json.dumps(recommended_rules()))
    start("adapter", "adapter", "-prometheus", PROMETHEUS, "-rules", rules, "-listen", f"{NODE}:4444")
    apply(on_node("adapter", "kube-system", 4444))
    config = write("prometheus.yaml", yaml.safe_dump(PROMETHEUS_CONFIG))
    start("prometheus", "prometheus", f"--config.file={config}", f"--storage.tsdb.path={STATE}/prometheus",
          f"--web.listen-address={NODE}:9090")  # fmt: skip
    ready = ("curl", "--silent", "--fail", f"{PROMETHEUS}/-/ready")
    until(lambda: inside(*ready, check=False), 60, "Prometheus was ready")


def adapter():
    """Registers the adapter for the metrics of pods and for external metrics."""
    prometheus()
    for group, version in (("custom.metrics.k8s.io", "v1beta2"), ("external.metrics.k8s.io", "v1beta1")):
        apply([api(group, version, "adapter", "kube-system")])
        available(f"{version}.{group}")


# ---- KEDA ------------------------------------------------------------------------------------------

KEDA = [os.path.join(CLUSTER, "bin", name) for name in ("keda-operator", "keda-adapter")]


def keda():
    """Its operator, and its metrics API. Both keep running; the API of the adapter above is replaced."""
    prometheus()
    if not os.path.exists(os.path.join(STATE, "keda")):
        certificate("keda")
        folder = os.path.join(STATE, "keda")
        env = ("env", "POD_NAMESPACE=keda", "KEDA_CLUSTER_OBJECT_NAMESPACE=keda", "WATCH_NAMESPACE=")
        apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "keda"}}])
        start("keda-operator", *env, KEDA[0], f"--cert-dir={folder}", "--metrics-bind-address=127.0.0.1:8083",
              "--health-probe-bind-address=127.0.0.1:8084", "--metrics-service-bind-address=127.0.0.1:9666")  # fmt: skip
        config = os.path.join(STATE, "admin.kubeconfig")
        start("keda-adapter", *env, KEDA[1], "--secure-port=4445", "--port=8085", f"--cert-dir={folder}",
              f"--tls-cert-file={folder}/tls.crt", f"--tls-private-key-file={folder}/tls.key",
              "--metrics-service-address=127.0.0.1:9666", f"--lister-kubeconfig={config}",
              f"--authentication-kubeconfig={config}", f"--authorization-kubeconfig={config}")  # fmt: skip
        apply(on_node("keda", "kube-system", 4445))
    apply([api("external.metrics.k8s.io", "v1beta1", "keda", "kube-system")])
    available("v1beta1.external.metrics.k8s.io")


def certificate(name):
    """ca.crt, tls.crt and tls.key in a folder of that name, of the authority of the cluster."""
    folder = os.path.join(STATE, name)
    keys = os.path.join(STATE, "keys")
    os.makedirs(folder)
    shell = f"""cd {folder}
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout tls.key -out tls.csr
        openssl x509 -req -in tls.csr -CA {keys}/ca.crt -CAkey {keys}/ca.key -CAcreateserial -days 3650 -out tls.crt \
            -extfile <(echo subjectAltName=IP:127.0.0.1,IP:{NODE} && echo extendedKeyUsage=serverAuth,clientAuth)
        cp {keys}/ca.crt ."""
    inside("bash", "-c", shell)

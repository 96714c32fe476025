"""The Compose example: its ports and mounts, and its Prometheus, which scrapes a real weir.

WEIR and BACKEND_DEMO name the programs. There is no Grafana to be had here: its files are compared with
the fields that its documentation lists.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples/compose"
sys.path.insert(0, str(ROOT / "tests"))

from support import demo, promql, weir  # noqa: E402
from support.waiting import until  # noqa: E402

SERVICES = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
DASHBOARD = json.loads((ROOT / "deploy/grafana/weir.json").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def mounts(service):
    """{path in the container: file of the repository}, of the files that are mounted."""
    rows = [row.split(":") for row in SERVICES[service].get("volumes", [])]
    return {inside: (FOLDER / file).resolve() for file, inside, *_ in rows if file.startswith(".")}


def laid_out(service, folder):
    """Puts the files of the container below `folder`."""
    for inside, file in mounts(service).items():
        path = folder / inside[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, path)
    return folder


def mounted_yaml(service, folder):
    """The only file that is mounted in a folder of the container."""
    (file,) = [f for inside, f in mounts(service).items() if str(pathlib.Path(inside).parent) == folder]
    return yaml.safe_load(file.read_text())


# ---- the Compose file ----------------------------------------------------------------------------


def test_every_mounted_file_is_in_the_repository_and_read_only():
    for name, service in SERVICES.items():
        assert all(file.is_file() and ROOT in file.parents for file in mounts(name).values()), mounts(name)
        for row in service.get("volumes", []):
            assert not row.startswith(".") or "ro" in row.split(":")[2].split(","), row
    deployed = {str(f.relative_to(ROOT)) for s in SERVICES for f in mounts(s).values()}
    assert {"deploy/prometheus/weir.rules.yaml", "deploy/grafana/weir.json"} <= deployed


def test_all_ports_but_that_of_weir_are_published_on_loopback():
    public = [p for s in SERVICES.values() for p in s.get("ports", []) if not p.startswith("127.0.0.1:")]
    assert public == SERVICES["weir"]["ports"][:1]
    assert len(SERVICES["prometheus"]["ports"]) == len(SERVICES["grafana"]["ports"]) == 1


def test_weir_has_the_health_check_of_its_image_and_the_others_wait_for_it():
    check = SERVICES["weir"]["healthcheck"]
    assert check["test"] == ["CMD", "/weir", "healthcheck"]  # the image has no shell
    line = re.search(r'^HEALTHCHECK (.*) CMD \["/weir", "healthcheck"\]$', DOCKERFILE, re.M)[1]
    image = dict(flag[2:].split("=") for flag in line.split())
    assert image == {key.replace("_", "-"): value for key, value in check.items() if key != "test"}
    for name, before in ("prometheus", "weir"), ("grafana", "prometheus"):
        assert SERVICES[name]["depends_on"] == {before: {"condition": "service_healthy"}}
    # In the image of Prometheus too, only its own programs are used.
    port = SERVICES["prometheus"]["ports"][0].rpartition(":")[2]
    check = SERVICES["prometheus"]["healthcheck"]["test"]
    assert check == ["CMD", "promtool", "check", "healthy", f"--url=http://127.0.0.1:{port}"]


def test_no_container_has_more_rights_than_it_needs():
    for service in SERVICES.values():
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_images_are_pinned_and_those_of_weir_can_be_built():
    for name, target in ("weir", "weir"), ("app", "backend-demo"):
        build = SERVICES[name]["build"]
        assert (FOLDER / build["context"]).resolve() == ROOT and build["target"] == target
        assert re.search(rf"^FROM \S+ AS {target}$", DOCKERFILE, re.M)
    for name in "prometheus", "grafana":
        assert re.fullmatch(rf"docker\.io/\w+/{name}:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


# ---- Prometheus ----------------------------------------------------------------------------------


@pytest.fixture
def prometheus_files(tmp_path):
    return laid_out("prometheus", tmp_path / "container")


def test_promtool_accepts_the_configuration_with_its_rules(prometheus_files):
    tool = shutil.which("promtool") or pytest.skip("not installed: promtool")
    ask = [tool, "check", "config", str(prometheus_files / "etc/prometheus/prometheus.yml")]
    done = subprocess.run(ask, capture_output=True, timeout=60, text=True)
    rules = sum(len(g["rules"]) for g in rule_groups())
    assert done.returncode == 0 and f"SUCCESS: {rules} rules found" in done.stdout, done.stdout + done.stderr


def rule_groups():
    return yaml.safe_load((ROOT / "deploy/prometheus/weir.rules.yaml").read_text())["groups"]


@pytest.fixture
def scraped(prometheus_files, tmp_path):
    """Prometheus with the flags and the files of its container, except for addresses, folders and
    intervals: the target is a weir that has the environment of its own container."""
    path = prometheus_files / "etc/prometheus/prometheus.yml"
    config = yaml.safe_load(path.read_text())
    (target,) = config["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == "weir:" + SERVICES["weir"]["ports"][1].rpartition(":")[2]
    flags = [re.sub(r"=(?=/)", f"={prometheus_files}", flag) for flag in SERVICES["prometheus"]["command"]]
    with contextlib.ExitStack() as running:
        app = demo.Demo(tmp_path)
        running.callback(app.stop)
        front = weir.Weir(app.upstream, env=SERVICES["weir"]["environment"], concurrency=None)
        running.callback(front.stop)
        config["scrape_configs"][0]["static_configs"][0]["targets"] = ["%s:%d" % front.admin]
        config["global"] = {key: "200ms" for key in ("scrape_interval", "scrape_timeout", "evaluation_interval")}
        path.write_text(yaml.safe_dump(config))
        server = promql.Prometheus.with_flags(tmp_path, flags, targets=1)
        running.callback(server.stop)
        yield front, server


@pytest.mark.skipif(not (promql.PROMETHEUS and os.environ.get("WEIR")), reason="no Prometheus, or no weir")
def test_prometheus_scrapes_weir_and_evaluates_the_rules(scraped):
    front, server = scraped
    assert front.metrics().one("weir_concurrency_limit") == int(SERVICES["weir"]["environment"]["WEIR_CONCURRENCY"])
    client = front.connect()
    assert client.ask("GET", "/ping").status == 200
    client.fin()

    def evaluated():
        groups = server.get("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return groups if rules and all(rule["health"] != "unknown" for rule in rules) else None

    groups = until(evaluated, "the rules to be evaluated", within=30, every=0.05)
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    shipped = [rule for group in rule_groups() for rule in group["rules"]]
    assert {r["name"] for r in rules} == {r.get("alert") or r["record"] for r in shipped}
    until(lambda: server.ask('weir:demand:rate1m{job="weir"}'), "a recorded value", within=30, every=0.05)
    # In OpenMetrics, the family of a counter has the name without _total.
    (family,) = server.get("targets/metadata", metric="weir_requests", match_target='{job="weir"}')
    assert family["type"] == "counter"


# ---- Grafana -------------------------------------------------------------------------------------

# The fields that grafana.com/docs/grafana/latest/administration/provisioning lists.
SOURCE_FIELDS = """name type access orgId uid url user database basicAuth basicAuthUser withCredentials isDefault
    jsonData secureJsonData version editable""".split()
PROMETHEUS_FIELDS = "httpMethod timeInterval manageAlerts customQueryParameters prometheusType prometheusVersion".split()
PROVIDER_FIELDS = """name orgId folder folderUid type disableDeletion updateIntervalSeconds allowUiUpdates
    options""".split()
PROVISIONING = "/etc/grafana/provisioning"


def test_the_data_source_is_that_prometheus():
    file = mounted_yaml("grafana", f"{PROVISIONING}/datasources")
    assert set(file) == {"apiVersion", "datasources"} and file["apiVersion"] == 1
    (source,) = file["datasources"]
    assert set(source) <= set(SOURCE_FIELDS) and set(source["jsonData"]) <= set(PROMETHEUS_FIELDS)
    assert source["access"] == "proxy" and not source["editable"]
    assert source["url"] == "http://prometheus:" + SERVICES["prometheus"]["ports"][0].rpartition(":")[2]
    assert set(SERVICES["grafana"]["networks"]) & set(SERVICES["prometheus"]["networks"])
    interval = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval


def uids(tree):
    if isinstance(tree, list):
        return {uid for branch in tree for uid in uids(branch)}
    if not isinstance(tree, dict):
        return set()
    own = {tree["datasource"]["uid"]} if isinstance(tree.get("datasource"), dict) else set()
    return own | uids(list(tree.values()))


def test_the_dashboard_reads_the_data_source_that_is_provisioned():
    (source,) = mounted_yaml("grafana", f"{PROVISIONING}/datasources")["datasources"]
    (variable,) = [v for v in DASHBOARD["templating"]["list"] if v["type"] == "datasource"]
    # If there are several, the variable starts with the default one.
    assert uids(DASHBOARD) == {"${%s}" % variable["name"]}
    assert variable["query"] == source["type"] == "prometheus" and source["isDefault"]
    assert variable["current"] in ({}, {"text": source["name"], "value": source["uid"]})


def test_the_dashboard_is_where_the_provider_looks():
    file = mounted_yaml("grafana", f"{PROVISIONING}/dashboards")
    assert set(file) == {"apiVersion", "providers"} and file["apiVersion"] == 1
    (provider,) = file["providers"]
    assert set(provider) <= set(PROVIDER_FIELDS) and provider["type"] == "file"
    found = [f for inside, f in mounts("grafana").items() if inside.startswith(provider["options"]["path"] + "/")]
    assert found == [ROOT / "deploy/grafana/weir.json"]
    assert f"/d/{DASHBOARD['uid']} " in (FOLDER / "compose.yaml").read_text()


def test_grafana_has_no_account_with_a_default_password():
    settings = SERVICES["grafana"]["environment"]
    assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert settings["GF_AUTH_ANONYMOUS_ENABLED"] == "true" and settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert settings["GF_AUTH_BASIC_ENABLED"] == "false" and settings["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert all(isinstance(value, str) for value in settings.values())

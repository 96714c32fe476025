"""What weir says of good and bad configurations, and that what is generated is fresh.

A changed message is accepted by writing the golden files again: UPDATE_GOLDEN=1 pytest tests/config
"""

import json
import os
import pathlib
import re
import subprocess

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "config"
WEIR = str((ROOT / os.environ.get("WEIR", "build/weir")).resolve())

BAD = sorted((HERE / "bad").glob("*.json"))
GOOD = sorted((HERE / "good").glob("*.json")) + sorted((ROOT / "examples").rglob("*.json"))
COMMANDS = "serve check config status healthcheck drain pause resume set completion manpage version help".split()

# What the schema leaves to `weir check`: ranges of values with a unit and of ports, reserved names,
# duplicates, values that must agree, the inside of an IPv6 address.
BEYOND_SCHEMA = {
    "address-port-too-large",
    "address-port-zero",
    "address-unix-too-long",
    "block-bits",
    "classes-names",
    "duration-too-long",
    "duration-too-short",
    "fair-capital",
    "field-reserved",
    "field-reserved-family",
    "size-huge",
    "size-too-large",
    "address-malformed-ipv6",
    "agree-admin-is-listen",
    "agree-admin-mode-without-unix",
    "agree-concurrency-beyond-connections",
    "agree-connections-beyond-concurrency",
    "agree-mode-without-unix",
    "agree-streams-beyond-concurrency",
    "agree-upgrades-beyond-concurrency",
    "agree-upgrades-beyond-connections",
    "agree-upstream-is-admin",
    "agree-upstream-is-listen",
    "duplicate-escaped",
    "duplicate-key",
    "duplicate-section",
    "duplicate-top",
}
# What is no JSON for a strict reader, though Python's may take it.
NOT_JSON = {"byte-order-mark", "count-huge", "empty", "nul", "not-utf8", "overlong-utf8"}
NOT_JSON |= {"escape-sequence-in-text"}
JUDGED = [
    path
    for path in BAD
    if path.stem not in NOT_JSON | BEYOND_SCHEMA and not path.stem.startswith("syntax-")
]


def weir(*args, cwd=ROOT, **env):
    return subprocess.run(
        [WEIR, *map(str, args)],
        cwd=cwd,
        env={"LC_ALL": "C", **env},
        capture_output=True,
        timeout=20,
    )


def printed(*args, **env):
    """`weir config print`, as {path: (value, origin)}."""
    result = weir("config", "print", *args, **env)
    assert result.returncode == 0, result.stderr.decode()
    rows = re.findall(r"^(\S+) +(\[.*?\]|\".*?\"|\S+) +(.+)$", result.stdout.decode(), re.M)
    return {path: (value, origin) for path, value, origin in rows}


@pytest.fixture(scope="module")
def schema():
    schema = json.loads((ROOT / "docs" / "weir.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_a_bad_file_gets_exactly_these_messages(path):
    result = weir("check", path.name, cwd=path.parent)
    golden = path.with_suffix(".txt")
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_bytes(result.stderr)
    assert result.returncode == 1
    assert result.stdout == b""
    assert result.stderr == golden.read_bytes()


def test_every_golden_file_has_its_input():
    assert {p.stem for p in (HERE / "bad").glob("*.txt")} == {p.stem for p in BAD}


@pytest.mark.parametrize("path", GOOD, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_good_file_is_ok(path):
    result = weir("check", path.name, cwd=path.parent)
    assert result.stderr == b""
    assert result.stdout == f"{path.name}: ok\n".encode()
    assert result.returncode == 0


@pytest.mark.parametrize("path", JUDGED, ids=lambda p: p.stem)
def test_the_schema_refuses_what_the_parser_refuses(path, schema):
    assert not schema.is_valid(json.loads(path.read_text()))


@pytest.mark.parametrize("path", GOOD, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_schema_accepts_what_the_parser_accepts(path, schema):
    schema.validate(json.loads(path.read_text()))


def test_no_message_carries_control_characters_to_the_terminal():
    for path in BAD:
        assert not re.search(rb"[\0-\x08\x0b-\x1f]", path.with_suffix(".txt").read_bytes()), path


@pytest.mark.parametrize("unit,factor", [("us", 1), ("ms", 1000), ("s", 10**6), ("m", 6 * 10**7)])
def test_a_duration_is_judged_at_its_bounds_and_the_schema_takes_no_less(
    unit, factor, schema, tmp_path
):
    low, high = -(-1000 // factor), 3600 * 10**6 // factor
    for n in {0, 1, low - 1, low, low + 1, 9, 10, 99, 100, 101, high - 1, high, high + 1}:
        text = json.dumps({"upstream": ":8000", "queue": {"timeout": f"{n}{unit}"}})
        (tmp_path / "weir.json").write_text(text)
        ok = weir("check", "weir.json", cwd=tmp_path).returncode == 0
        assert ok == (1000 <= n * factor <= 3600 * 10**6), text
        assert schema.is_valid(json.loads(text)) or not ok, text


def test_every_pattern_of_the_schema_is_short_and_has_examples_that_match(schema):
    def patterns(node):
        if isinstance(node, dict):
            if "pattern" in node:
                yield node
            for value in node.values():
                yield from patterns(value)
        elif isinstance(node, list):
            for value in node:
                yield from patterns(value)

    found = list(patterns(schema.schema))
    assert len(found) > 20
    for node in found:
        assert len(node["pattern"]) < 100, node
        if node["pattern"] == schema.schema["properties"]["admin"]["properties"]["token"]["pattern"]:
            continue  # somebody would use the example
        assert node["examples"] and all(re.search(node["pattern"], e) for e in node["examples"]), node


@pytest.mark.parametrize(
    "name,command", [("weir.schema.json", "schema"), ("configuration.md", "docs")]
)
def test_the_generated_file_is_fresh(name, command):
    fresh = weir("config", command).stdout
    assert (ROOT / "docs" / name).read_bytes() == fresh, f"stale: weir config {command} > docs/{name}"


@pytest.mark.parametrize(
    "args",
    [["help"]] + [["help", c] for c in COMMANDS],
    ids=" ".join,
)
def test_help_fits_eighty_columns(args):
    result = weir(*args)
    assert result.returncode == 0 and result.stderr == b""
    assert max(map(len, result.stdout.decode().splitlines())) <= 80


def test_help_of_the_makefile_fits_eighty_columns():
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, timeout=20, text=True)
    assert max(map(len, text.stdout.splitlines())) <= 80


def test_every_option_is_in_help_schema_docs_and_print():
    paths = set(printed())
    flags = set(re.findall(r"^  --(\S+)", weir("help", "serve").stdout.decode(), re.M))
    names = {p.replace(".", "-").replace("_", "-") for p in paths - {"upstream.address"}}
    assert flags == names | {"upstream"}
    docs = (ROOT / "docs" / "configuration.md").read_text()
    assert all(f"| `{p}` |" in docs for p in paths)
    properties = json.loads(weir("config", "schema").stdout)["properties"]
    assert set(properties) - {"$schema"} == {p.split(".")[0] for p in paths}


def test_flag_wins_over_environment_over_file_over_platform_over_default(tmp_path):
    path = tmp_path / "weir.json"
    path.write_text('{ "upstream": ":8000",\n  "concurrency": 3 }')
    env = {"CONTAINER_CONCURRENCY": "2"}
    assert printed()["concurrency"] == ("80", "default")
    assert printed(**env)["concurrency"] == ("2", "platform CONTAINER_CONCURRENCY")
    args = ("--config", path)
    assert printed(*args, **env)["concurrency"] == ("3", f"{path}:2")
    env["WEIR_CONCURRENCY"] = "4"
    assert printed(*args, **env)["concurrency"] == ("4", "environment WEIR_CONCURRENCY")
    args += ("--concurrency=5",)
    assert printed(*args, **env)["concurrency"] == ("5", "flag --concurrency")
    assert printed(*args, **env)["queue.length"] == ("50", "default")


def test_the_platform_sets_port_and_unlimited_concurrency():
    values = printed(PORT="3000", CONTAINER_CONCURRENCY="0")
    assert values["listen"] == ('":3000"', "platform PORT")
    assert values["concurrency"] == ('"unlimited"', "platform CONTAINER_CONCURRENCY")
    assert b"PORT expects a port" in weir("check", "--upstream=:1", PORT="http").stderr


def test_weir_config_names_the_file_and_the_flag_wins(tmp_path):
    (tmp_path / "a.json").write_text('{ "upstream": ":1", "threads": 2 }')
    (tmp_path / "b.json").write_text('{ "upstream": ":1", "threads": 3 }')
    env = {"WEIR_CONFIG": str(tmp_path / "a.json")}
    assert printed(**env)["threads"][0] == "2"
    assert printed("--config", tmp_path / "b.json", **env)["threads"][0] == "3"


def test_variables_of_kubernetes_are_let_be_and_slips_are_not():
    env = {"WEIR_PORT": "tcp://10.0.0.1:80", "WEIR_SERVICE_HOST": "10.0.0.1", "WEIR_OTHER": "x"}
    assert weir("check", "--upstream=:1", **env).returncode == 0
    result = weir("check", "--upstream=:1", WEIR_QUEUE_TIMEOT="1s")
    assert b"unknown variable WEIR_QUEUE_TIMEOT (did you mean WEIR_QUEUE_TIMEOUT?)" in result.stderr


def test_problems_of_all_sources_are_told_at_once(tmp_path):
    (tmp_path / "weir.json").write_text('{ "upstream": ":1", "threads": 0 }')
    args = ("check", "weir.json", "--queue-timeout", "10")
    result = weir(*args, cwd=tmp_path, WEIR_DRAIN_TIMEOUT="soon")
    text = result.stderr.decode()
    assert 'weir.json:1:32: error: "threads" expects' in text
    assert 'weir: error: WEIR_DRAIN_TIMEOUT expects a duration with a unit, got "soon"' in text
    assert '--queue-timeout expects a duration with a unit, got "10" (did you mean "10s"?)' in text
    assert text.endswith("weir.json: 3 errors; nothing was started\n")


def test_files_that_cannot_be_read_are_told(tmp_path):
    (tmp_path / "large.json").write_bytes(b" " * (1024 * 1024) + b"{}")
    assert b"cannot be read: Is a directory" in weir("check", tmp_path).stderr
    assert b"cannot be read: No such file" in weir("check", tmp_path / "none.json").stderr
    assert b"larger than 1 MiB" in weir("check", tmp_path / "large.json").stderr
    for name in (".", "none.json", "large.json"):
        assert weir("check", tmp_path / name).returncode == 1


def test_the_written_configuration_reads_back_the_same(tmp_path):
    text = json.loads(weir("config", "defaults").stdout)
    text["upstream"]["address"] = "127.0.0.1:8000"
    (tmp_path / "weir.json").write_text(json.dumps(text))
    assert weir("check", "weir.json", cwd=tmp_path).returncode == 0
    before, after = printed(), printed("--config", tmp_path / "weir.json")
    assert {k: v[0] for k, v in before.items() if k != "upstream.address"} == {
        k: v[0] for k, v in after.items() if k != "upstream.address"
    }


@pytest.mark.parametrize(
    "args,message",
    [
        (["servee"], b"did you mean serve?"),
        (["--queue-timeot", "1s"], b"did you mean --queue-timeout?"),
        (["-upstream", ":1"], b"did you mean --upstream?"),
        (["-v"], b"use -V for the version"),
        (["check", "a", "b"], b'got "b" after "a"'),
        (["config", "prnt"], b"did you mean print?"),
        (["completion", "csh"], b'expects bash, zsh or fish, got "csh"'),
        (["completion"], b"expects bash, zsh or fish"),
        (["version", "--ready"], b"does not accept --ready"),
        (["help", "statu"], b"did you mean status?"),
        (["--threads"], b"--threads requires a value"),
    ],
    ids=lambda a: " ".join(a) if isinstance(a, list) else "",
)
def test_wrong_usage_is_told_with_status_2(args, message):
    result = weir(*args)
    assert result.returncode == 2
    assert result.stdout == b"" and message in result.stderr


def test_nothing_configured_prints_ten_lines_and_status_2():
    result = weir()
    assert result.returncode == 2 and result.stdout == b""
    assert len(result.stderr.splitlines()) == 10


def test_version_in_json():
    assert set(json.loads(weir("version", "--json").stdout)) == {"version", "revision"}


def test_a_health_check_that_is_told_the_address_reads_nothing_else():
    for args, env in (
        (["--admin-listen", "127.0.0.1:1"], {}),
        ([], {"WEIR_ADMIN_LISTEN": "127.0.0.1:1"}),
        (["--admin-listen", "127.0.0.1:1"], {"WEIR_ADMIN_LISTEN": "127.0.0.1:2"}),
    ):
        result = weir("healthcheck", "--config", "/nonexistent", *args, WEIR_THREADS="x", **env)
        assert result.returncode == 1
        assert b"127.0.0.1:1: no response from the admin port: Connection refused" in result.stderr
    result = weir("healthcheck", "--config", "/nonexistent")
    assert result.returncode == 1 and b"cannot be read" in result.stderr

"""Completion in real shells, and the man page as its readers see it.

A shell or a formatter that is not installed is skipped, by name.
"""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEIR = str((ROOT / os.environ.get("WEIR", "build/weir")).resolve())


def weir(*args):
    done = subprocess.run([WEIR, *args], env={}, capture_output=True, timeout=20, check=True)
    return done.stdout.decode()


def need(program):
    return shutil.which(program) or pytest.skip(f"not installed: {program}")


def run(*command, text=None, cwd=None):
    done = subprocess.run(command, input=text, cwd=cwd, capture_output=True, timeout=60, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


COMMANDS = set(re.findall(r"^  (\S+)  ", weir("help"), re.M))
OPTIONS = set(re.findall(r"^  (--[a-z-]+) ", weir("help", "serve"), re.M))
ENUMERATED = {"auto", "finish", "close"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The scripts under the names that the shells look for, and a file to complete."""
    path = tmp_path_factory.mktemp("shells")
    (path / "a folder").mkdir()
    (path / "weir.json").write_text("{}")
    for shell, name in ("bash", "weir.bash"), ("zsh", "_weir"), ("fish", "weir.fish"):
        (path / name).write_text(weir("completion", shell))
    return path


# ---- bash -----------------------------------------------------------------------------------

ASK_BASH = """
source weir.bash
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_weir
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash(folder, *words):
    return set(run(need("bash"), "-c", ASK_BASH, "bash", *words, cwd=folder).split("\n")) - {""}


def test_bash_offers_commands_and_the_flags_of_each(folder):
    assert bash(folder, "weir", "") == COMMANDS
    assert bash(folder, "weir", "ch") == {"check"}
    own = {"--config", "--help", "--version"}
    assert bash(folder, "weir", "--") == OPTIONS | own
    assert bash(folder, "weir", "serve", "--queue-t") == {"--queue-timeout"}
    assert bash(folder, "weir", "status", "-") == OPTIONS | own | {"--json"}
    assert bash(folder, "weir", "version", "-") == {"--json", "--help", "--version"}
    assert bash(folder, "weir", "config", "") == {"print", "schema", "defaults", "docs"}
    assert bash(folder, "weir", "completion", "") == {"bash", "zsh", "fish"}
    assert bash(folder, "weir", "help", "") == COMMANDS


def test_bash_offers_the_values_of_an_option(folder):
    assert bash(folder, "weir", "--on-client-abort", "") == ENUMERATED
    assert bash(folder, "weir", "--on-client-abort", "=", "cl") == {"close"}
    assert bash(folder, "weir", "--on-client-abort", "=") == ENUMERATED
    assert bash(folder, "weir", "check", "--headers-server-timing", "t") == {"true"}
    assert bash(folder, "weir", "--queue-timeout", "") == set()


def test_bash_offers_files_where_one_is_wanted(folder):
    for words in (["check"], ["--config"], ["serve", "-c"], ["--config", "="]):
        assert bash(folder, "weir", *words, "weir.j") == {"weir.json"}, words
    assert bash(folder, "weir", "check", "a") == {"a folder"}


def test_the_script_for_bash_is_clean(folder):
    run(need("shellcheck"), "-s", "bash", "weir.bash", cwd=folder)


# ---- zsh ------------------------------------------------------------------------------------


class Terminal:
    """zsh at a terminal, with its completion system and nothing of anybody's."""

    def __init__(self, folder):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            env = {"PATH": os.environ["PATH"], "TERM": "dumb", "PS1": "", "HOME": str(folder)}
            os.execvpe("zsh", ["zsh", "-f", "-i"], env)
        start = "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=1000; "
        self.type(start + "stty cols 200; print st''arted\n")
        self.read_until("\nstarted")

    def type(self, text):
        os.write(self.fd, text.encode())

    def read_until(self, mark, within=15):
        got, end = "", time.monotonic() + within
        while mark not in got:
            assert time.monotonic() < end, f"{mark!r} did not come: {got!r}"
            if select.select([self.fd], [], [], 0.05)[0]:
                got += os.read(self.fd, 65536).decode()
        return got

    def close(self):
        os.close(self.fd)  # a hang-up
        os.waitpid(self.pid, 0)


@pytest.mark.parametrize(
    "typed,comes",
    [
        ("weir ", "healthcheck  -- exit with 0 if weir is running"),
        ("weir ch", "weir check "),
        ("weir config ", "defaults  docs"),
        ("weir --queue-t", "--queue-timeout="),
        ("weir serve --queue-", "--queue-timeout    -- maximum time that a request waits"),
        ("weir --on-client-abort=", "auto    close   finish"),
        ("weir --on-client-abort fin", "weir --on-client-abort finish"),
        ("weir check weir.j", "weir.json"),
        ("weir -c weir.j", "weir.json"),
        ("weir version --js", "--json "),
        ("weir help stat", "weir help status"),
    ],
)
def test_zsh_completes(folder, typed, comes):
    need("zsh")
    terminal = Terminal(folder)
    try:
        terminal.type(typed + "\t")
        terminal.read_until(comes)
    finally:
        terminal.close()


def test_zsh_takes_the_script_from_eval_too():
    said = run(need("zsh"), "-f", "-c", 'compdef() { print -r -- "$@" }; eval "$(cat)"; whence _weir',
               text=weir("completion", "zsh"))
    assert said == "_weir weir\n_weir\n"


# ---- fish -----------------------------------------------------------------------------------


def fish(folder, line):
    ask = f"source weir.fish; complete -C '{line}'"
    rows = [row.split("\t") for row in run(need("fish"), "-c", ask, cwd=folder).splitlines()]
    return {row[0]: row[-1] for row in rows}


def test_fish_completes_with_descriptions(folder):
    assert set(fish(folder, "weir ")) == COMMANDS
    assert fish(folder, "weir ")["check"] == "report every error in a configuration"
    flags = fish(folder, "weir --")
    assert set(flags) == OPTIONS | {"--config", "--help", "--version"}
    assert flags["--queue-timeout"] == "maximum time that a request waits for a slot"
    assert set(fish(folder, "weir status --")) == set(flags) | {"--json"}
    assert set(fish(folder, "weir drain --")) == set(flags) | {"--wait", "--keep-ready"}
    assert set(fish(folder, "weir drain --wait ")) == set()
    assert set(fish(folder, "weir --on-client-abort ")) == ENUMERATED
    assert set(fish(folder, "weir config ")) == {"print", "schema", "defaults", "docs"}
    assert "weir.json" in fish(folder, "weir check we")
    assert "weir.json" in fish(folder, "weir --config we")
    assert set(fish(folder, "weir version ")) == set()


# ---- what is offered is taken ----------------------------------------------------------------


def test_no_word_is_offered_that_weir_does_not_take(folder):
    for command in "config", "completion":
        for word in bash(folder, "weir", command, ""):
            assert weir(command, word), (command, word)
    for command in COMMANDS:
        for flag in bash(folder, "weir", command, "-") - OPTIONS - {"--config"}:
            flag = "--wait=1s" if flag == "--wait" else flag
            done = subprocess.run([WEIR, command, flag, "--help"], env={}, capture_output=True)
            assert done.returncode == 0, (command, flag, done.stderr)


# ---- the man page ----------------------------------------------------------------------------


def test_mandoc_has_nothing_to_say_of_the_man_page():
    assert run(need("mandoc"), "-Tlint", text=weir("manpage")) == ""


def test_man_shows_every_command_flag_and_key(tmp_path):
    need("man")
    (tmp_path / "weir.1").write_text(weir("manpage"))
    env = {"PATH": os.environ["PATH"], "MANWIDTH": "1000", "LC_ALL": "C"}
    done = subprocess.run(
        ["man", "--warnings=w", "-l", str(tmp_path / "weir.1")],
        env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, text=True,
    )
    assert done.returncode == 0 and done.stderr == ""
    page = re.sub(r".\x08", "", done.stdout)
    for word in COMMANDS:
        assert re.search(rf"^ +{word}\b", page, re.M), word
    for flag in OPTIONS:
        assert re.search(rf"^ +{flag} ", page, re.M), flag
    keys = re.findall(r"^\| `([a-z_.]+)` \| `--", weir("config", "docs"), re.M)
    assert len(keys) == len(OPTIONS)
    for key in keys:
        assert f"Key {key}, variable WEIR_" in page, key

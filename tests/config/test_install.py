"""`make install`, into a folder that stands for the root of a system."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEIR = (ROOT / os.environ.get("WEIR", "build/weir")).resolve()

FILES = {
    "bin/weir": 0o755,
    "share/man/man1/weir.1": 0o644,
    "share/bash-completion/completions/weir": 0o644,
    "share/fish/vendor_completions.d/weir.fish": 0o644,
    "lib/systemd/system/weir.service": 0o644,
    "lib/systemd/system/weir.socket": 0o644,
}


def make(*args):
    """OUT is where this build is: what is installed is what is tested."""
    command = ["make", *args, f"OUT={os.path.relpath(WEIR.parent, ROOT)}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(folder):
    return {
        str(path.relative_to(folder)): path.stat().st_mode & 0o777
        for path in folder.rglob("*")
        if path.is_file()
    }


def weir(*args, program=WEIR):
    done = subprocess.run([program, *args], env={}, capture_output=True, timeout=20, check=True)
    return done.stdout


@pytest.fixture
def umask():
    """A careful user's: what is installed can be read all the same."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("prefix", ["", "/usr", "/opt/weir"])
def test_install_puts_each_file_where_it_is_looked_for(tmp_path, umask, prefix):
    args = [f"DESTDIR={tmp_path}"] + ([f"PREFIX={prefix}"] if prefix else [])
    make("install", *args)
    zsh = "site-functions"
    if prefix == "/usr" and os.path.exists("/etc/debian_version"):
        zsh = "vendor-completions"
    root = tmp_path / (prefix or "/usr/local")[1:]
    assert installed(root) == {**FILES, f"share/zsh/{zsh}/_weir": 0o644}
    assert weir("--version", program=root / "bin/weir") == weir("--version")
    assert (root / "share/man/man1/weir.1").read_bytes() == weir("manpage")
    for shell, path in (
        ("bash", "bash-completion/completions/weir"),
        ("zsh", f"zsh/{zsh}/_weir"),
        ("fish", "fish/vendor_completions.d/weir.fish"),
    ):
        assert (root / "share" / path).read_bytes() == weir("completion", shell)
    unit = (root / "lib/systemd/system/weir.service").read_text()
    assert f"ExecStart={prefix or '/usr/local'}/bin/weir --config" in unit
    make("uninstall", *args)
    assert installed(tmp_path) == {}


def test_every_folder_can_be_named(tmp_path, umask):
    folders = "BINDIR MANDIR UNITDIR BASHCOMPDIR ZSHCOMPDIR FISHCOMPDIR".split()
    make("install", f"DESTDIR={tmp_path}", *[f"{name}=/{name}" for name in folders])
    assert set(installed(tmp_path)) == {
        "BINDIR/weir",
        "MANDIR/man1/weir.1",
        "UNITDIR/weir.service",
        "UNITDIR/weir.socket",
        "BASHCOMPDIR/weir",
        "ZSHCOMPDIR/_weir",
        "FISHCOMPDIR/weir.fish",
    }


def test_an_install_after_a_build_compiles_and_fetches_nothing(tmp_path, umask):
    before = WEIR.stat()
    said = make("install", f"DESTDIR={tmp_path}", "prefix=/usr", "V=1")
    assert "-c proxy/" not in said and "deps.sh" not in said
    assert (WEIR.stat().st_ino, WEIR.stat().st_mtime) == (before.st_ino, before.st_mtime)
    assert "usr/bin/weir" in installed(tmp_path)


@pytest.mark.skipif(not shutil.which("strip"), reason="not installed: strip")
def test_install_strip_leaves_the_symbols_out(tmp_path, umask):
    make("install-strip", f"DESTDIR={tmp_path}")
    program = tmp_path / "usr/local/bin/weir"
    assert program.stat().st_size < WEIR.stat().st_size
    assert weir("--version", program=program) == weir("--version")


def test_bash_finds_the_installed_completion(tmp_path, umask):
    """Through bash-completion, which loads it at the first TAB."""
    loader = "/usr/share/bash-completion/bash_completion"
    if not os.path.exists(loader):
        pytest.skip("not installed: bash-completion")
    make("install", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    ask = f"source {loader}; _completion_loader weir; complete -p weir"
    env = {"PATH": os.environ["PATH"], "XDG_DATA_DIRS": f"{tmp_path}/usr/share"}
    done = subprocess.run(["bash", "-c", ask], env=env, capture_output=True, timeout=20, text=True)
    assert done.stdout == "complete -F _weir weir\n", done.stderr


def test_zsh_finds_the_installed_completion(tmp_path, umask):
    """In one of the folders that zsh searches without any setting."""
    if not shutil.which("zsh"):
        pytest.skip("not installed: zsh")
    make("install", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    ask = f"""
        fpath=({tmp_path}$^fpath $fpath)
        autoload -U compinit && compinit -D -u
        autoload +X $_comps[weir] && whence -v _weir
    """
    done = subprocess.run(["zsh", "-fc", ask], capture_output=True, timeout=20, text=True)
    assert f" from {tmp_path}/usr/share/zsh/" in done.stdout, done.stdout + done.stderr


def test_fish_finds_the_installed_completion(tmp_path, umask):
    """In `vendor_completions.d` of a folder in XDG_DATA_DIRS, where /usr/local/share has to be."""
    fish = shutil.which("fish")
    if not fish:
        pytest.skip("not installed: fish")
    make("install", f"DESTDIR={tmp_path}")
    local = tmp_path / "usr/local"
    # With its bin on the path: fish completes only programs that exist.
    path = f"{local}/bin:{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(tmp_path), "XDG_DATA_DIRS": f"{local}/share"}
    ask = [fish, "-c", "complete -C 'weir serve --conc'"]
    done = subprocess.run(ask, env=env, capture_output=True, timeout=20, text=True)
    assert done.stdout.startswith("--concurrency\t"), done.stderr

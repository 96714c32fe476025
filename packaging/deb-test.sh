#!/bin/sh
# Builds the Debian package of the last commit and tries it in a minimal Debian 12: packaging/deb-test.sh
#
# lintian checks it; apt installs it in a chroot, upgrades an older version, removes and purges it. As root.
# The chroot is build/deb-test, which is removed at the end unless KEEP is set.
# shellcheck disable=SC2317 # what holds() calls
set -eu
cd "$(dirname "$0")/.."
work=$PWD/build/deb-test
root=$work/root
said=$work/said
bad=0
passed=0
pid=''

if [ "$(id -u)" != 0 ]; then
    echo 'deb-test: run it as root: it makes a chroot' >&2
    exit 1
fi
missing=''
while read -r command package; do
    command -v "$command" >/dev/null || missing="$missing $package"
done <<'TOOLS'
dpkg-buildpackage dpkg-dev
dh debhelper
lintian lintian
mmdebstrap mmdebstrap
TOOLS
if [ -n "$missing" ]; then
    echo "deb-test: not installed; with apt: apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi

unmount() { ! mountpoint -q "$root/proc" || umount "$root/proc"; }
clean() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    unmount
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
unmount
rm -rf "$work"
mkdir -p "$root"
trap clean EXIT
trap 'exit 1' INT TERM

holds() { # name command...
    name=$1
    shift
    if "$@" >"$said" 2>&1; then
        echo "PASS deb $name"
        passed=$((passed + 1))
    else
        cat "$said"
        echo "FAIL deb $name"
        bad=$((bad + 1))
    fi
}
same() { [ "$1" = "$2" ] || { printf 'found:    %s\nexpected: %s\n' "$1" "$2" && false; }; }

# ---- the package, and one that stands for an older version ---------------------------------------------

variable() { sed -n "s/^$1[[:space:]]*:=[[:space:]]*//p" Makefile; }
version=$(variable VERSION)
revision=$(git -c safe.directory='*' rev-parse --short=12 HEAD)
packaging/deb.sh >/dev/null
package=$(echo build/deb/weir_*.deb)
echo "$package: $(($(stat -c %s "$package") / 1000)) kB"

# A warning that has to stay needs a line with its reason in packaging/debian/weir.lintian-overrides.
judged() { lintian --allow-root --fail-on error,warning build/deb/*.changes; }
holds 'lintian has no errors and no warnings' judged

dpkg-deb -R "$package" "$work/older"
sed -i 's/^Version: .*/Version: 0.0.1/' "$work/older/DEBIAN/control"
echo '{"upstream": "127.0.0.1:8000"}' >"$work/older/etc/weir/weir.json"

tar -C "$root" -xf "$(.ci/base.sh)"
cp /etc/resolv.conf "$root/etc/"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no service is started
chmod 755 "$root/usr/sbin/policy-rc.d"
mkdir "$root/tmp/packages"
cp "$package" "$root/tmp/packages/new.deb"
dpkg-deb -b "$work/older" "$root/tmp/packages/old.deb" >/dev/null
mount -t proc proc "$root/proc"

# ---- installing, upgrading, removing ------------------------------------------------------------------

inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"; }
apt() { inside apt-get -qq -y -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 --no-install-recommends "$@" </dev/null; }
config=$root/etc/weir/weir.json

holds 'apt finds its mirror' apt update
accounts=$(cat "$root/etc/passwd" "$root/etc/group")
holds 'an older version is installed, with what it depends on' apt install /tmp/packages/old.deb
echo '{"upstream": "127.0.0.1:8000", "concurrency": 7}' >"$config"
changed=$(cat "$config")
keeping='-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold'
# shellcheck disable=SC2086 # options
holds 'the upgrade is installed' apt $keeping install /tmp/packages/new.deb
holds 'the upgrade keeps a configuration that was changed' same "$(cat "$config")" "$changed"
holds 'the upgrade leaves the new one beside it' cmp "$config.dpkg-dist" packaging/weir.json

removed() {
    apt remove weir && [ ! -e "$root/usr/bin/weir" ] && same "$(cat "$config")" "$changed"
}
holds 'removal keeps the configuration' removed
holds 'it can be purged' apt purge weir
# The files that apt itself keeps, and the packages of this test, are not counted.
rest() { inside find / -xdev -iname '*weir*' ! -path '/proc/*' ! -path '/var/lib/apt/*'; }
holds 'purging leaves no file' same "$(rest)" ''

holds 'it is installed again' apt install /tmp/packages/new.deb
holds 'its configuration is the one that is shipped' cmp "$config" packaging/weir.json
holds 'no user and no group was added' same "$(cat "$root/etc/passwd" "$root/etc/group")" "$accounts"

# ---- what is installed --------------------------------------------------------------------------------

holds 'weir --version is the version and the commit' \
    same "$(inside weir --version 2>&1)" "weir $version ($revision)"
holds 'weir check accepts the configuration' inside weir check /etc/weir/weir.json
files() { inside dpkg -L weir | sed "s,^,$root,"; }
unusual() { # what is not a folder with mode 755 or a file with mode 644, of root
    files | xargs -d '\n' stat -L -c '%A %U:%G %n' | grep -vE '^(drwxr-xr-x|-rw-r--r--) root:root ' | sed "s,$root,,"
}
holds 'all files are those of the package' same "$(inside dpkg --verify weir)" ''
holds 'only weir is executable, and only root can write' same "$(unusual)" '-rwxr-xr-x root:root /usr/bin/weir'

holds 'man and systemd are installed' apt install man-db systemd
manual() {
    inside env MANWIDTH=80 man --warnings=w weir >"$work/manual" 2>"$work/warnings"
    same "$(cat "$work/warnings")" '' && [ "$(wc -L <"$work/manual")" -le 80 ] &&
        grep -q '^WEIR(1) ' "$work/manual" && grep -q '^CONFIGURATION OPTIONS$' "$work/manual"
}
holds 'man weir has no warnings and fits 80 columns' manual
units() { inside systemd-analyze verify /lib/systemd/system/weir.service /lib/systemd/system/weir.socket; }
holds 'systemd finds nothing wrong with the units' units
holds 'systemd has nothing to say about them' same "$(units 2>&1)" ''

port=$((20000 + $$ % 10000))
# shellcheck disable=SC2093 # exec, so that the signal reaches weir itself
(exec chroot --userspec=65534:65534 "$root" /usr/bin/weir --config /etc/weir/weir.json --startup-probe none \
    --listen 127.0.0.1:0 --admin-listen "127.0.0.1:$port" --drain-delay 0s) >"$work/weir.log" 2>&1 &
pid=$!
healthy() {
    for _ in $(seq 100); do
        ! inside weir healthcheck --admin-listen "127.0.0.1:$port" || return 0
        sleep 0.1
    done
    cat "$work/weir.log"
    return 1
}
holds 'weir starts with the configuration, as another user than root' healthy
kill -TERM "$pid"
ends() { wait "$pid"; }
holds 'it ends on SIGTERM with status 0' ends
pid=''

echo "$passed passed, $bad failed"
[ "$bad" = 0 ]

#!/bin/sh
# Builds the images and tries them, with no engine running and no image registry: .ci/image-test.sh
#
# buildah builds twice on a minimal Debian (.ci/base.sh). As root.
# Everything is kept below build/image, which is removed at the end unless KEEP is set.
set -eu
cd "$(dirname "$0")/.."
work=$PWD/build/image
tmp=$work/tmp
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
version=$(sed -n 's/^VERSION[[:space:]]*:=[[:space:]]*//p' Makefile)
bad=0
passed=0
mounts=''
pids=''

if [ "$(id -u)" != 0 ]; then
    echo 'image-test: run it as root: it makes a chroot' >&2
    exit 1
fi
missing=''
for command in buildah mmdebstrap; do
    command -v "$command" >/dev/null || missing="$missing $command"
done
if [ -n "$missing" ]; then
    echo "image-test: not installed:$missing; with apt: apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi

mkdir -p "$tmp"
cat >"$work/storage.conf" <<CONF
[storage]
driver = "vfs"
graphroot = "$work/storage"
runroot = "$work/run"
CONF
cat >"$work/policy.json" <<'POLICY'
{"default": [{"type": "insecureAcceptAnything"}]}
POLICY
export CONTAINERS_STORAGE_CONF="$work/storage.conf"

# shellcheck disable=SC2317 # called by the trap
clean() {
    for pid in $pids; do kill -9 "$pid" 2>/dev/null || true; done
    for m in $mounts; do umount "$m" 2>/dev/null || true; done
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM

holds() { # name command...
    name=$1
    shift
    if "$@" >"$tmp/said" 2>&1; then
        echo "PASS $name"
        passed=$((passed + 1))
    else
        cat "$tmp/said"
        echo "FAIL $name"
        bad=$((bad + 1))
    fi
}

# ---- the base, and two builds -----------------------------------------------------------------------

base=localhost/weir-base:bookworm
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    tar=$(.ci/base.sh)
    printf 'FROM scratch\nADD %s /\n' "${tar##*/}" >"$work/Base"
    buildah bud --quiet --signature-policy "$work/policy.json" -t "$base" -f "$work/Base" "${tar%/*}" >/dev/null
fi
build() { # log; TARGETS and FORMAT as for image.sh
    BASE=$base ENGINE=buildah IMAGE_FLAGS="--no-cache --quiet --signature-policy $work/policy.json" \
        .ci/image.sh >"$1" 2>&1 || {
        tail -n 40 "$1"
        echo 'FAIL the images are built'
        exit 1
    }
}
inspect() { buildah inspect --type image --format "{{$2}}" "$1"; }
id() { inspect "weir:$version" .FromImageID; }
layers() { inspect "weir:$version" .OCIv1.RootFS.DiffIDs; }
# Docker's format, which has the health check, includes the name of the container that built it: so the
# ID is that of the OCI format, and the content of both formats is compared.
TARGETS=weir FORMAT=oci build "$tmp/first.log"
first_id=$(id) first_layers=$(layers)
TARGETS=weir FORMAT=oci build "$tmp/second.log"
holds 'two builds give the same image ID' [ "$first_id" = "$(id)" ]
build "$tmp/third.log"
holds 'the image with the health check has the same content' [ "$first_layers" = "$(layers)" ]
echo "image ID: $first_id"

container=$(buildah from --signature-policy "$work/policy.json" "weir:$version")
demo=$(buildah from --signature-policy "$work/policy.json" "weir-backend-demo:$version")
root=$(buildah mount "$container")
demo_root=$(buildah mount "$demo")

# ---- what is in them --------------------------------------------------------------------------------

size() { du -sk "$1" | cut -f1; }
echo "sizes: weir $(size "$root") kB, demo $(size "$demo_root") kB"
holds 'weir has at most 12 MB' [ "$(size "$root")" -le 12000 ]
holds 'the demo has at most 12 MB' [ "$(size "$demo_root")" -le 12000 ]

programs() { find "$1" -type f -perm -u+x ! -name '*.so*' -printf '%P\n'; }
holds 'weir has no shell and no other program' [ "$(programs "$root")" = weir ]
holds 'the demo has no shell and no other program' [ "$(programs "$demo_root")" = backend-demo ]

label() { inspect "weir:$version" "index .OCIv1.Config.Labels \"org.opencontainers.image.$1\""; }
holds 'the user is 65532' [ "$(inspect "weir:$version" .OCIv1.Config.User)" = 65532:65532 ]
healthcheck() { inspect "weir:$version" .Docker.Config.Healthcheck.Test | grep -q '/weir healthcheck'; }
holds 'there is a health check' healthcheck
labels() {
    [ "$(label version)" = "$version" ] && [ "$(label licenses)" = Apache-2.0 ] &&
        [ "$(label revision)" != unknown ] && [ -n "$(label title)" ] && [ -n "$(label description)" ] &&
        label created | grep -q '^20..-..-..T'
}
holds 'the labels are there' labels
licences() {
    libraries=$(find "$root" -name '*.so*' | wc -l)
    documents=$(find "$root/usr/share/doc" -name copyright | wc -l)
    [ "$libraries" -gt 0 ] && [ "$documents" -ge $((libraries / 2)) ] && [ -f "$root/usr/share/doc/weir/LICENSE" ]
}
holds 'the licences are there' licences
sbom() {
    python3 - "$root/usr/share/doc/weir/sbom.spdx.json" "$root" <<'PYTHON'
import hashlib, json, os, sys
document, root = json.load(open(sys.argv[1])), sys.argv[2]
assert document["spdxVersion"] == "SPDX-2.3" and document["dataLicense"] == "CC0-1.0"
packages = {p["name"]: p for p in document["packages"]}
digest = hashlib.sha256(open(root + "/weir", "rb").read()).hexdigest()
assert packages["weir"]["checksums"][0]["checksumValue"] == digest
documented = set(os.listdir(root + "/usr/share/doc"))
assert documented == set(packages), documented ^ set(packages)
ids = {p["SPDXID"] for p in document["packages"]}
assert len(ids) == len(packages)
assert all(r["relatedSpdxElement"] in ids for r in document["relationships"])
assert all(p["licenseDeclared"] != "NOASSERTION" for p in packages.values()), packages
PYTHON
}
holds 'the SPDX document names each package and licence' sbom
if spdx=$(.ci/spdx.sh 2>"$tmp/said"); then
    holds 'the SPDX document is valid' "$spdx" --infile "$root/usr/share/doc/weir/sbom.spdx.json"
else
    echo "note: $(tail -n 1 "$tmp/said"); the SPDX document was not validated"
fi

# ---- running them: the file system read-only, the user that of the image ---------------------------

read_only() { # directory
    mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && mounts="$mounts $1"
}
read_only "$root"
read_only "$demo_root"
as_user() { chroot --userspec=65532:65532 "$@"; }
cannot_write() { ! as_user "$root" /weir config print --config /x.json 2>/dev/null && ! touch "$root/x" 2>/dev/null; }
holds 'the file system is read-only' cannot_write
version_is_label() { as_user "$root" /weir version | grep -q "weir $(label version)"; }
holds 'weir version is the label' version_is_label

port=$((20000 + $$ % 10000))
until_it() { # command...
    for _ in $(seq 100); do
        ! "$@" || return 0
        sleep 0.1
    done
    return 1
}
(BACKEND_LISTEN="127.0.0.1:$port" exec chroot --userspec=65532:65532 "$demo_root" /backend-demo) >"$tmp/demo.log" 2>&1 &
pids="$pids $!"
(exec chroot --userspec=65532:65532 "$root" /weir --upstream "127.0.0.1:$port" --listen "127.0.0.1:$((port + 1))" \
    --admin-listen "127.0.0.1:$((port + 2))" --drain-delay 0s) >"$tmp/weir.log" 2>&1 &
weir=$!
pids="$pids $weir"
healthy() { as_user "$root" /weir healthcheck --ready --admin-listen "127.0.0.1:$((port + 2))"; }
holds 'its health check passes' until_it healthy
proxies() {
    python3 -c "import urllib.request as u; r = u.urlopen('http://127.0.0.1:$((port + 1))/ping', timeout=5); assert r.status == 200 and r.headers['Via'] == '1.1 weir'"
}
holds 'it proxies a request' proxies
runs_as() { grep -q '^Uid:.65532.65532.65532.65532$' "/proc/$weir/status"; }
holds 'its process has uid 65532' runs_as
kill -TERM "$weir"
ends() { wait "$weir"; }
holds 'it ends on SIGTERM with status 0' ends

echo "$passed passed, $bad failed"
[ "$bad" = 0 ]

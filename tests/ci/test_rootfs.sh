#!/bin/sh
# The images, as far as they can be judged without an engine: their file systems are laid out by the
# script that the Dockerfile runs, and the programs run in them as the user they will have.
# shellcheck disable=SC2317 # what holds() calls
set -eu
cd "$(dirname "$0")/../.."
weir=$PWD/${WEIR:-build/weir}
demo=$PWD/${DEMO:-build/backend-demo}
tmp=$(mktemp -d)
pid=''
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$tmp"' EXIT
bad=0

holds() { # name command...
    name=$1
    shift
    if "$@" >"$tmp/said" 2>&1; then
        echo "PASS image $name"
    else
        cat "$tmp/said"
        echo "FAIL image $name"
        bad=1
    fi
}

.ci/rootfs.sh "$tmp/weir" "$weir"
.ci/rootfs.sh "$tmp/demo" "$demo"

size() { du -sk "$1" | cut -f1; }
holds 'weir is smaller than 14 MB' [ "$(size "$tmp/weir")" -lt 14000 ]
holds 'demo is smaller than 14 MB' [ "$(size "$tmp/demo")" -lt 14000 ]
echo "weir: $(size "$tmp/weir") kB, demo: $(size "$tmp/demo") kB"

no_programs_but() { [ "$(find "$1" -type f -perm -u+x ! -name '*.so*' -printf '%P\n')" = "$2" ]; }
holds 'weir holds no shell and no other program' no_programs_but "$tmp/weir" weir
holds 'demo holds no shell and no other program' no_programs_but "$tmp/demo" backend-demo

each_library_has_its_licence() {
    for p in libc6 libssl3 libevhtp0 libjansson4 libonig5 weir; do
        ls "$tmp/weir/usr/share/doc/$p"/[cL]* || return 1
    done
}
holds 'the licences are there' each_library_has_its_licence

if spdx=$(.ci/spdx.sh 2>"$tmp/said"); then
    valid() { "$spdx" --infile "$tmp/$1/usr/share/doc/$2/sbom.spdx.json"; }
    holds 'the SPDX document of weir is valid' valid weir weir
    holds 'the SPDX document of the demo is valid' valid demo backend-demo
else
    echo "note: $(tail -n 1 "$tmp/said"); the SPDX documents were not validated"
fi

last() { sed -n "s/^$1 //p" Dockerfile | tail -n 1; }
holds 'USER is a number and not root' [ "$(last USER)" = 65532:65532 ]
holds 'ENTRYPOINT is the program' [ "$(last ENTRYPOINT)" = '["/weir"]' ]

copied_files_exist() {
    sed -n 's/^!//p' .dockerignore | while read -r f; do
        ls -d "$f" || exit 1
    done
}
holds 'what the build is given exists' copied_files_exist

# ---- running them: wants a chroot, as root or in a user namespace of our own -----------------------

enter=''
for way in 'chroot --userspec=65532:65532' 'unshare --map-root-user chroot'; do
    # shellcheck disable=SC2086 # a command with its option
    [ -n "$enter" ] || ! $way "$tmp/weir" /weir version >/dev/null 2>&1 || enter=$way
done
if [ -z "$enter" ]; then
    echo 'note: no chroot here: the image was laid out but not run'
    exit $bad
fi

# shellcheck disable=SC2086 # a command with its option
run_in() { $enter "$@"; }
holds 'weir runs' run_in "$tmp/weir" /weir version
holds 'demo runs' run_in "$tmp/demo" /backend-demo --help

healthy() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        run_in "$tmp/weir" /weir healthcheck --admin-listen "127.0.0.1:$port" && return 0
        sleep 0.1
    done
    return 1
}
port=$((20000 + $$ % 10000))
# shellcheck disable=SC2086 # exec, so that the signal reaches weir itself
(exec $enter "$tmp/weir" /weir serve --upstream 127.0.0.1:1 --startup-probe none \
    --listen 127.0.0.1:0 --admin-listen "127.0.0.1:$port" --drain-delay 0s 2>"$tmp/log") &
pid=$!
holds 'its health check finds it' healthy
kill -TERM "$pid"
ends() { wait "$pid"; }
holds 'it ends on SIGTERM' ends
pid=''
exit $bad

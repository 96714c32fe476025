#!/bin/bash
# Packs the images that the tests use, from what is built, and imports them: tests/cluster/images.sh
#
# pause, weir, weir-backend-demo and weir-test-app; there is no registry. TAG is 0.1.0, which is what
# the chart asks for. To compare two builds, give one a TAG, here and to cases.py; WEIR names its weir.
set -euo pipefail
cd "$(dirname "$0")/../.."
cluster=$(realpath -m "${CLUSTER:-build/cluster}")
tag=${TAG:-0.1.0}
images=$cluster/images
mkdir -p "$images"

pack() { # ARCHIVE NAME FOLDER CONFIG
    python3 tests/cluster/image.py "$images/$1.tar" "$2" "$3" "$4"
    tests/cluster/in.sh ctr --namespace k8s.io images import "$images/$1.tar" >/dev/null
    echo "imported $2"
}

pause() { # what keeps the namespaces of a pod
    mkdir -p "$images/pause"
    [ -x "$images/pause/pause" ] || cc -Os -static -s -o "$images/pause/pause" -xc - <<'C'
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_end(int number)
{
    (void)number;
    _exit(0);
}

static void on_child(int number)
{
    (void)number;
    while (waitpid(-1, 0, WNOHANG) > 0)
        continue;
}

int main(void)
{
    signal(SIGINT, on_end);
    signal(SIGTERM, on_end);
    signal(SIGCHLD, on_child);
    for (;;)
        pause();
}
C
    pack pause localhost/pause:1 "$images/pause" '{"Entrypoint": ["/pause"], "User": "65535:65535"}'
}

ours() { # IMAGE PROGRAM
    local program
    program=$(basename "$2")
    .ci/rootfs.sh "$images/$1" "$2"
    pack "$1" "$1:$tag" "$images/$1" \
        "{\"Entrypoint\": [\"/$program\"], \"User\": \"65532:65532\", \"Env\": [\"PATH=/\"]}"
}

static() { # IMAGE PROGRAM
    rm -rf "${images:?}/$1"
    mkdir -p "$images/$1"
    cp "$2" "$images/$1/"
    pack "$1" "$1:$tag" "$images/$1" "{\"Entrypoint\": [\"/$(basename "$2")\"], \"User\": \"65532:65532\"}"
}

pause
ours weir "${WEIR:-build/weir}"
ours weir-backend-demo build/backend-demo
static weir-test-app "$cluster/bin/app"

#!/bin/bash
# Ends what up.sh started: tests/cluster/down.sh [keep]. With keep, state/ stays, with the logs.
#
# The first process of the PID namespace takes every other one with it, and the mounts and the network.
cd "$(dirname "$0")/../.." || exit 1
state=$(realpath -m "${CLUSTER:-build/cluster}")/state

if [ -e "$state/init.pid" ]; then
    pid=$(cat "$state/init.pid")
    kill -KILL "$pid" 2>/dev/null
    for _ in {1..40}; do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.25
    done
    rm -f "$state/init.pid" "$state/ready"
fi
for group in /sys/fs/cgroup/onenode /sys/fs/cgroup/*/onenode; do # empty ones are left
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
done
[ "${1:-}" = keep ] || rm -rf "$state"

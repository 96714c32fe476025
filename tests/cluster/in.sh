#!/bin/bash
# Runs a command inside the cluster's namespaces, as its administrator: tests/cluster/in.sh kubectl get pods
from=$PWD
cd "$(dirname "$0")/../.." || exit 1
cluster=$(realpath -m "${CLUSTER:-build/cluster}")
export KUBECONFIG=$cluster/state/admin.kubeconfig PATH=$cluster/bin:$PATH
export CONTAINERD_ADDRESS=/run/containerd/containerd.sock
exec nsenter --target "$(cat "$cluster/state/init.pid")" \
    --net --mount --pid --uts --ipc --wd="$from" -- "$@"

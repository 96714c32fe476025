#!/bin/sh
# Checks every manifest of the project as an API server does, but without one: .ci/manifests-check.sh
#
# Renders each value set of the charts, builds the Kustomize example, and passes the results, each object in deploy/ and
# examples/, and those in the documentation to the program in tests/manifests, which must also refuse the files in
# tests/manifests/bad. Without Go, or a proxy that serves its modules, it prints a note; without helm, it checks the
# golden files instead of rendering.
# WEIR is the weir that must accept the environment of the Cloud Run example.
set -u
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-/usr/bin/python3}
[ -x "$python" ] || python=python3
program=$PWD/build/tools/manifests
rendered=$PWD/build/manifests
failed=0
mkdir -p build

fail() {
    echo "FAIL manifests $1"
    failed=1
}

render() { # name, chart, namespace, values file or nothing
    kube=$([ -z "$4" ] || sed -n 's/^# kube: //p' "$4")
    # shellcheck disable=SC2086 # no words, where there are no values
    "$HELM" template shop "$2" --namespace "$3" --kube-version "${kube:-1.31.0}" ${4:+--values "$4"} \
        >"$rendered/$1.yaml" || fail "rendering $1"
}

render_all() {
    render defaults helm/weir prod ''
    for values in helm/weir/ci/*-values.yaml; do
        name=${values##*/}
        render "${name%-values.yaml}" helm/weir prod "$values"
    done
    render keda-http helm/weir shop examples/keda-http/weir-values.yaml
    cp -r tests/helm/shop "$rendered/shop"
    mkdir "$rendered/shop/charts"
    cp -r helm/weir-sidecar "$rendered/shop/charts/"
    render shop "$rendered/shop" prod ''
    rm -r "$rendered/shop"
}

# The complete objects in the documentation: each fenced block with an apiVersion that is not a template.
documented() {
    grep -rlE '^apiVersion:' --include='*.md' docs deploy examples helm | while read -r page; do
        awk '/^```yaml$/ { inside = 1; text = ""; next }
             /^```$/ { if (inside && text ~ /(^|\n)apiVersion:/ && text !~ /\{\{/) printf "---\n%s", text; inside = 0 }
             inside { text = text $0 "\n" }' "$page" >"$rendered/page"
        [ ! -s "$rendered/page" ] || mv "$rendered/page" "$rendered/$(echo "$page" | tr / -).yaml"
    done
}

# The component's patches are not complete objects; the built example contains them.
objects() {
    find deploy examples -name '*.yaml' ! -path '*/kustomize/weir/pod.yaml' ! -path '*/kustomize/weir/hook.yaml' \
        -exec grep -lE '^apiVersion: .*[a-z]' {} + | LC_ALL=C sort
}

# Go keeps what it has built: the second time, this takes a second. The code need not be fast.
build() {
    [ -z "$(gofmt -l tests/manifests)" ] || fail 'gofmt'
    CGO_ENABLED=0 nice go -C tests/manifests build -buildvcs=false -gcflags='all=-N -l' -ldflags='-s -w' -o "$program" .
}

judge_all() {
    rm -rf "$rendered"
    mkdir -p "$rendered" build/tools
    if HELM=$(.ci/helm.sh); then
        render_all
    else
        echo 'note: no helm: the golden files were judged instead'
        cp tests/helm/golden/*.yaml "$rendered/"
    fi
    if ! build; then
        fail 'the build of tests/manifests'
        return
    fi
    "$program" kustomize deploy/kustomize/example >"$rendered/kustomize.yaml" || fail 'the Kustomize example'
    documented
    here=$PWD
    set -- "$rendered"/*.yaml
    for file in $(objects); do
        set -- "$@" "$here/$file"
    done
    # The program finds its modules from its own folder.
    {
        cd tests/manifests || exit 1
        "$program" check "$@" || failed=1
        "$program" compose "$here/examples/compose/compose.yaml" || failed=1
        "$program" bad bad || failed=1
        cd "$here" || exit 1
    } >"$rendered/said"
    sed "s,$here/,,g" "$rendered/said"
}

"$python" tests/manifests/cloud_run.py examples/cloud-run/service.yaml || failed=1
if ! command -v go >/dev/null 2>&1; then
    echo 'note: no Go: the manifests were not checked against the schemas of Kubernetes'
elif ! (cd tests/manifests && timeout 120 go mod download k8s.io/api) >build/manifests.log 2>&1; then
    echo "note: no Go modules: the manifests were not checked against the schemas of Kubernetes ($(tail -n 1 build/manifests.log))"
else
    judge_all
fi
exit $failed

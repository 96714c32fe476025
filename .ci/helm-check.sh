#!/bin/sh
# The charts: lint, tests of the rendered objects, and a few rollouts; the other ways to deploy weir. Without helm
# or kubectl it prints a note, and runs the tests that need neither. Helm 3 and 4 must both accept the charts and
# render the same; HELM3 and HELM4 replace those of .ci/helm.sh. WEIR is the weir that must accept the rendered
# configurations, and that is rolled out in front of BACKEND_DEMO.
set -u
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-/usr/bin/python3}
[ -x "$python" ] || python=python3
WEIR=${WEIR:-build/weir}
[ ! -x "$WEIR" ] || export WEIR
BACKEND_DEMO=${BACKEND_DEMO:-build/backend-demo}
[ ! -x "$BACKEND_DEMO" ] || export BACKEND_DEMO
failed=0
chart=helm/weir
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

judged() { # name, status
    if [ "$2" = 0 ]; then
        echo "PASS $1"
    else
        echo "FAIL $1"
        failed=1
    fi
}

value_sets() { ls "$chart/values.yaml" "$chart"/ci/*.yaml examples/keda-http/weir-values.yaml; }

render() { # helm, values file
    kube=$(sed -n 's/^# kube: //p' "$2")
    "$1" template shop "$chart" --namespace prod --kube-version "${kube:-1.31.0}" --values "$2"
}

for major in 3 4; do
    [ "$major" = 3 ] && helm=${HELM3:-} || helm=${HELM4:-}
    [ -n "$helm" ] || helm=$(.ci/helm.sh "$major") || {
        echo "note: no helm $major: the charts were not rendered with it"
        continue
    }
    HELM=$helm
    mkdir "$tmp/$major"
    for values in $(value_sets); do
        "$helm" lint --strict --values "$values" "$chart"
        judged "helm $major lint $values" $?
        render "$helm" "$values" >"$tmp/out"
        judged "helm $major template $values" $?
        grep -v '^ *$' "$tmp/out" >"$tmp/$major/$(basename "$values")" # as the golden files
    done
done
if [ -d "$tmp/3" ] && [ -d "$tmp/4" ]; then
    diff -r "$tmp/3" "$tmp/4"
    judged 'helm 3 and 4 render the same' $?
fi
if [ -n "${HELM:-}" ]; then
    export HELM
else
    echo 'note: no helm: the charts were not tested'
fi
"$python" -m pytest -q -ra -c /dev/null --rootdir tests/helm --noconftest -p no:cacheprovider \
    tests/helm tests/deploy || failed=1
exit $failed

#!/bin/sh
# The charts: lint, tests of what they render, and a few rollouts; the other ways to deploy weir. Where no
# helm or kubectl can be had it says so, and what can be judged without one still is. WEIR is the weir that
# must accept the configurations it renders, and that is rolled out in front of BACKEND_DEMO.
set -u
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-/usr/bin/python3}
[ -x "$python" ] || python=python3
WEIR=${WEIR:-build/weir}
[ ! -x "$WEIR" ] || export WEIR
BACKEND_DEMO=${BACKEND_DEMO:-build/backend-demo}
[ ! -x "$BACKEND_DEMO" ] || export BACKEND_DEMO
failed=0

if HELM=$(.ci/helm.sh); then
    export HELM
    for values in helm/weir/values.yaml helm/weir/ci/*.yaml; do
        if "$HELM" lint --strict --values "$values" helm/weir; then
            echo "PASS helm lint $values"
        else
            echo "FAIL helm lint $values"
            failed=1
        fi
    done
else
    unset HELM
    echo 'note: no helm: the charts were not rendered'
fi
"$python" -m pytest -q -ra -c /dev/null --rootdir tests/helm --noconftest -p no:cacheprovider \
    tests/helm tests/deploy || failed=1
exit $failed

#!/bin/sh
# Prints the path of pyspdxtools, the reference validator of SPDX documents, or the reason why there is none, and
# fails: .ci/spdx.sh
#
# Looks on the path, then in build/tools, then installs it with pip, in fixed versions. Each attempt is bounded.
set -eu

versions='spdx-tools==0.8.5 beartype==0.23.1 boolean.py==5.0 click==8.5.1 license-expression==30.4.4
    ply==3.11 pyparsing==3.3.3 PyYAML==6.0.4 rdflib==7.6.0 semantic-version==2.10.0 uritools==7.0.0 xmltodict==1.0.4'

cd "$(dirname "$0")/.."
tools=$PWD/build/tools

works() { timeout 60 "$1" --help >/dev/null 2>&1; }
found() {
    echo "$1"
    exit 0
}

if path=$(command -v pyspdxtools) && works "$path"; then
    found "$path"
fi
! works "$tools/pyspdxtools" || found "$tools/pyspdxtools"

for python in "${PYTHON:-/usr/bin/python3}" python3; do
    "$python" -m pip --version >/dev/null 2>&1 || continue
    rm -rf "$tools/spdx"
    # shellcheck disable=SC2086 # a list of words
    timeout 100 "$python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --retries 2 --timeout 20 --target "$tools/spdx" $versions >&2 || continue
    printf '#!/bin/sh\nPYTHONPATH=%s exec %s -m spdx_tools.spdx.clitools.pyspdxtools "$@"\n' \
        "$tools/spdx" "$python" >"$tools/pyspdxtools"
    chmod 755 "$tools/pyspdxtools"
    ! works "$tools/pyspdxtools" || found "$tools/pyspdxtools"
done
echo 'pyspdxtools cannot be had here: it is not on the path, and pip could not get it' >&2
exit 1

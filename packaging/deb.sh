#!/bin/sh
# Builds the Debian package in build/deb: packaging/deb.sh
#
# A copy of the last commit is built, so the build in the clone is not touched.
set -eu
cd "$(dirname "$0")/.."
for command in dpkg-buildpackage dh; do
    command -v "$command" >/dev/null || {
        echo "deb.sh: $command is not installed: apt-get install -y --no-install-recommends dpkg-dev debhelper" >&2
        exit 1
    }
done
variable() { sed -n "s/^$1[[:space:]]*:=[[:space:]]*//p" Makefile; }
version=$(variable VERSION)
revision=$(git -c safe.directory='*' rev-parse --short=12 HEAD)
tree=build/deb/weir-$version

rm -rf build/deb
mkdir -p "$tree"
git -c safe.directory='*' archive HEAD | tar -x -C "$tree"
mv "$tree/packaging/debian" "$tree/debian"
cat >"$tree/debian/changelog" <<CHANGELOG
weir ($version) unstable; urgency=medium

  * See CHANGELOG.md.

 -- The weir authors <weir@packages.invalid>  $(date -u -R -d "$(variable RELEASED)")
CHANGELOG
(cd "$tree" && REVISION=$revision dpkg-buildpackage --build=binary --no-sign -j2 >../build.log 2>&1) || {
    tail -n 30 build/deb/build.log
    exit 1
}
ls build/deb/*.deb

#!/bin/sh
# Builds weir's two images with the engine that is there: .ci/image.sh
#
#   ENGINE     docker, podman or buildah; by default the first of them that is installed
#   BASE       the Debian that the first stage is built on (debian:bookworm-slim)
#   NAME       the name of weir's image (weir); the demo app is NAME-backend-demo
#   SOURCE     the address of the repository, for the label
#   TARGETS    which of the two are built ("weir backend-demo")
#   FORMAT     docker (with the health check) or oci (without; two builds give the same ID), for podman
#              and buildah
#
# SOURCE_DATE_EPOCH is the date of the last commit unless it is set, so the same commit on the same base
# gives the same image.
set -eu
cd "$(dirname "$0")/.."

engine=${ENGINE:-}
for candidate in docker podman buildah; do
    [ -n "$engine" ] || ! command -v "$candidate" >/dev/null || engine=$candidate
done
if [ -z "$engine" ]; then
    echo 'image.sh: neither docker, podman nor buildah is installed; install one of them' >&2
    exit 1
fi

name=${NAME:-weir}
version=$(sed -n 's/^VERSION[[:space:]]*:=[[:space:]]*//p' Makefile)
revision=$(git -c safe.directory='*' rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -c safe.directory='*' log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)

case $engine in
# buildah drops a HEALTHCHECK from images in OCI's own format, and gives files and the image one date
buildah) how="bud --format ${FORMAT:-docker} --timestamp $SOURCE_DATE_EPOCH" ;;
podman) how="build --format ${FORMAT:-docker} --timestamp $SOURCE_DATE_EPOCH" ;;
*) how=build ;;
esac

image() { # target tag
    # shellcheck disable=SC2086 # a command with its options
    "$engine" $how --build-arg BASE="${BASE:-debian:bookworm-slim}" --build-arg REVISION="$revision" \
        --build-arg VERSION="$version" --build-arg CREATED="$created" \
        --build-arg SOURCE="${SOURCE:-}" --build-arg SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
        ${IMAGE_FLAGS:-} --target "$1" -t "$2" -f Dockerfile .
}
for target in ${TARGETS:-weir backend-demo}; do
    tag=$name:$version
    [ "$target" = weir ] || tag=$name-$target:$version
    image "$target" "$tag"
    echo "built $tag with $engine"
done

#!/bin/sh
# Prints the path of a tar file that holds a minimal Debian 12 with apt: .ci/base.sh
#
# mmdebstrap builds it from the machine's Debian mirror, as root, unless one of the last week exists. The tests of
# the image and of the package use it.
set -eu
cd "$(dirname "$0")/.."
base=$PWD/build/base/bookworm.tar

if [ -z "$(find "$base" -mtime -7 2>/dev/null)" ]; then
    mkdir -p build/base
    mmdebstrap --quiet --variant=apt bookworm "$base.new.tar" >&2
    mv "$base.new.tar" "$base"
fi
echo "$base"

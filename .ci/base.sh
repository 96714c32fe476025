#!/bin/sh
# Prints the path of a tar file that holds a minimal Debian 12 with apt: .ci/base.sh
#
# mmdebstrap makes it from the machine's Debian mirror, as root, if there is none of the last week. The
# image and the package are tested on it.
set -eu
cd "$(dirname "$0")/.."
base=$PWD/build/base/bookworm.tar

if [ -z "$(find "$base" -mtime -7 2>/dev/null)" ]; then
    mkdir -p build/base
    mmdebstrap --quiet --variant=apt bookworm "$base.new.tar" >&2
    mv "$base.new.tar" "$base"
fi
echo "$base"

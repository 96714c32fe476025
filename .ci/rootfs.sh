#!/bin/sh
# Lays out the file system of an image that holds one program and nothing else:
# .ci/rootfs.sh DIRECTORY PROGRAM
#
# The program at the root, the shared libraries that it loads with their licences, the list of what it
# consists of (SPDX), a user 65532, and how names are looked up. No shell, no package manager. The
# Dockerfile copies it into an empty image.
set -eu
root=$1
program=$2

rm -rf "$root"
mkdir -p "$root/etc/weir"
cp "$program" "$root/"
strip "$root/$(basename "$program")"

package_of() { # dpkg knows a library by its real path, with or without /usr
    real=$(readlink -f "$1")
    for p in "$real" "${real#/usr}" "$1"; do
        owner=$(dpkg-query -S "$p" 2>/dev/null | head -n 1 | cut -d: -f1)
        [ -z "$owner" ] || break
    done
    echo "$owner"
}

packages=''
libraries=$(ldd "$program" | sed -n 's/^.*=> \(\/[^ ]*\) .*$/\1/p; s/^[[:space:]]*\(\/[^ ]*\) .*$/\1/p')
for lib in $libraries; do
    mkdir -p "$root$(dirname "$lib")"
    cp -L "$lib" "$root$lib"
    package=$(package_of "$lib")
    case " $packages " in
    *" $package "*) ;;
    *) packages="$packages $package" ;;
    esac
done
# Compiled into weir, if the page has charts.
if [ "$(basename "$program")" = weir ] && [ -f /usr/share/doc/libjs-dygraphs/copyright ]; then
    packages="$packages libjs-dygraphs"
fi
for package in $packages; do
    [ -f "/usr/share/doc/$package/copyright" ] || continue
    mkdir -p "$root/usr/share/doc/$package"
    cp -L "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/"
done

echo 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' >"$root/etc/passwd"
echo 'nonroot:x:65532:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
if [ -f LICENSE ]; then
    mkdir -p "$root/usr/share/doc/weir"
    cp LICENSE "$root/usr/share/doc/weir/"
fi

name=$(basename "$program")
mkdir -p "$root/usr/share/doc/$name"
# shellcheck disable=SC2086 # one argument a package
"$(dirname "$0")/sbom.sh" "$root/$name" $packages >"$root/usr/share/doc/$name/sbom.spdx.json"

#!/bin/sh
# The components of a program, as SPDX 2.3 in JSON: .ci/sbom.sh PROGRAM PACKAGE...
#
# The program itself, and the Debian packages whose libraries it loads or contains, with their versions.
# The licence of each is the main one of what is used of it; its full text is in the copyright file of
# the package, which .ci/rootfs.sh puts into the image. SOURCE_DATE_EPOCH sets the date; two runs for the
# same program then write the same bytes.
set -eu
program=$1
shift
name=$(basename "$program")
version=$(sed -n 's/^VERSION[[:space:]]*:=[[:space:]]*//p' "$(dirname "$0")/../Makefile")
sum=$(sha256sum "$program" | cut -d ' ' -f 1)
created=$(date -u -d "@${SOURCE_DATE_EPOCH:-0}" +%Y-%m-%dT%H:%M:%SZ)

licence_of() { # package
    case $1 in
    libc6) echo LGPL-2.1-or-later ;;
    libevent*) echo BSD-3-Clause ;;
    libevhtp*) echo BSD-3-Clause ;;
    libjansson*) echo MIT ;;
    libjs-dygraphs) echo MIT ;;
    libonig*) echo BSD-2-Clause ;;
    libssl*) echo Apache-2.0 ;;
    *) echo NOASSERTION ;;
    esac
}

package() { # id name version supplier licence further-members
    printf '    {\n      "SPDXID": "SPDXRef-%s",\n      "name": "%s",\n      "versionInfo": "%s",\n' "$1" "$2" "$3"
    printf '      "supplier": "%s",\n      "downloadLocation": "NOASSERTION",\n' "$4"
    printf '      "filesAnalyzed": false,\n      "licenseConcluded": "%s",\n' "$5"
    printf '      "licenseDeclared": "%s",\n      "copyrightText": "NOASSERTION",\n      %s\n    }' "$5" "$6"
}

debian() { # package
    id=$(echo "$1" | tr -c 'A-Za-z0-9.\n' -)
    version_of=$(dpkg-query -W -f '${Version}' "$1")
    architecture=$(dpkg-query -W -f '${Architecture}' "$1")
    purl="pkg:deb/debian/$1@$(echo "$version_of" | sed 's/+/%2B/g; s/:/%3A/g')?arch=$architecture"
    package "$id" "$1" "$version_of" 'Organization: Debian' "$(licence_of "$1")" \
        "\"externalRefs\": [{\"referenceCategory\": \"PACKAGE-MANAGER\", \"referenceType\": \"purl\", \"referenceLocator\": \"$purl\"}]"
}

cat <<HEAD
{
  "spdxVersion": "SPDX-2.3",
  "dataLicense": "CC0-1.0",
  "SPDXID": "SPDXRef-DOCUMENT",
  "name": "$name-$version",
  "documentNamespace": "urn:weir:spdx:$name:$version:$sum",
  "creationInfo": {"created": "$created", "creators": ["Tool: weir-sbom"]},
  "packages": [
HEAD
package "$name" "$name" "$version" NOASSERTION Apache-2.0 \
    "\"checksums\": [{\"algorithm\": \"SHA256\", \"checksumValue\": \"$sum\"}]"
for p in "$@"; do
    echo ,
    debian "$p"
done
cat <<MIDDLE

  ],
  "relationships": [
    {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-$name"}
MIDDLE
for p in "$@"; do
    kind=DYNAMIC_LINK
    [ "$p" != libjs-dygraphs ] || kind=CONTAINS
    id=$(echo "$p" | tr -c 'A-Za-z0-9.\n' -)
    echo "    , {\"spdxElementId\": \"SPDXRef-$name\", \"relationshipType\": \"$kind\", \"relatedSpdxElement\": \"SPDXRef-$id\"}"
done
printf '  ]\n}\n'

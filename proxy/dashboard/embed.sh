#!/bin/sh
# Writes the dashboard as a table in C: embed.sh DYGRAPHS >files.c
#
# Each file is compressed with gzip, and its ETag is a hash of the result. DYGRAPHS is the folder
# with dygraph.min.js, or "none": then the page has no charts, but all of its figures and tables.
set -eu
dygraphs=$1
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rows=''
embed() { # path type   (the content is on standard input)
    gzip -9n >"$work/file"
    name=$(echo "file_$1" | tr -c 'a-z0-9\n' _)
    tag=$(sha256sum "$work/file" | cut -c 1-16)
    echo "static const unsigned char ${name}[] = {"
    od -An -v -tx1 "$work/file" | sed 's/ \(..\)/0x\1,/g'
    echo "};"
    rows="$rows    {\"$1\", \"$2\", \"\\\\\"$tag\\\\\"\", $name, sizeof($name)},\n"
}

echo '/* Made by proxy/dashboard/embed.sh. */'
echo '#include "proxy/dashboard.h"'

script='text/javascript; charset=utf-8'
if [ "$dygraphs" = none ]; then
    grep -v 'src="dygraph.js"' "$here/index.html" >"$work/page"
else
    cp "$here/index.html" "$work/page"
    # The library's source map is not served, so its name is removed: browsers' tools would request it.
    sed '/^\/\/# sourceMappingURL=/d' "$dygraphs/dygraph.min.js" >"$work/dygraph.js"
    embed /dygraph.js "$script" <"$work/dygraph.js"
fi
embed / 'text/html; charset=utf-8' <"$work/page"
embed /dashboard.css 'text/css; charset=utf-8' <"$here/dashboard.css"
for module in dashboard charts figures recent; do
    embed "/$module.js" "$script" <"$here/$module.js"
done

echo 'const struct dashboard_file dashboard_files[] = {'
# shellcheck disable=SC2059 # the rows have escapes for printf, and nothing else that it would read
printf "$rows"
echo '};'
echo 'const size_t dashboard_n_files = sizeof(dashboard_files) / sizeof(dashboard_files[0]);'

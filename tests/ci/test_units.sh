#!/bin/sh
# .ci/units.sh accepts a tree in which each module has its unit test, and names each that has none.
set -eu
units=$(cd "$(dirname "$0")/../.." && pwd)/.ci/units.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
passed=0 failed=0

plant() { # the exceptions, which have to be there, and a module of each folder with its test
    rm -rf "${tree:?}"/*
    put common/clock.c proxy/main.c backend-demo/main.c backend-demo/loop_handlers.c \
        backend-demo/pool_handlers.c
    put common/a.c limiter/b.c proxy/http/c.c proxy/d.c backend-demo/e.c
    put tests/unit/common/test_a.c tests/unit/limiter/test_b.c tests/unit/http/test_c.c \
        tests/unit/proxy/test_d.c tests/unit/demo/test_e.c
}

put() { # files...
    for file in "$@"; do
        mkdir -p "$tree/$(dirname "$file")"
        : >"$tree/$file"
    done
}

says() { # name, what it must say: nothing where all is well
    if [ -n "$2" ]; then want=1; else want=0; fi
    if out=$("$units" "$tree"); then status=0; else status=1; fi
    if [ "$out" = "$2" ] && [ "$status" = "$want" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1: $out"
    fi
}

plant
says 'each module has its test' ''

for pair in common/a:common/test_a limiter/b:limiter/test_b proxy/http/c:http/test_c proxy/d:proxy/test_d \
    backend-demo/e:demo/test_e; do
    plant
    rm "$tree/tests/unit/${pair#*:}.c"
    says "${pair%:*} has none" "${pair%:*}.c: no tests/unit/${pair#*:}.c"
done

plant
put tests/unit/proxy/test_a.c proxy/a.c
rm "$tree/tests/unit/common/test_a.c"
says 'a test of that name for another folder is none' 'common/a.c: no tests/unit/common/test_a.c'

plant
put tests/unit/common/test_clock.c
says 'an exception that has a test' 'common/clock.c: has a test, and need not be an exception'

plant
rm "$tree/common/clock.c"
says 'an exception that is not there' 'common/clock.c: an exception for a file that is not there'

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

#!/bin/sh
# Each module has a unit test of its name: limiter/waitq.c has tests/unit/limiter/test_waitq.c.
# .ci/units.sh [DIRECTORY] names each module that has none, and fails.
set -eu
cd "${1:-.}"
fail=0

# Modules where a test of their own makes no sense, each with the reason.
exceptions='
common/clock.c                  hands on what the kernel says: there is nothing to compare it with
proxy/main.c                    hands argv to cli, whose test says what comes of it
backend-demo/main.c             puts the modules together: the end-to-end tests start it
backend-demo/loop_handlers.c    takes evhtp requests only: tests/e2e/test_demo.py sends them
backend-demo/pool_handlers.c    as loop_handlers.c
'
complain() { # what
    echo "$1"
    fail=1
}

is_exception() { # module
    echo "$exceptions" | grep -q "^$1 "
}

modules() { # 'folder' 'folder of its tests'
    for module in "$1"/*.c; do
        [ -f "$module" ] || continue
        test=tests/unit/$2/test_$(basename "$module")
        if [ -f "$test" ]; then
            ! is_exception "$module" || complain "$module: has a test, and need not be an exception"
        elif ! is_exception "$module"; then
            complain "$module: no $test"
        fi
    done
}

for module in $(echo "$exceptions" | cut -d ' ' -f 1); do
    [ -f "$module" ] || complain "$module: an exception for a file that is not there"
done
modules common common
modules limiter limiter
modules proxy/http http
modules proxy proxy
modules backend-demo demo
exit $fail

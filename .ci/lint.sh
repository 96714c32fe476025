#!/bin/sh
# All that can be judged without running weir. Each judgement prints PASS or FAIL and its name;
# what a failed one had to say comes before it. .ci/lint.sh [NAME...] makes only those.
# shellcheck disable=SC2317 # the judgements are called by their names
set -u
cd "$(dirname "$0")/.." || exit 1
PATH=$PATH:/usr/sbin

python=${PYTHON:-/usr/bin/python3}
[ -x "$python" ] || python=python3
jobs=$(nproc 2>/dev/null || echo 2)
out=$(mktemp)
trap 'rm -f "$out"' EXIT
failed=0

# What a person wrote: everything but what is built or git's own.
written() { # find's tests...
    find . \( -name .git -o -path ./build -o -name __pycache__ -o -name node_modules \) -prune -o \
        -type f \( "$@" \) -print | sed 's,^\./,,' | LC_ALL=C sort
}
product_c() { written -name '*.c' | grep -E '^(common|limiter|proxy|backend-demo|lab)/'; }
every_c() { written -name '*.[ch]'; }
headers() { written -name '*.h'; }
scripts() {
    written -name '*.sh' -o -path './.ci/*'
    written -perm -u+x | while read -r f; do
        ! head -n 1 "$f" | grep -qE '^#!.*[/ ](sh|bash|dash)$' || echo "$f"
    done
}

# ---- the judgements: silent and 0, or what is wrong and 1 -----------------------------------------

judge_format() {
    every_c | xargs -r clang-format --dry-run -Werror
}

judge_tidy() {
    said=$(product_c | xargs -r -P "$jobs" -I '{}' clang-tidy --quiet '{}' -- -std=c11 -I. \
        -D_GNU_SOURCE '-DWEIR_VERSION="lint"' '-DWEIR_REVISION="lint"' '-DWEIR_RELEASED="lint"' 2>/dev/null) && return 0
    echo "$said" | grep -A1 -E ': (warning|error): '
    return 1
}

judge_cppcheck() {
    dirs=''
    for d in common limiter proxy backend-demo lab; do
        [ ! -d "$d" ] || dirs="$dirs $d"
    done
    # shellcheck disable=SC2086 # a list of words
    cppcheck --quiet --std=c11 --library=bsd --enable=warning,performance,portability \
        --inline-suppr --error-exitcode=1 -j "$jobs" -I. -D_GNU_SOURCE \
        '-DWEIR_VERSION="lint"' '-DWEIR_REVISION="lint"' '-DWEIR_RELEASED="lint"' $dirs
}

# Each header compiles with nothing before it, so that no .c depends on the order of its includes.
judge_headers() {
    bad=0
    for h in $(headers); do
        echo "#include \"$h\"" |
            gcc -std=c11 -I. -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -x c - || bad=1
        grep -q '^#pragma once$' "$h" || {
            echo "$h: no #pragma once"
            bad=1
        }
    done
    return "$bad"
}

# Each .c with a header of its name includes that first: then the header is known to stand alone.
judge_own_header_first() {
    bad=0
    for c in $(product_c); do
        [ -f "${c%.c}.h" ] || continue
        first=$(sed -n 's/^#include ["<]\(.*\)[">].*/\1/p' "$c" | head -n 1)
        [ "$first" = "${c%.c}.h" ] || {
            echo "$c: includes $first before its own header"
            bad=1
        }
    done
    return "$bad"
}

# Text is a span or a strbuf, a number is parsed by something that can say no.
judge_banned() {
    names='strcpy|strncpy|stpcpy|strcat|strncat|sprintf|vsprintf|strtok|strtok_r|gets|alloca'
    names="$names|atoi|atol|atoll|atof|scanf|sscanf|fscanf|rand|srand|localtime|gmtime|ctime"
    ! every_c | xargs -r grep -nE "(^|[^A-Za-z0-9_])($names)[[:space:]]*\\("
}

# Work that is left undone is said in the documentation or in an issue, not in the code.
judge_left_undone() {
    words='TO''DO|FIX''ME|XX''X|HA''CK'
    ! written -name '*' ! -name LICENSE | xargs -r grep -nIE "\\b($words)\\b"
}

judge_layers() { .ci/layers.sh; }
judge_units() { .ci/units.sh; }
judge_shellcheck() { scripts | LC_ALL=C sort -u | xargs -r shellcheck; }

# The tests misspell on purpose.
judge_spelling() {
    written -name '*' ! -path './tests/*' ! -name '*.svg' ! -name LICENSE ! -name '*.head' |
        xargs -r codespell --ignore-words-list=usuarios,produtos,bloqueante,te
}

judge_python() {
    written -name '*.py' | xargs -r "$python" -c 'import ast, sys
for name in sys.argv[1:]:
    ast.parse(open(name, encoding="utf-8").read(), name)'
}

judge_json() {
    written -name '*.json' ! -path '*/fuzz/*' ! -path '*/bad/*' | xargs -r "$python" -c 'import json, sys
for name in sys.argv[1:]:
    try:
        json.load(open(name, encoding="utf-8"))
    except ValueError as e:
        sys.exit(f"{name}: {e}")'
}

judge_pictures() {
    for f in $(written -name '*.svg'); do
        rsvg-convert "$f" >/dev/null || return 1
    done
}

# A link in the documentation leads to a file that is there.
judge_links() {
    # shellcheck disable=SC2016 # a program in Python, not a word of this shell
    written -name '*.md' | xargs -r "$python" -c 'import os, re, sys
bad = 0
for name in sys.argv[1:]:
    text = re.sub(r"```.*?```", "", open(name, encoding="utf-8").read(), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)|src=\"([^\"]+)\"", text):
        target = target[0] or target[1]
        if "://" in target or os.path.exists(os.path.join(os.path.dirname(name), target)):
            continue
        print(f"{name}: leads nowhere: {target}")
        bad = 1
sys.exit(bad)'
}

# The alerts that the documentation offers are rules, of metrics that there are.
judge_alerts() {
    rules=$(mktemp)
    awk '/^```yaml/ { on = 1; next } /^```/ { on = 0 } on' docs/operations.md >"$rules"
    promtool check rules "$rules"
    status=$?
    # shellcheck disable=SC2013 # names have no spaces
    for m in $(grep -oE 'weir_[a-z_]+' docs/operations.md | sed -E 's/_(bucket|sum|count)$//' | sort -u); do
        grep -q "^| \`$m\`" docs/metrics.md || {
            echo "docs/operations.md: no such metric: $m"
            status=1
        }
    done
    rm -f "$rules"
    return "$status"
}

# ---- all of them, or those that were asked for ------------------------------------------------------

all='format headers own_header_first banned left_undone layers units shellcheck spelling python json
pictures links alerts cppcheck tidy'
# shellcheck disable=SC2086 # a list of words
[ $# -gt 0 ] || set -- $all
for name in "$@"; do
    if "judge_$name" >"$out" 2>&1 </dev/null; then
        echo "PASS lint $name"
    else
        head -n 100 "$out"
        echo "FAIL lint $name"
        failed=1
    fi
done
exit $failed

#!/bin/sh
# Installs what weir requires: .ci/deps.sh build|demo|test|browser|ci
#
#   build    to compile weir and the demo      demo  also to run the demo
#   test     also to test them                 ci    also to judge them, with all of these
#   browser  to compile them, and to test the dashboard
#
# Looks for the things themselves (commands, headers, Python modules), not for package names, so
# that what was built by hand counts too. Says nothing when all is there. With apt-get, installs
# what is missing; elsewhere says what to install and fails.
set -eu

level=${1:-build}
case $level in
build) levels=' build ' ;;
demo) levels=' build demo ' ;;
test) levels=' build demo test ' ;;
browser) levels=' build browser ' ;;
ci) levels=' build demo test browser ci ' ;;
*)
    echo "usage: $0 build|demo|test|browser|ci" >&2
    exit 2
    ;;
esac

# level | kind | what | Debian | Fedora | Alpine | Arch   ("a/b": any of them will do)
table() {
    cat <<'TABLE'
build|command|gcc/clang/cc|gcc|gcc|gcc|gcc
build|command|make|make|make|make|make
build|command|pkg-config|pkg-config|pkgconf-pkg-config|pkgconf|pkgconf
demo|command|python3|python3|python3|python3|python
build|header|stdio.h|libc6-dev|glibc-devel|musl-dev|glibc
build|header|event2/event.h|libevent-dev|libevent-devel|libevent-dev|libevent
build|header|evhtp/evhtp.h|libevhtp-dev|libevhtp-devel|libevhtp-dev|libevhtp (AUR)
build|header|jansson.h|libjansson-dev|jansson-devel|jansson-dev|jansson
build|header|openssl/ssl.h|libssl-dev|openssl-devel|openssl-dev|openssl
build|header|oniguruma.h|libonig-dev|oniguruma-devel|oniguruma-dev|oniguruma
build|dygraphs|dygraph.min.js|libjs-dygraphs|(npm: dygraphs)|(npm: dygraphs)|(npm: dygraphs)
test|header|cmocka.h|libcmocka-dev|libcmocka-devel|cmocka-dev|cmocka
test|module|pytest|python3-pytest|python3-pytest|py3-pytest|python-pytest
test|module|xdist|python3-pytest-xdist|python3-pytest-xdist|py3-pytest-xdist|python-pytest-xdist
test|module|fastapi|python3-fastapi|python3-fastapi|py3-fastapi|python-fastapi
test|module|uvicorn|python3-uvicorn|python3-uvicorn|uvicorn|uvicorn
test|module|gunicorn|python3-gunicorn|python3-gunicorn|py3-gunicorn|gunicorn
test|module|hypercorn|python3-hypercorn|python3-hypercorn|py3-hypercorn|hypercorn
test|module|httpx|python3-httpx|python3-httpx|py3-httpx|python-httpx
test|module|yaml|python3-yaml|python3-pyyaml|py3-yaml|python-yaml
test|module|jsonschema|python3-jsonschema|python3-jsonschema|py3-jsonschema|python-jsonschema
test|module|pyte|python3-pyte|python3-pyte|py3-pyte|python-pyte
test|module|websockets|python3-websockets|python3-websockets|py3-websockets|python-websockets
test|module|prometheus_client|python3-prometheus-client|python3-prometheus_client|py3-prometheus-client|python-prometheus_client
test|command|promtool|prometheus|prometheus|prometheus|prometheus
browser|command|node|nodejs|nodejs|nodejs|nodejs
browser|command|npm|npm|nodejs-npm|npm|npm
browser|command|chromium/chromium-browser/google-chrome|chromium|chromium|chromium|chromium
ci|command|git|git|git|git|git
ci|command|clang-14/clang|clang|clang|clang|clang
ci|fuzzer|libFuzzer|libclang-rt-dev|compiler-rt|compiler-rt|compiler-rt
ci|command|clang-tidy|clang-tidy|clang-tools-extra|clang-extra-tools|clang
ci|command|clang-format|clang-format|clang-tools-extra|clang-extra-tools|clang
ci|command|cppcheck|cppcheck|cppcheck|cppcheck|cppcheck
ci|command|gcovr|gcovr|gcovr|gcovr|gcovr
ci|command|shellcheck|shellcheck|ShellCheck|shellcheck|shellcheck
ci|command|codespell|codespell|codespell|codespell|codespell
ci|command|haproxy|haproxy|haproxy|haproxy|haproxy
ci|command|nginx|nginx-light|nginx|nginx|nginx
ci|command|wrk|wrk|wrk|wrk|wrk
ci|command|h2load|nghttp2-client|nghttp2|nghttp2|nghttp2
ci|command|hey|hey|hey|hey|hey (AUR)
ci|command|curl|curl|curl|curl|curl
ci|module|pytest_rerunfailures|python3-pytest-rerunfailures|python3-pytest-rerunfailures|py3-pytest-rerunfailures|python-pytest-rerunfailures
ci|module|requests|python3-requests|python3-requests|py3-requests|python-requests
ci|command|slowhttptest|slowhttptest|slowhttptest|slowhttptest|slowhttptest
ci|command|zsh|zsh|zsh|zsh|zsh
ci|command|fish|fish|fish|fish|fish
ci|command|mandoc|mandoc|mandoc|mandoc|mandoc
ci|command|man|man-db|man-db|man-db|man-db
ci|command|rsvg-convert|librsvg2-bin|librsvg2-tools|rsvg-convert|librsvg
TABLE
}

# /usr/sbin holds haproxy and nginx, and is not on every user's path.
PATH=$PATH:/usr/sbin:/sbin

python=${PYTHON:-/usr/bin/python3}
[ -x "$python" ] || python=python3

has_command() { # a/b/c: one of them
    rest=$1/
    while [ -n "$rest" ]; do
        command -v "${rest%%/*}" >/dev/null 2>&1 && return 0
        rest=${rest#*/}
    done
    return 1
}

# One run of the preprocessor answers for all headers, one of Python for all modules.
missing_headers() {
    for cc in "${CC:-gcc}" gcc clang cc ''; do
        [ -z "$cc" ] || ! command -v "$cc" >/dev/null 2>&1 || break
    done
    if [ -z "$cc" ]; then
        echo "$headers"
        return
    fi
    for h in $headers; do
        printf '#if !__has_include(<%s>)\n@%s\n#endif\n' "$h" "$h"
    done | "$cc" -E -P -x c - 2>/dev/null | sed -n 's/^@ *//p'
}

missing_modules() {
    command -v "$python" >/dev/null 2>&1 || {
        echo "$modules"
        return
    }
    # shellcheck disable=SC2086 # a list of words
    "$python" -I -S -c '
import site, sys
site.main()
from importlib.machinery import PathFinder
print("\n".join(m for m in sys.argv[1:] if PathFinder.find_spec(m) is None))' $modules
}

has_fuzzer() {
    for f in /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a \
        /usr/lib/clang/*/lib/*/libclang_rt.fuzzer*.a; do
        [ ! -e "$f" ] || return 0
    done
    return 1
}

# The Makefile's variable names another folder, or does without the charts.
has_dygraphs() {
    [ "${DYGRAPHS:-}" = none ] ||
        [ -r "${DYGRAPHS:-/usr/share/javascript/dygraphs}/dygraph.min.js" ]
}

wanted() { case $levels in *" $1 "*) ;; *) return 1 ;; esac }
in_list() { case " $2 " in *" $1 "*) ;; *) return 1 ;; esac }

# ---- what is missing ------------------------------------------------------------------------

headers='' modules=''
while IFS='|' read -r lvl kind what _; do
    wanted "$lvl" || continue
    case $kind in
    header) headers="$headers $what" ;;
    module) modules="$modules $what" ;;
    esac
done <<EOT
$(table)
EOT
no_headers=$(missing_headers | tr '\n' ' ')
no_modules=''
[ -z "$modules" ] || no_modules=$(missing_modules | tr '\n' ' ')

lacks() { # kind what
    case $1 in
    command) ! has_command "$2" ;;
    header) in_list "$2" "$no_headers" ;;
    module) in_list "$2" "$no_modules" ;;
    fuzzer) ! has_fuzzer ;;
    dygraphs) ! has_dygraphs ;;
    esac
}

things='' debian='' fedora='' alpine='' arch=''
while IFS='|' read -r lvl kind what deb fed alp arc; do
    wanted "$lvl" || continue
    lacks "$kind" "$what" || continue
    things="$things, $what"
    debian="$debian $deb" fedora="$fedora $fed" alpine="$alpine $alp" arch="$arch $arc"
done <<EOT
$(table)
EOT
[ -n "$things" ] || exit 0

# ---- where there is no apt-get ----------------------------------------------------------------

tell() {
    echo "weir: missing: ${things#, }"
    case $(uname -s) in
    Linux) ;;
    *) echo "weir runs on Linux (eventfd, epoll); elsewhere use a Linux container or virtual machine." ;;
    esac
    echo "Please install (names as far as we know them):"
    echo "  Debian, Ubuntu: $debian"
    echo "  Fedora:         $fedora"
    echo "  Alpine:         $alpine"
    echo "  Arch:           $arch"
}

if ! command -v apt-get >/dev/null 2>&1; then
    tell >&2
    exit 1
fi

# ---- apt-get ------------------------------------------------------------------------------------

as_root=''
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "weir: as root, please: apt-get install --no-install-recommends$debian" >&2
        exit 1
    fi
    as_root='sudo'
    # Nobody to type a password: then do not ask for one.
    [ -t 0 ] && [ -z "${CI:-}" ] || as_root='sudo -n'
fi

apt() {
    # shellcheck disable=SC2086 # empty, or a command with its option
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 \
        -o Acquire::Retries=3 -o Acquire::http::Timeout=60 -o DPkg::Lock::Timeout=120 "$@" \
        >>"$log" 2>&1
}

# These are tools here, not services: nobody who runs the tests wants a Prometheus left running.
policy=/usr/sbin/policy-rc.d
quiet_services() {
    [ ! -e "$policy" ] || return 0
    undo="$as_root rm -f $policy"
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
}

log=$(mktemp)
undo=true
trap '$undo; rm -f "$log"' EXIT
trap 'exit 130' INT TERM
echo "weir: installing$debian" >&2
quiet_services
try=1
# shellcheck disable=SC2086 # a list of words
until apt update && apt install -y --no-install-recommends $debian; do
    if [ "$try" -ge 3 ]; then
        tail -n 40 "$log" >&2
        echo "weir: apt-get could not install$debian" >&2
        exit 1
    fi
    sleep $((try * 3))
    try=$((try + 1))
done

#!/bin/sh
# .ci/layers.sh accepts a tree that keeps the layers and names each include that breaks them.
set -eu
layers=$(cd "$(dirname "$0")/../.." && pwd)/.ci/layers.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
passed=0 failed=0

put() { # file include: a file of one include
    mkdir -p "$tree/$(dirname "$1")"
    case $2 in
    */*.h) quote='"' ;;
    *) quote='<' ;;
    esac
    case $quote in
    '"') printf '#include "%s"\n' "$2" >"$tree/$1" ;;
    *) printf '#include <%s>\n' "$2" >"$tree/$1" ;;
    esac
}

verdict() { # name, 0 when it held
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1"
    fi
}

allowed() { # file include
    rm -rf "${tree:?}"/*
    put "$1" "$2"
    if out=$("$layers" "$tree"); then ok=0; else ok=1; fi
    verdict "$1 may include $2${out:+: $out}" "$ok"
}

refused() { # file include
    rm -rf "${tree:?}"/*
    put "$1" "$2"
    if out=$("$layers" "$tree"); then
        ok=1
    elif [ "$out" = "$1: not allowed in this layer: $2" ]; then
        ok=0
    else
        ok=1
    fi
    verdict "$1 must not include $2${out:+: $out}" "$ok"
}

allowed common/log.c stdio.h
allowed limiter/limiter.c common/clock.h
allowed proxy/http/parse.c proxy/http/head.h
allowed proxy/config.c jansson.h
allowed proxy/client.c event2/event.h
allowed proxy/exchange.c proxy/client.h
allowed proxy/exchange.c proxy/h1_client.h
allowed proxy/admin.c evhtp/evhtp.h
allowed backend-demo/routes.c common/strbuf.h

refused common/log.c limiter/limiter.h
refused common/pool.h event2/event.h
refused limiter/limiter.c common/log.h
refused limiter/waitq.c sys/socket.h
refused proxy/http/parse.c common/log.h
refused proxy/http/body.h event2/buffer.h
refused proxy/config.c proxy/loop.h
refused proxy/loop.c proxy/client.h
refused proxy/client.c proxy/exchange.h
refused proxy/relay.c jansson.h
refused proxy/upstream.h proxy/server.h
refused proxy/exchange.c event2/event.h
refused proxy/exchange.c proxy/conn.h
refused proxy/exchange.c proxy/server.h
refused proxy/server.c evhtp/evhtp.h
refused proxy/main.c jansson.h
refused backend-demo/main.c proxy/config.h
refused lab/run.c proxy/stats.h

rm -rf "${tree:?}"/*
put proxy/stranger.c stdio.h
if out=$("$layers" "$tree"); then ok=1; else ok=0; fi
case $out in "proxy/stranger.c: belongs to no layer"*) ;; *) ok=1 ;; esac
verdict 'a file in no layer is named' "$ok"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

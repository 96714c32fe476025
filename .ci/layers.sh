#!/bin/sh
# Which file may include which: a file includes its own layer and lower ones, never a higher one.
# One line per layer: the files, then what they may include. docs/architecture.md gives the reasons.
# .ci/layers.sh [DIRECTORY] names each include that breaks this rule, and fails.
set -eu
cd "${1:-.}"

pure='(std[a-z]+|strings?|errno|math|time|limits|inttypes|ctype|assert|float)\.h|sys/(queue|types)\.h'
pure="$pure|(emmintrin|immintrin|arm_neon)\.h"
threads='(pthread|sched)\.h'
libc="$pure|$threads|(unistd|endian|fcntl|signal|netdb|getopt|locale|poll|dirent|termios|malloc)\.h"
libc="$libc|(sys|netinet|arpa|linux)/[a-z0-9_]+\.h"
base='proxy/(loop|wheel|budget|log_limit|config_watch|hash|cidr|class_rule|paths|words|config|config_values|buckets|stats|stats_reading|metrics_page|status|load|load_header|overload_log|record|completions|number|trace|request_start|access_log|access_line|access_ring|access_sink|exemplars|history|estimate|advice|app_condition|socket_queues|stats_now|metrics_families|metrics_docs|metrics_app|openmetrics)\.h'
ends='proxy/(conn|listener|client|upstream|relay|ws|tunnel|h1_client|h1_server|message|classes|reply|deadline|settings|probe|app|child)\.h'
sides='proxy/(listener|client|upstream|relay|ws|tunnel|h1_client|h1_server|message|classes|reply|deadline|settings|probe|app|child)\.h'
judged=$(mktemp)
trap 'rm -f "$judged"' EXIT
fail=0

layer() { # 'files' 'what they may include, as an extended regular expression'
    for f in $1; do
        [ -f "$f" ] || continue
        echo "$f" >>"$judged"
        bad=$(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]\([^">]*\)[">].*/\1/p' "$f" |
            grep -vxE "$2" || true)
        [ -n "$bad" ] || continue
        for include in $bad; do
            echo "$f: not allowed in this layer: $include"
        done
        fail=1
    done
}

# 0  used by both programs; depends on neither
layer 'common/*.[ch]' "$libc|common/[a-z0-9_]+\.h"

# 1  pure: no libevent, no sockets, no logs, no metrics. clock.h is for its types: the clocks
#    themselves would not link into the unit tests of proxy/http
layer 'limiter/*.[ch]' "$pure|$threads|limiter/[a-z_]+\.h|common/(check|clock)\.h"
layer 'proxy/http/*.[ch]' "$pure|proxy/http/[a-z_]+\.h|common/(check|clock|span|strbuf)\.h"

# 2  the configuration (the only jansson), and a thread's loop and numbers
for m in cidr class_rule paths words config config_values config_file config_change config_load options option_classes option_form option_value option_hint option_private jsonpos capacity manual command completion manpage admin_client cli cli_admin cli_status cli_top cli_private figures text_screen figure_lines status_page top_screen; do
    layer "proxy/$m.[ch]" "$libc|jansson\.h|common/[a-z0-9_]+\.h|limiter/limiter\.h|proxy/(cidr|paths|words|config|config_values|config_change|config_load|options|class_rule|option_classes|option_form|option_value|option_hint|option_private|jsonpos|capacity|manual|command|completion|manpage|admin_client|cli|cli_admin|cli_status|cli_top|cli_private|figures|text_screen|figure_lines|status_page|top_screen)\.h"
done
for m in loop wheel budget log_limit config_watch hash buckets stats stats_reading metrics_page status load load_header overload_log record completions number trace request_start access_log access_line access_ring access_sink exemplars history estimate advice app_condition socket_queues stats_now metrics_families metrics_docs metrics_app openmetrics; do
    layer "proxy/$m.[ch]" "$libc|event2/[a-z_]+\.h|common/[a-z0-9_]+\.h|limiter/[a-z_]+\.h|$base"
done

# 3  the ends: sockets and processes. They do not know what an exchange is
for m in conn listener client upstream relay ws tunnel h1_client h1_server message reply deadline settings probe child; do
    layer "proxy/$m.[ch]" "$libc|event2/[a-z_]+\.h|common/[a-z0-9_]+\.h|proxy/http/[a-z_]+\.h|$base|$ends"
done
# classes names the limiter's classes: pure
layer 'proxy/classes.[ch]' "$pure|netinet/in\.h|common/[a-z0-9_]+\.h|limiter/limiter\.h|proxy/http/[a-z_]+\.h|$base|proxy/(capacity|classes)\.h"
# app pauses the limiter
layer 'proxy/app.[ch]' "$libc|common/[a-z0-9_]+\.h|limiter/[a-z_]+\.h|$base|proxy/(app|probe)\.h"

# 4  one request's life: the only one that knows both sides. No libevent and no sockets: proxy/conn
#    is behind h1_client and h1_server
layer 'proxy/exchange*.[ch]' "$pure|common/[a-z0-9_]+\.h|limiter/[a-z_]+\.h|proxy/http/[a-z_]+\.h|$base|$sides|proxy/exchange[a-z_]*\.h"

# 5  the server. Only admin uses evhtp
inside='common/[a-z0-9_]+\.h|limiter/[a-z_]+\.h|proxy/([a-z_]+|http/[a-z_]+)\.h'
layer 'proxy/admin.[ch]' "$libc|event2/[a-z_]+\.h|evhtp/evhtp\.h|evhtp\.h|$inside"
layer 'proxy/admin_access.[ch]' "$pure|sys/socket\.h|common/[a-z0-9_]+\.h|proxy/http/[a-z_]+\.h|proxy/(cidr|admin_access)\.h"
for m in server limits lifecycle notify drain admin_routes agent reload observer app_view dashboard; do
    layer "proxy/$m.[ch]" "$libc|event2/[a-z_]+\.h|$inside"
done

# 6  argv in, exit status out
layer 'proxy/main.c' "$libc|event2/[a-z_]+\.h|$inside"

# The other programs stand beside the proxy and never reach into it
layer 'backend-demo/*.[ch]' "$libc|event2/[a-z_]+\.h|evhtp/evhtp\.h|evhtp\.h|common/[a-z0-9_]+\.h|backend-demo/[a-z_]+\.h"
layer 'lab/*.[ch]' "$libc|event2/[a-z_]+\.h|common/[a-z0-9_]+\.h|lab/[a-z_]+\.h"

# A file in no layer would be free to include anything.
for f in common/*.[ch] limiter/*.[ch] proxy/*.[ch] proxy/*/*.[ch] backend-demo/*.[ch] lab/*.[ch]; do
    [ -f "$f" ] || continue
    grep -qxF "$f" "$judged" || {
        echo "$f: belongs to no layer: add it to .ci/layers.sh"
        fail=1
    }
done
exit $fail

# weir: one Makefile, not recursive. The lists below are the modules, layer by layer
# (docs/architecture.md); `make help` lists what it can do.

SHELL := /bin/sh
.DEFAULT_GOAL := help
Q := $(if $(V),,@)

# ---- the modules ------------------------------------------------------------------------------

COMMON  := common/clock.c common/utf8.c common/strbuf.c common/log.c common/pool.c common/task_queue.c \
           common/metrics.c common/prometheus.c common/address.c common/socket.c \
           common/inherited.c
LIMITER := limiter/limiter.c limiter/choice.c limiter/waitq.c limiter/patience.c limiter/overload.c \
           limiter/slots.c
HTTP    := proxy/http/chars.c proxy/http/head.c proxy/http/parse.c proxy/http/body.c \
           proxy/http/rewrite.c proxy/http/date.c
COMMANDS := proxy/manual.c proxy/manpage.c proxy/completion.c proxy/admin_client.c proxy/cli.c proxy/cli_admin.c \
            proxy/cli_status.c proxy/cli_top.c proxy/figures.c proxy/text_screen.c proxy/figure_lines.c \
            proxy/status_page.c proxy/top_screen.c
CONFIG  := proxy/cidr.c proxy/paths.c proxy/words.c proxy/options.c proxy/option_form.c \
           proxy/option_value.c proxy/option_hint.c proxy/option_classes.c \
           proxy/config.c proxy/config_file.c proxy/config_change.c \
           proxy/jsonpos.c proxy/capacity.c $(COMMANDS)
BASE    := proxy/wheel.c proxy/loop.c proxy/log_limit.c proxy/config_watch.c proxy/buckets.c proxy/stats.c proxy/hash.c \
           proxy/metrics_families.c proxy/metrics_docs.c proxy/metrics_page.c proxy/status.c proxy/load.c proxy/load_header.c proxy/overload_log.c \
           proxy/record.c proxy/completions.c proxy/history.c proxy/number.c proxy/trace.c proxy/request_start.c \
           proxy/exemplars.c proxy/openmetrics.c
# The state of the app, inferred from outside.
BASE    += proxy/estimate.c proxy/socket_queues.c proxy/app_condition.c proxy/advice.c proxy/metrics_app.c
ENDS    := proxy/conn.c proxy/listener.c proxy/client.c proxy/upstream.c proxy/relay.c \
           proxy/ws.c proxy/tunnel.c proxy/h1_client.c proxy/h1_server.c \
           proxy/message.c proxy/classes.c proxy/reply.c proxy/deadline.c proxy/settings.c proxy/probe.c \
           proxy/app.c
EXCHANGE := proxy/exchange.c proxy/exchange_connect.c proxy/exchange_request.c \
            proxy/exchange_response.c proxy/exchange_tunnel.c proxy/exchange_drain.c proxy/exchange_end.c \
            proxy/exchange_orphan.c proxy/exchange_bypass.c proxy/exchange_deadline.c proxy/exchange_front.c proxy/exchange_class.c \
            proxy/exchange_shadow.c
SERVER  := $(EXCHANGE) proxy/server.c proxy/observer.c proxy/app_view.c proxy/limits.c proxy/lifecycle.c proxy/notify.c proxy/drain.c proxy/reload.c proxy/admin.c proxy/agent.c \
           proxy/admin_access.c proxy/admin_routes.c
MAIN    := proxy/main.c
DEMO    := backend-demo/main.c backend-demo/routes.c backend-demo/loop_handlers.c \
           backend-demo/pool_handlers.c backend-demo/pool.c backend-demo/looplag.c \
           backend-demo/backend.c
DASHBOARD := proxy/dashboard.c build/dashboard/files.c

EXCHANGE += proxy/exchange_access.c
SERVER   += proxy/exchange_access.c
BASE     += proxy/access_line.c proxy/access_ring.c proxy/access_sink.c proxy/access_log.c

WEIR_SRC := $(COMMON) $(LIMITER) $(HTTP) $(CONFIG) $(BASE) $(ENDS) $(SERVER) $(DASHBOARD) $(MAIN)
DEMO_SRC := $(COMMON) $(DEMO)

# The dice of the tests are thrown the same way each time, so that what fails has changed. Another
# throw: WEIR_SEED=N, or 0 for one that is printed. `make differential` and `make fuzz` throw anew
# unless told otherwise.
given_seed := $(WEIR_SEED)
export WEIR_SEED ?= 1

# A unit test links the layers that its module may use and nothing else: a wrong dependency does not link.
UNITS_COMMON  := $(sort $(wildcard tests/unit/common/test_*.c))
UNITS_LIMITER := $(sort $(wildcard tests/unit/limiter/test_*.c))
UNITS_HTTP    := $(sort $(wildcard tests/unit/http/test_*.c))
UNITS_PROXY   := $(sort $(wildcard tests/unit/proxy/test_*.c))
UNITS_DEMO    := $(sort $(wildcard tests/unit/demo/test_*.c))
UNITS := $(UNITS_COMMON) $(UNITS_LIMITER) $(UNITS_HTTP) $(UNITS_PROXY) $(UNITS_DEMO)

# ---- how it is compiled ------------------------------------------------------------------------

VERSION  := 0.1.0
RELEASED := 2026-11-23
# `sudo make install` reads the clone of another user: git would refuse that, and an unknown revision
# would have everything compiled anew.
REVISION := $(shell git -c safe.directory='*' rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

ifeq ($(origin CC),default)
CC := gcc
endif
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla -Wstrict-prototypes \
            -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wcast-qual -Wconversion \
            -Wformat=2 -Wswitch-enum -Wimplicit-fallthrough -fno-common
WERROR  ?= -Werror
OPT     ?= -O2 -g
CPPFLAGS += -I. -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' -DWEIR_REVISION='"$(REVISION)"' \
            -DWEIR_RELEASED='"$(RELEASED)"'
HARDEN  := -fstack-protector-strong -fPIE
LDHARD  := -pie -Wl,-z,relro,-z,now

OUT := build
ifdef SAN
OUT := build/$(SAN)
ifeq ($(SAN),address)
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(SAN),undefined)
SANFLAGS := -fsanitize=undefined -fno-sanitize-recover=all
else ifeq ($(SAN),thread)
SANFLAGS := -fsanitize=thread
else ifeq ($(SAN),coverage)
SANFLAGS := --coverage -O0 -fprofile-update=atomic
else
$(error SAN is address, undefined, thread or coverage, not "$(SAN)")
endif
CPPFLAGS += -DWEIR_SANITIZED
OPT := -O1 -g
else
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
ifneq ($(filter clang%,$(notdir $(CC))),)
OUT := $(OUT)/clang
endif
# For `make bench-ledger` only: common/measures.h.
ifeq ($(MEASURES),0)
OUT := $(OUT)/no-metrics
CPPFLAGS += -DWEIR_BENCH_NO_METRICS
endif

# Calls between small modules cost 4 % of a request: the programs are linked as a whole. Unit tests are
# not, since each would do that again. The objects hold both forms.
ifneq ($(filter gcc%,$(notdir $(CC))),)
ifndef SAN
LTO_CC := -flto=auto -ffat-lto-objects
LTO_LD := -flto=auto $(OPT)
LTO_NO := -fno-lto
endif
endif

ALL_CFLAGS = -std=c11 $(LTO_CC) $(OPT) $(WARNINGS) $(WERROR) $(HARDEN) $(SANFLAGS) -pthread $(CFLAGS)
ALL_LDFLAGS = $(LDHARD) $(SANFLAGS) -pthread $(LDFLAGS)

EVHTP_LIBS := -levhtp -levent -levent_openssl -levent_pthreads -lssl -lcrypto -lonig
JSON_LIBS  := -ljansson

obj = $(patsubst %.c,$(OUT)/obj/%.o,$(1))

# ---- where `make install` puts things; DESTDIR stands before each -------------------------------

PREFIX  ?= $(or $(prefix),/usr/local)
BINDIR  ?= $(or $(bindir),$(PREFIX)/bin)
DATADIR ?= $(or $(datarootdir),$(PREFIX)/share)
MANDIR  ?= $(or $(mandir),$(DATADIR)/man)
UNITDIR ?= $(PREFIX)/lib/systemd/system
# In /usr, Debian's zsh looks for what packages bring in a folder of its own.
ZSH_FOLDER  := $(if $(and $(filter /usr,$(PREFIX)),$(wildcard /etc/debian_version)),vendor-completions,site-functions)
BASHCOMPDIR ?= $(DATADIR)/bash-completion/completions
ZSHCOMPDIR  ?= $(DATADIR)/zsh/$(ZSH_FOLDER)
# Of /usr/local, fish knows where XDG_DATA_DIRS names its share; else FISHCOMPDIR=/etc/fish/completions.
FISHCOMPDIR ?= $(DATADIR)/fish/vendor_completions.d

INSTALL         ?= install
INSTALL_PROGRAM ?= $(INSTALL) -m 755
INSTALL_DATA    ?= $(INSTALL) -m 644

PAGES := $(addprefix $(OUT)/share/,weir.1 weir.bash _weir weir.fish)
UNIT_FILES := $(addprefix examples/systemd/,weir.service weir.socket)

# ---- what a person types -------------------------------------------------------------------------

.PHONY: help
help: ## print this list
	@echo 'weir $(VERSION): a reverse proxy that limits the concurrency of one app'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'
	@echo
	@echo '  SAN=address|thread|undefined   build, check and test under that sanitizer'
	@echo '  CC=clang                       use the other compiler'
	@echo '  V=1                            show the commands'

.PHONY: build
build: $(OUT)/weir $(OUT)/backend-demo $(PAGES) ## compile weir and the demo app into build/

$(OUT)/weir: $(call obj,$(WEIR_SRC))
	@echo "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $(LTO_LD) -o $@ $^ $(EVHTP_LIBS) $(JSON_LIBS)

$(OUT)/backend-demo: $(call obj,$(DEMO_SRC))
	@echo "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $(LTO_LD) -o $@ $^ $(EVHTP_LIBS)

# The dashboard with its chart library, which is not part of the sources. A file holds the name of its
# folder, so that the dashboard is built again when the name changes.
DYGRAPHS ?= $(patsubst %/dygraph.min.js,%,$(wildcard /usr/share/javascript/dygraphs/dygraph.min.js))
build/dashboard/dygraphs: FORCE
	@mkdir -p $(@D)
	@[ '$(DYGRAPHS)' = none ] || [ -r '$(DYGRAPHS)/dygraph.min.js' ] || { \
	    echo "weir: dygraphs, which draws the charts of the dashboard, is missing. Install the package" >&2; \
	    echo "libjs-dygraphs (Debian, Ubuntu), name the folder with dygraph.min.js (make DYGRAPHS=DIR)," >&2; \
	    echo "or build a dashboard without charts (make DYGRAPHS=none)." >&2; exit 1; }
	@echo '$(DYGRAPHS)' | cmp -s - $@ || echo '$(DYGRAPHS)' > $@

build/dashboard/files.c: build/dashboard/dygraphs $(wildcard proxy/dashboard/*) $(wildcard $(DYGRAPHS)/dygraph.min.js)
	@echo "  EMBED $@"
	$(Q)proxy/dashboard/embed.sh '$(DYGRAPHS)' > $@.new && mv $@.new $@

# What only unit tests link need not come in both forms.
$(OUT)/obj/tests/%.o: LTO_CC := $(LTO_NO)

$(OUT)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# The program writes its man page and completions itself.
$(OUT)/share/weir.1:    page := manpage
$(OUT)/share/weir.bash: page := completion bash
$(OUT)/share/_weir:     page := completion zsh
$(OUT)/share/weir.fish: page := completion fish
$(PAGES): $(OUT)/weir
	@mkdir -p $(@D)
	$(Q)$< $(page) > $@.new && mv $@.new $@

unit_libs_common :=
unit_libs_limiter :=
unit_libs_http :=
unit_libs_proxy := $(EVHTP_LIBS) $(JSON_LIBS)
unit_libs_demo := $(EVHTP_LIBS)
unit_src_common := $(COMMON)
unit_src_limiter := common/clock.c $(LIMITER)
unit_src_http := common/utf8.c common/strbuf.c $(HTTP)
unit_src_proxy := $(filter-out proxy/main.c proxy/server.c proxy/observer.c proxy/limits.c proxy/lifecycle.c proxy/drain.c proxy/reload.c $(EXCHANGE),$(WEIR_SRC))
unit_src_demo := $(COMMON) $(filter-out backend-demo/main.c,$(DEMO))

# tests/world/: the whole of weir but the clock, the threads and the ports, which are the test's; for
# fuzz_proxy, and for the unit tests that want it.
WORLD    := $(filter-out common/clock.c,$(COMMON)) $(LIMITER) $(HTTP) $(BASE) \
            $(filter-out $(COMMANDS),$(CONFIG)) \
            $(filter-out proxy/listener.c proxy/probe.c,$(ENDS)) $(EXCHANGE) \
            tests/world/peers.c tests/world/probe.c tests/world/world.c
world_ld  = $(call wrap,connect setsockopt getrandom stats_queue_wait stats_slot_hold \
            stats_requeued stats_connection stats_buffered stats_reached stats_wrong \
            access_log_note) -levent $(JSON_LIBS)

# Functions of the C library that a unit test stands in for.
wrap = $(1:%=-Wl,--wrap=%)
unit_ld_test_estimate := -lm
unit_ld_test_app_view := $(call wrap,clock_mono)
unit_ld_test_socket_queues := $(call wrap,socket clock_mono)
unit_ld_test_upstream := $(call wrap,connect getsockopt)
unit_ld_test_probe    := $(call wrap,connect)
unit_ld_test_client   := $(call wrap,clock_mono)
unit_ld_test_app      := $(call wrap,connect clock_mono)
unit_ld_test_listener := $(call wrap,accept4 clock_mono)
unit_ld_test_agent    := $(call wrap,accept4 clock_mono)
unit_ld_test_access_log := $(call wrap,poll)

define unit_rule
$(OUT)/tests/unit/$(1)/%: $(OUT)/obj/tests/unit/$(1)/%.o $$(call obj,$$(unit_src_$(1)))
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	$$(Q)$$(CC) $$(ALL_LDFLAGS) $$(LTO_NO) -o $$@ $$^ $$(unit_libs_$(1)) $$(unit_ld_$$(@F)) -lcmocka
endef
$(foreach f,common limiter http proxy demo,$(eval $(call unit_rule,$(f))))

# The proxy's tests that link something other than their layer.
WORLD_TESTS := $(notdir $(basename $(wildcard tests/unit/proxy/test_exchange*.c)))
$(foreach t,$(WORLD_TESTS),$(eval unit_src_$(t) := $(WORLD)) $(eval unit_ld_$(t) = $(world_ld)))
unit_src_test_lifecycle := $(unit_src_proxy) proxy/lifecycle.c
unit_ld_test_lifecycle  := $(call wrap,clock_mono)
unit_src_test_drain     := $(WORLD) proxy/drain.c
unit_ld_test_drain       = $(world_ld)
unit_src_test_limits    := $(WORLD) $(filter-out $(WORLD),proxy/capacity.c) proxy/limits.c
unit_ld_test_limits      = $(world_ld)
unit_src_test_reload    := $(unit_src_proxy) proxy/reload.c
unit_src_test_observer  := $(filter-out proxy/main.c proxy/server.c,$(WEIR_SRC))
unit_ld_test_observer   := $(call wrap,clock_mono clock_wall exchange_audit access_log_summary)
unit_src_test_server    := $(filter-out proxy/main.c,$(WEIR_SRC))

define own_unit_rule
$(OUT)/tests/unit/proxy/$(1): $(call obj,tests/unit/proxy/$(1).c $(unit_src_$(1)))
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	$$(Q)$$(CC) $$(ALL_LDFLAGS) $$(LTO_NO) -o $$@ $$^ $$(unit_libs_proxy) $$(unit_ld_$(1)) -lcmocka
endef
$(foreach t,$(WORLD_TESTS) test_lifecycle test_drain test_limits test_reload test_observer test_server,$(eval $(call own_unit_rule,$(t))))

UNIT_BIN := $(patsubst %.c,$(OUT)/%,$(UNITS))
PYTHON   := $(firstword $(wildcard /usr/bin/python3) python3)
PYTEST   := env WEIR=$(OUT)/weir BACKEND_DEMO=$(OUT)/backend-demo $(PYTHON) -m pytest -q

# One job a processor, unless the make that was called says how many.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
in_jobs = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))

# The tests end to end wait for most of their time, so WORKERS of them run side by side where
# pytest-xdist is installed. Its `loadgroup` hands them out one by one, in their order; `load` hands
# out dozens at a time, and may leave all that take long to one worker.
WORKERS ?= $(shell echo $$((3 * $$(nproc 2>/dev/null || echo 2))))
has_xdist = $(shell $(PYTHON) -c 'import xdist' 2>/dev/null && echo yes)
side_by_side = $(if $(has_xdist),-n $(WORKERS) --dist loadgroup)
# Those that are disturbed by such a crowd do not mind two more of their own kind.
three = $(if $(has_xdist),-n 3 --dist loadgroup)
alone = $(shell grep -l mark.alone tests/e2e/*.py)

.PHONY: deps
deps: ## install the build and test dependencies with apt
	@.ci/deps.sh test

.PHONY: build-deps
build-deps:
	@.ci/deps.sh build

.PHONY: demo
demo: ## the demo app under overload, alone and behind weir
	@.ci/deps.sh demo
	@$(MAKE) --no-print-directory build
	@$(PYTHON) lab/demo.py --weir $(OUT)/weir --backend $(OUT)/backend-demo

.PHONY: test
test: deps ## all tests: unit, configuration, end-to-end
	@$(MAKE) --no-print-directory $(in_jobs) build units
	@$(MAKE) --no-print-directory $(if $(in_jobs),-j$(WORKERS)) --output-sync=target check config-check replay-check
	@$(MAKE) --no-print-directory e2e

.PHONY: units
units: $(UNIT_BIN)

.PHONY: check
check: $(UNIT_BIN) ## unit tests only
	@$(MAKE) --no-print-directory $(in_jobs) --keep-going --output-sync=target $(UNIT_BIN:=.run)

.PHONY: $(UNIT_BIN:=.run)
$(UNIT_BIN:=.run): %.run: %
	@echo "  TEST  $<"
	@timeout 300 $<

.PHONY: config-check
config-check: build
	@$(PYTEST) $(if $(has_xdist),-n $(JOBS)) tests/config

# The limiter between simulated clients and a simulated app, against a slow model in Python.
$(OUT)/tests/replay/replay: $(call obj,tests/replay/replay.c common/clock.c $(LIMITER))
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $(LTO_NO) -o $@ $^

.PHONY: replay-check
replay-check: build $(OUT)/tests/replay/replay
	@env REPLAY=$(OUT)/tests/replay/replay $(PYTEST) tests/replay

.PHONY: replay
replay: build $(OUT)/tests/replay/replay ## the limiter against its model, simulated (5 min)
	@env WEIR_REPLAY=1 WEIR_SEED=$(or $(given_seed),0) REPLAY=$(OUT)/tests/replay/replay $(PYTEST) -s tests/replay

# Load that Python cannot make; built below.
HEAVY := $(addprefix $(OUT)/bench/,gauge client overload/crowd)

.PHONY: e2e
e2e: build $(HEAVY) ## end-to-end tests (2 min); WEIR_SCALE=0.1: shorter, WORKERS=0: one by one
	@bad=0; $(PYTEST) $(side_by_side) -m 'not alone' tests/e2e || bad=1; \
	$(PYTEST) $(three) -m alone $(alone) || [ $$? = 5 ] || bad=1; exit $$bad

.PHONY: storms
storms: build ## 60,000 requests with faults and aborts at random (2 min)
	@WEIR_STORMS=1 $(PYTEST) $(side_by_side) tests/e2e/test_storm.py \
	    tests/e2e/test_stray.py -k 'storm or another'

.PHONY: attack
attack: build ## 2,000 slow or idle clients alongside a good one (5 min)
	@WEIR_ATTACK=2000 $(PYTEST) -s tests/e2e/test_attack.py tests/e2e/test_siege.py

.PHONY: ledger-check
ledger-check: build ## 100,000 requests: clients, log and metrics agree (3 min)
	@WEIR_LEDGER=1 $(PYTEST) -s tests/e2e/test_ledger.py

.PHONY: memory-check
memory-check: build ## memory with all bounds filled, six configurations (4 min)
	@WEIR_MEMORY=1 $(PYTEST) -s tests/e2e/test_memory.py

.PHONY: drain-soak
drain-soak: build ## RUNS=200 drains under load (5 min)
	@DRAIN_RUNS=$$(($(or $(RUNS),200) / 2)) $(PYTEST) $(if $(has_xdist),-n 2) tests/e2e/test_drain.py

.PHONY: reloads
reloads: build $(HEAVY) ## 100 reloads at full load; the app checks the limit
	@WEIR_RELOADS=100 $(PYTEST) -s tests/e2e/test_reload.py -k under_load

.PHONY: restarts
restarts: build ## restarts of the app under load, KILLS=100 kills (6 min)
	@WEIR_RESTARTS=$(or $(KILLS),100) $(PYTEST) -s tests/e2e/test_restart.py

.PHONY: agent
agent: build ## HAProxy with agent-check before three weirs (1 min)
	@WEIR_AGENT=1 $(PYTEST) -s tests/e2e/test_agent.py -k haproxy

.PHONY: scale-test
scale-test: build ## 50 apps replaced behind HAProxy, under load (12 min)
	@WEIR_SCALE_SECONDS=300 $(PYTEST) -s tests/e2e/test_scale.py

.PHONY: browser-test
browser-test: build ## the dashboard in Chromium (45 s)
	@.ci/deps.sh browser
	@cd tests/browser && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-audit --no-fund; }
	@WEIR=$(abspath $(OUT)/weir) node --test --test-concurrency=1 --test-reporter=./tests/browser/count.mjs tests/browser/dashboard.test.mjs

.PHONY: access-log-check
access-log-check: build $(HEAVY) ## LINES=1000000; a full disk, a stopped reader (4 min)
	@WEIR_ACCESS_LINES=$(or $(LINES),1000000) $(PYTEST) -s tests/e2e/test_access_log.py -k 'every_request or p99'

.PHONY: truth
truth: build ## what weir infers, compared with the app itself (4 min)
	@WEIR_TRUTH=1 $(PYTEST) -s tests/e2e/test_truth.py

.PHONY: quantiles
quantiles: build ## documented quantiles compared with exact ones (8 min)
	@WEIR_QUANTILES=1 $(PYTEST) -s tests/e2e/test_quantiles.py

.PHONY: prometheus-check
prometheus-check: build $(HEAVY) ## Prometheus compared with exact values (4 min)
	@WEIR_PROMETHEUS=1 $(PYTEST) -s tests/e2e/test_prometheus.py tests/e2e/test_queries.py \
	    tests/e2e/test_openmetrics.py tests/e2e/test_scrape.py

.PHONY: lint
lint: ## format, clang-tidy, cppcheck, layers, shell, spelling
	@.ci/lint.sh

.PHONY: fmt
fmt: ## format the sources
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

.PHONY: coverage
coverage: ## line coverage, checked against the minimum of CI
	@.ci/coverage.sh

.PHONY: bench
bench: build ## CPU compared with HAProxy and nginx (6 min)
	@$(PYTHON) bench/run.py $(BENCH)

$(OUT)/bench/limiter: $(call obj,bench/limiter.c common/clock.c $(LIMITER))
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $(LTO_LD) -o $@ $^

# The load of the tests that need more than Python sends.
$(HEAVY): $(OUT)/bench/%: $(call obj,bench/%.c bench/net.c)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $(LTO_LD) -o $@ $^

.PHONY: bench-limiter
bench-limiter: $(OUT)/bench/limiter ## nanoseconds of the limiter alone (a second)
	@$<

.PHONY: bench-pairs
bench-pairs: build ## CPU compared with another build: BEFORE=path/to/weir
	@$(PYTHON) bench/pairs.py $(or $(BEFORE),$(error BEFORE names the other build of weir)) $(PAIRS)

.PHONY: bench-ledger
bench-ledger: build ## CPU that metrics and the access log cost (8 min)
	@$(MAKE) --no-print-directory $(in_jobs) MEASURES=0 $(OUT)/no-metrics/weir
	@$(PYTHON) bench/ledger.py --off $(OUT)/no-metrics/weir $(LEDGER)

.PHONY: overload
overload: build $(OUT)/bench/overload/crowd ## goodput under overload, others too (20 min)
	@$(PYTHON) bench/overload/overload.py $(OVERLOAD)

.PHONY: compare
compare: build ## limiters under overload: the table in README.md (4 min)
	@$(PYTHON) bench/compare/compare.py $(COMPARE)

# What is built stays as it is, so root leaves nothing in a user's clone. Without a build, what
# compiling needs is seen to first; what testing needs is not.
.PHONY: install
install: $(if $(wildcard $(OUT)/weir),,build-deps) ## install weir and its files: PREFIX, DESTDIR
	@$(MAKE) --no-print-directory install-files

.PHONY: install-strip
install-strip: ## the same, without debugging symbols
	@$(MAKE) --no-print-directory install INSTALL_PROGRAM='$(INSTALL_PROGRAM) -s'

.PHONY: install-files
install-files: $(OUT)/weir $(PAGES)
	$(Q)$(INSTALL) -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(MANDIR)/man1' '$(DESTDIR)$(BASHCOMPDIR)' \
	    '$(DESTDIR)$(ZSHCOMPDIR)' '$(DESTDIR)$(FISHCOMPDIR)' '$(DESTDIR)$(UNITDIR)'
	$(Q)$(INSTALL_PROGRAM) $(OUT)/weir '$(DESTDIR)$(BINDIR)/weir'
	$(Q)$(INSTALL_DATA) $(OUT)/share/weir.1 '$(DESTDIR)$(MANDIR)/man1/weir.1'
	$(Q)$(INSTALL_DATA) $(OUT)/share/weir.bash '$(DESTDIR)$(BASHCOMPDIR)/weir'
	$(Q)$(INSTALL_DATA) $(OUT)/share/_weir '$(DESTDIR)$(ZSHCOMPDIR)/_weir'
	$(Q)$(INSTALL_DATA) $(OUT)/share/weir.fish '$(DESTDIR)$(FISHCOMPDIR)/weir.fish'
	$(Q)$(INSTALL_DATA) $(UNIT_FILES) '$(DESTDIR)$(UNITDIR)'
	$(Q)sed -i 's,/usr/local/bin/weir,$(BINDIR)/weir,' '$(DESTDIR)$(UNITDIR)/weir.service'
	@echo "weir is in $(DESTDIR)$(BINDIR); its systemd units are in $(DESTDIR)$(UNITDIR)"

.PHONY: uninstall
uninstall: ## remove the installed files, with the same PREFIX
	$(Q)rm -f '$(DESTDIR)$(BINDIR)/weir' '$(DESTDIR)$(MANDIR)/man1/weir.1' \
	    '$(DESTDIR)$(BASHCOMPDIR)/weir' '$(DESTDIR)$(ZSHCOMPDIR)/_weir' \
	    '$(DESTDIR)$(FISHCOMPDIR)/weir.fish' '$(DESTDIR)$(UNITDIR)/weir.service' \
	    '$(DESTDIR)$(UNITDIR)/weir.socket'

.PHONY: docs
docs: build units ## regenerate the generated files in docs/
	@$(OUT)/weir config docs > docs/configuration.md
	@$(OUT)/weir config schema > docs/weir.schema.json
	@$(PYTHON) helm/generate.py
	@$(OUT)/tests/unit/proxy/test_metrics_docs docs > docs/metrics.md

.PHONY: image
image: ## the two container images, with docker, podman or buildah
	@.ci/image.sh

.PHONY: image-test
image-test: ## build the images twice and try them, as root (4 min)
	@.ci/image-test.sh

.PHONY: deb
deb: ## a Debian package of the last commit, in build/deb
	@packaging/deb.sh

.PHONY: deb-test
deb-test: ## the Debian package, in a Debian 12, as root (4 min)
	@packaging/deb-test.sh

.PHONY: helm-check
helm-check: build ## lint and render the chart
	@WEIR=$(OUT)/weir .ci/helm-check.sh

.PHONY: manifests-check
manifests-check: build ## manifests against Kubernetes' schemas (1 min)
	@WEIR=$(OUT)/weir .ci/manifests-check.sh

.PHONY: rollouts
rollouts: build ## 50 rollouts of the rendered chart under load (8 min)
	@WEIR=$(OUT)/weir BACKEND_DEMO=$(OUT)/backend-demo WEIR_ROLLOUTS=$(or $(ROLLOUTS),50) HELM=$$(.ci/helm.sh) \
	    $(PYTHON) -m pytest -q -s -c /dev/null --rootdir tests/helm --noconftest -p no:cacheprovider tests/helm/test_rollouts.py

# It needs root and Go, and takes long: the first time, it builds a Kubernetes.
.PHONY: cluster-test
cluster-test: build ## each way to deploy, on a real Kubernetes (75 min)
	@[ -d $(or $(CLUSTER),build/cluster)/crds ] || tests/cluster/build.sh
	@tests/cluster/up.sh && trap 'tests/cluster/down.sh' EXIT && tests/cluster/images.sh && \
	    HELM=$$(.ci/helm.sh) $(PYTHON) tests/cluster/cases.py $(CLUSTER_TEST)

# Fuzzing wants clang's libFuzzer; its objects are built apart, with the address sanitizer. Each
# fuzzer says what it links, and which functions of the C library it stands in for.
FUZZ_CC     := $(firstword $(shell command -v clang-14 clang 2>/dev/null) clang)
FUZZ_CFLAGS := -std=c11 -g -O1 $(WARNINGS) $(WERROR) -DWEIR_SANITIZED -fno-omit-frame-pointer -pthread \
               -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZERS     := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
SECONDS     ?= 60

fuzz_reader       := tests/fuzz/strict_reader.c common/strbuf.c common/utf8.c
fuzz_src_request  := $(HTTP) $(fuzz_reader) proxy/deadline.c proxy/number.c proxy/trace.c proxy/request_start.c
fuzz_src_response := $(HTTP) $(fuzz_reader)
fuzz_src_body     := $(HTTP) $(fuzz_reader)
fuzz_src_access   := proxy/access_line.c proxy/record.c proxy/stats.c proxy/buckets.c proxy/exemplars.c common/clock.c common/strbuf.c common/utf8.c
fuzz_ld_access    := $(JSON_LIBS)
fuzz_len_access   := 9000
fuzz_src_config   := $(filter-out $(COMMANDS) proxy/capacity.c,$(CONFIG)) common/address.c common/strbuf.c common/utf8.c
fuzz_ld_config    := $(call wrap,open getaddrinfo) $(JSON_LIBS)
fuzz_len_config   := 3000
fuzz_src_proxy    := $(WORLD) tests/fuzz/judge.c tests/fuzz/strict_reader.c
fuzz_ld_proxy     := $(world_ld)
fuzz_len_proxy    := 4000

build/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@

define fuzz_rule
build/fuzz/fuzz_$(1): $(patsubst %.c,build/fuzz/obj/%.o,tests/fuzz/fuzz_$(1).c $(fuzz_src_$(1)))
	@echo "  FUZZ  $$@"
	$$(Q)$$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -pthread -o $$@ $$^ $$(fuzz_ld_$(1))

.PHONY: fuzz-$(1)
fuzz-$(1): build/fuzz/fuzz_$(1)
	@mkdir -p build/fuzz/corpus/$(1)
	@$$< -seed=$$(or $$(given_seed),0) -max_total_time=$$(SECONDS) \
	    -max_len=$$(or $$(fuzz_len_$(1)),1500) -print_final_stats=1 \
	    -verbosity=0 -artifact_prefix=build/fuzz/ $(addprefix -dict=,$(wildcard tests/fuzz/$(1).dict)) \
	    build/fuzz/corpus/$(1) tests/fuzz/corpus/$(1)
endef
$(foreach f,$(FUZZERS),$(eval $(call fuzz_rule,$(f:build/fuzz/fuzz_%=%))))

.PHONY: fuzz
fuzz: $(FUZZERS:build/fuzz/fuzz_%=fuzz-%) ## run each target for SECONDS=60; fuzz-NAME: only that one

MESSAGES ?= 100000

.PHONY: differential
differential: build ## compare with a strict reader on MESSAGES=100000 requests
	@env WEIR_SEED=$(or $(given_seed),0) WEIR_MESSAGES=$(MESSAGES) $(PYTEST) tests/e2e/test_differential.py \
	    tests/e2e/test_differential_answers.py

.PHONY: ci
ci: ## run the whole pipeline (25 min)
	@.ci/run

.PHONY: clean
clean: ## remove build/
	@rm -rf build

# The revision is in these: they are compiled anew when it has changed, and only then.
$(OUT)/revision: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION) $(RELEASED) $(REVISION)' | cmp -s - $@ || echo '$(VERSION) $(RELEASED) $(REVISION)' > $@
.PHONY: FORCE
$(patsubst %.c,$(OUT)/obj/%.o,$(shell grep -ls WEIR_REVISION $(WEIR_SRC) $(DEMO_SRC) $(UNITS))): $(OUT)/revision

.PRECIOUS: $(OUT)/obj/%.o
-include $(shell find $(OUT)/obj build/fuzz/obj -name '*.d' 2>/dev/null)

# nginx analytics.  "make help" lists the targets.

SHELL = /bin/bash
NGINX_SRC = /usr/share/nginx/src
TOP := $(CURDIR)
BUILD = $(TOP)/build
SRC = ngx_http_analytics_module

MODULE = $(BUILD)/modules/ngx_http_analytics_module.so
SANITIZED = $(BUILD)/sanitized/ngx_http_analytics_module.so
FAULTY = $(BUILD)/faulty/ngx_http_analytics_module.so
SOURCES = $(wildcard $(SRC)/*.c) $(wildcard $(SRC)/*.h) config

export TOP BUILD

.DELETE_ON_ERROR:


.PHONY: FORCE help run module test check prove prove-sanitized torture fuzz \
	bench lint static install clean \
	setup-run setup-test setup-bench

help:
	@echo "make run      build and serve on 127.0.0.1:8080 until Ctrl-C"
	@echo "              (PORT=, LISTEN=, DATA=, HOSTS=, WORKERS=)"
	@echo "make test     build and pass all tests"
	@echo "make torture  kill, cut and fill up for half an hour or more"
	@echo "make bench    measure, and print the table of figures"
	@echo "make fuzz     feed the scanner with malformed documents"
	@echo "              (TIME=600, seconds)"
	@echo "make install  put the module and its configuration into Debian's"
	@echo "              nginx (as root; DESTDIR=)"
	@echo "make module   build the module alone"
	@echo "make lint     cppcheck, clang-tidy and the line lengths"
	@echo "make clean    remove what was built"


run: setup-run
	@$(MAKE) --no-print-directory -s module html tools
	@exec misc/run.sh

# The first objects are compiled while the other packages are fetched.
test: setup-run
	@$(MAKE) --no-print-directory -j 3 check

bench: setup-bench
	@$(MAKE) --no-print-directory -s module
	@perl t/bench/bench.pl $(BENCH)

setup-run setup-test setup-bench: setup-%:
	@misc/setup.sh $*


# The module.  Debian's nginx is configured as it was, with ours beside it.

HARDENING = -D_FORTIFY_SOURCE=2 -fstack-protector-strong

module: $(MODULE)

# What a configured folder depends on: written anew only if it is another.
STAMP = $(BUILD)/stamp

$(STAMP): FORCE
	@mkdir -p $(@D)
	@{ echo $(TOP) $(SOURCES); dpkg-query -W nginx-dev; } > $@.new 2>&1
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

FORCE:

$(BUILD)/gcc/Makefile: config $(STAMP) | setup-run
	@mkdir -p $(@D)
	@cd $(NGINX_SRC) && . ./conf_flags && ./configure \
	    "$${NGX_CONF_FLAGS[@]}" --builddir=$(@D) \
	    --add-dynamic-module=$(TOP) \
	    --with-cc=gcc --with-cc-opt="-O2 -fPIC $(HARDENING)" \
	    --with-ld-opt=-fPIC > $(@D)/configure.log 2>&1 \
	    || { tail -20 $(@D)/configure.log; exit 1; }

$(MODULE): $(BUILD)/gcc/Makefile $(SOURCES)
	@+$(MAKE) -s -C $(NGINX_SRC) -f $< $(JOBS) modules
	@mkdir -p $(@D)
	@cp $(BUILD)/gcc/$(@F) $@.new && mv $@.new $@

# by itself, it takes all processors
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j $(shell nproc))


# The same with other flags, for tests; they share what was configured.

SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
WARNINGS = -Wall -Wextra -Werror -Wno-unused-parameter
INCLUDES = -I $(NGINX_SRC)/src/core -I $(NGINX_SRC)/src/event \
	-I $(NGINX_SRC)/src/event/modules -I $(NGINX_SRC)/src/os/unix \
	-I $(BUILD)/gcc -I $(TOP)/$(SRC)
HTTP = -I $(NGINX_SRC)/src/http -I $(NGINX_SRC)/src/http/modules \
	-I $(NGINX_SRC)/src/http/v2
LIBS = -lcjson -lsqlite3 -lz -lcrypto -lcurl -lm

FLOORS = $(notdir $(wildcard $(SRC)/ngx_analytics_*.c))
HOUSE = $(notdir $(wildcard $(SRC)/*.c))
objects = $(patsubst %.c,$(BUILD)/$(1)/%.o,$(2))

# $(1) folder, $(2) compiler and flags, $(3) what sees to the compiler
define variant
$(BUILD)/$(1)/%.o: $(SRC)/%.c $(BUILD)/gcc/Makefile | $(3)
	@mkdir -p $$(@D)
	@$(2) -c -fPIC -MMD $(WARNINGS) $(INCLUDES) $(HTTP) -o $$@ $$<

$(BUILD)/$(1)/modules.o: $(BUILD)/gcc/Makefile
	@mkdir -p $$(@D)
	@$(2) -c -fPIC $(INCLUDES) $(HTTP) -o $$@ \
	    $(BUILD)/gcc/ngx_http_analytics_module_modules.c

$(BUILD)/$(1)/ngx_http_analytics_module.so: $(call objects,$(1),$(HOUSE)) \
		$(BUILD)/$(1)/modules.o
	@$(2) -shared -o $$@.new $$^ $(LIBS) && mv $$@.new $$@

$(BUILD)/$(1)/floors.a: $(call objects,$(1),$(FLOORS))
	@rm -f $$@ && ar rcs $$@ $$^

-include $(wildcard $(BUILD)/$(1)/*.d)
endef

ASAN = gcc -g -O1 $(SANITIZE) -DNGX_ANALYTICS_FAULTS=1
PORTABLE_ASAN = $(ASAN) -U__SSE2__
FAULTS = gcc -O1 -DNGX_ANALYTICS_FAULTS=1 -DNGX_ANALYTICS_STORE_SCALE=64 \
	-DNGX_ANALYTICS_CHECKPOINT_AGE=1
FUZZING = clang -g -O1 -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all

$(eval $(call variant,sanitized,$(ASAN)))
$(eval $(call variant,portable,$(PORTABLE_ASAN)))
$(eval $(call variant,faulty,$(FAULTS)))
$(eval $(call variant,fuzz,$(FUZZING),setup-test))

, := ,


# Programs of their own: one that reads a log, and one that sends files to a
# location that collects.

READER = $(BUILD)/analytics-log
IMPORT = $(BUILD)/analytics-import

.PHONY: tools reader import
tools: reader import
reader: $(READER)
import: $(IMPORT)

$(READER): misc/analytics-log.c $(MODULE)
	@gcc -O2 $(WARNINGS) $(HARDENING) $(INCLUDES) -o $@ $< \
	    $(patsubst %.c,$(BUILD)/gcc/addon/$(SRC)/%.o,$(FLOORS)) $(LIBS)

$(IMPORT): $(wildcard misc/import/*)
	@mkdir -p $(@D)
	@gcc -O2 -Wall -Wextra -Werror $(HARDENING) -o $@ \
	    $(wildcard misc/import/*.c) -lcurl -lcjson -lcrypto -lz


# The pages, staged with the libraries that npm brings.

VENDOR = $(BUILD)/html/vendor

# only bundles are taken: what they were built with is not needed
NPM = npm ci --loglevel=error --no-audit --no-fund --ignore-scripts \
	--legacy-peer-deps > /dev/null

.PHONY: html
html: $(BUILD)/html/.done

$(BUILD)/npm/html/.done: html/package.json html/package-lock.json
	@mkdir -p $(@D)
	@cp html/package.json html/package-lock.json $(@D)/
	@cd $(@D) && $(NPM)
	@touch $@

$(BUILD)/html/.done: $(BUILD)/npm/html/.done $(wildcard html/*)
	@mkdir -p $(VENDOR)
	@cp html/*.html html/*.js html/*.css html/*.svg html/welcome.json \
	    html/openapi.json $(BUILD)/html/
	@cd $(BUILD)/npm/html/node_modules && cp d3/dist/d3.min.js \
	    swagger-ui-dist/swagger-ui.css \
	    swagger-ui-dist/swagger-ui-bundle.js \
	    redoc/bundles/redoc.standalone.js $(VENDOR)/
	@touch $@


# The lower floors as plain programs: sanitized, with fault points; and the
# scanner's portable path, which SSE2 hides.

UNIT = $(BUILD)/unit
TESTS = $(patsubst t/unit/%.c,$(UNIT)/%,$(wildcard t/unit/*.c))
PORTABLE = $(patsubst %,$(UNIT)/portable_%,json json_walk json_text writer)
SCANNER = ngx_analytics_json.c ngx_analytics_json_text.c \
	ngx_analytics_writer.c ngx_analytics_real.c ngx_analytics_time.c

$(UNIT)/portable_%: t/unit/%.c $(wildcard t/unit/*.h) \
		$(call objects,portable,$(SCANNER))
	@mkdir -p $(@D)
	@$(PORTABLE_ASAN) $(WARNINGS) $(INCLUDES) -I t/unit -o $@ \
	    $(filter %.c %.o,$^) $(LIBS)

# These fork for each store, which takes AddressSanitizer three times as long.
CRASHING = $(patsubst %,$(UNIT)/%,zone_crash log_crash erase)

$(CRASHING): $(UNIT)/%: t/unit/%.c $(BUILD)/faulty/floors.a \
		$(wildcard t/unit/*.h)
	@mkdir -p $(@D)
	@$(FAULTS) $(WARNINGS) $(INCLUDES) -I t/unit -o $@ $< \
	    $(BUILD)/faulty/floors.a $(LIBS)

$(UNIT)/%: t/unit/%.c $(BUILD)/sanitized/floors.a $(wildcard t/unit/*.h)
	@mkdir -p $(@D)
	@$(ASAN) $(WARNINGS) $(INCLUDES) -I t/unit -o $@ $< \
	    $(BUILD)/sanitized/floors.a $(LIBS)

FUZZERS = $(patsubst t/fuzz/%.c,%,$(wildcard t/fuzz/*.c))
FUZZ = $(patsubst %,$(BUILD)/fuzz/%,$(FUZZERS))
FUZZ_RUNS = 50000
TIME = 600

# what they call, and what that calls
FUZZED = $(SCANNER) $(patsubst %,ngx_analytics_%.c,crc32c decode erase \
	erasing event fields hash log_file plan point record rules segments \
	sketch summary timezone truncate twins)

$(FUZZ): $(BUILD)/fuzz/%: t/fuzz/%.c $(call objects,fuzz,$(FUZZED)) \
		$(wildcard t/unit/*.h)
	@$(subst fuzzer-no-link,fuzzer,$(FUZZING)) $(WARNINGS) $(INCLUDES) \
	    -I t/unit -o $@ $(filter %.c %.o,$^) $(LIBS)

# libFuzzer adds what it finds to the first corpus: not to that of the tree
# $(1) fuzzer, $(2) options
fuzz = mkdir -p $(BUILD)/fuzz/corpus/$(1) && cd $(BUILD)/fuzz && ./$(1) \
	-max_len=4096 -timeout=10 $(2) corpus/$(1) $(TOP)/t/fuzz/corpus/$(1)

# a bounded run, beside what is still being built
fuzz-%: $(BUILD)/fuzz/%
	@echo "fuzzing: $*, $(FUZZ_RUNS) inputs"
	@($(call fuzz,$*,-runs=$(FUZZ_RUNS) -seed=1)) \
	    > $(BUILD)/fuzz/$*.log 2>&1 \
	    || { tail -40 $(BUILD)/fuzz/$*.log; exit 1; }

# each of them for TIME seconds
fuzz: setup-test
	@$(MAKE) --no-print-directory $(FUZZ)
	@$(foreach f,$(FUZZERS),$(call fuzz,$(f),-max_total_time=$(TIME) \
	    -print_final_stats=1) && ) true


# Libraries to be preloaded: disks that fail, power that is cut.

PRELOAD = $(patsubst t/preload/%.c,$(BUILD)/preload/%.so,\
	$(wildcard t/preload/*.c))

$(BUILD)/preload/%.so: t/preload/%.c
	@mkdir -p $(@D)
	@gcc -O2 -g -Wall -Wextra -Werror -fPIC -shared -o $@ $< -ldl


# The tests.

BROWSER = $(BUILD)/npm/page/.done

$(BROWSER): t/page/package.json t/page/package-lock.json
	@mkdir -p $(@D)
	@cp t/page/package.json t/page/package-lock.json $(@D)/
	@cd $(@D) && $(NPM)
	@touch $@

check: setup-test module html tools $(PRELOAD) $(SANITIZED) \
		$(FAULTY) lint $(TESTS) $(PORTABLE) \
		$(patsubst %,fuzz-%,$(FUZZERS)) $(BROWSER)
	@$(MAKE) --no-print-directory prove
	@$(MAKE) --no-print-directory prove-sanitized

# Some wait more than they work; those that take longest come first.
PROVE = -j $(shell expr $$(nproc) + 1)
LONG = t/torture/14_store.t t/torture/07_disk_full.t t/page.t \
	$(UNIT)/zone_crash t/find.t t/torture/15_erasure.t

prove:
	@prove --timer -I t/lib $(PROVE) $(LONG) $(filter-out $(LONG), \
	    $(wildcard t/torture/*.t) $(wildcard t/*.t) $(TESTS) $(PORTABLE))

# the proofs in full
torture: setup-test
	@$(MAKE) --no-print-directory module tools $(PRELOAD) $(FAULTY) \
	    try-static
	@ANALYTICS_TORTURE=1 prove -v -I t/lib t/torture/ t/find.t t/metrics.t \
	    t/kill_at_every_store.t t/reports.t t/forecast.t t/alerts.t \
	    t/static.t

# the same module with sanitizers; loads and pages were tried without
prove-sanitized:
	@echo "again, with AddressSanitizer and UBSan"
	@ANALYTICS_MODULE=$(SANITIZED) \
	    ANALYTICS_PRELOAD="$$(gcc -print-file-name=libasan.so) \
$$(gcc -print-file-name=libubsan.so)" \
	    prove -I t/lib $(PROVE) $(patsubst %,t/%.t,collect stats summary \
	    bad_input bodies bounds http2 reload directives events \
	    counts person own_ids erase_generations \
	    tables forecast reports alerts join \
	    torture/03_reload torture/11_idempotent)


# Warnings: gcc's and clang's stop a build; these are looked at beside them.
# What they are wrong about is explained where it stands.

TIDY = clang-diagnostic-*,clang-analyzer-*,bugprone-*,\
-bugprone-easily-swappable-parameters,\
-bugprone-reserved-identifier,-bugprone-macro-parentheses,\
-bugprone-assignment-in-if-condition,-bugprone-narrowing-conversions,\
-bugprone-implicit-widening-of-multiplication-result,\
-bugprone-branch-clone,\
-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling

# a tenth of the depth by default, in a tenth of the time
ANALYZER = -Xclang -analyzer-config -Xclang max-nodes=22500

CHECKED = $(addprefix $(SRC)/,$(HOUSE))

lint: $(BUILD)/lint/tidy.ok $(BUILD)/lint/cppcheck.ok
	@! grep -nE '^.{81}' $(SRC)/*.[ch] t/*/*.[ch] misc/*.c misc/*/*.[ch] \
	    || { echo "lines over 80 columns"; exit 1; }
	@! grep -nP '\t| +$$' $(SRC)/*.[ch] \
	    || { echo "tabs, or white space at the end of a line"; exit 1; }

# What has changed, or all when a header has; a dozen at a time, for to start
# takes half as long as to look at a file.
$(BUILD)/lint/tidy.ok: $(CHECKED) $(wildcard $(SRC)/*.h) \
		$(BUILD)/gcc/Makefile | setup-test
	@mkdir -p $(@D)
	@printf '%s\n' $(if $(filter-out %.c,$?),$(CHECKED),$?) \
	    | xargs -P $$(nproc) -n 12 sh -c 'said=$$(clang-tidy --quiet \
	    --warnings-as-errors="*" --checks="-*,$(TIDY)" "$$@" \
	    -- -O2 $(WARNINGS) -Wconditional-uninitialized $(INCLUDES) \
	    $(HTTP) $(ANALYZER) 2>&1) || { echo "$$said"; exit 1; }' -
	@touch $@

$(BUILD)/lint/cppcheck.ok: $(SOURCES) $(wildcard misc/import/*) | setup-test
	@mkdir -p $(@D)
	@cppcheck -q --error-exitcode=1 --inline-suppr --std=c99 \
	    --enable=warning,performance,portability -I $(SRC) \
	    --suppress=missingIncludeSystem $(SRC) misc/import
	@touch $@


# Built into the binary: nginx's whole source is needed, Debian's, and minutes:
# part of the proofs in full.

STATIC = $(BUILD)/static/nginx

static: $(STATIC)

.PHONY: try-static
try-static:
	@+$(MAKE) --no-print-directory static || echo "without the static build"

$(STATIC): $(SOURCES)
	@misc/static.sh


PREFIX = /usr/share/nginx-analytics
MODULES = /usr/share/nginx/modules-available

install: setup-run
	@$(MAKE) --no-print-directory -s module html tools
	install -D -m 644 $(MODULE) \
	    $(DESTDIR)/usr/lib/nginx/modules/$(notdir $(MODULE)).new
	mv $(DESTDIR)/usr/lib/nginx/modules/$(notdir $(MODULE)).new \
	    $(DESTDIR)/usr/lib/nginx/modules/$(notdir $(MODULE))
	install -D -m 755 $(READER) $(DESTDIR)/usr/bin/analytics-log
	install -D -m 755 $(IMPORT) $(DESTDIR)/usr/bin/analytics-import
	install -d $(DESTDIR)$(PREFIX)/html/vendor $(DESTDIR)$(PREFIX)/grafana \
	    $(DESTDIR)/etc/nginx/modules-enabled $(DESTDIR)$(MODULES)
	install -m 644 $(BUILD)/html/*.* $(DESTDIR)$(PREFIX)/html
	install -m 644 $(BUILD)/html/vendor/* $(DESTDIR)$(PREFIX)/html/vendor
	cp -r conf/grafana/. $(DESTDIR)$(PREFIX)/grafana
	chmod -R u=rwX,go=rX $(DESTDIR)$(PREFIX)/grafana
	echo "load_module modules/ngx_http_analytics_module.so;" \
	    > $(DESTDIR)$(MODULES)/mod-http-analytics.conf
	ln -sf $(MODULES)/mod-http-analytics.conf \
	    $(DESTDIR)/etc/nginx/modules-enabled/50-mod-http-analytics.conf
	@misc/install-conf.sh "$(DESTDIR)/etc/nginx"

clean:
	rm -rf $(BUILD)

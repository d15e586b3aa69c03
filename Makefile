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

test: setup-test
	@$(MAKE) --no-print-directory -j 2 check

bench: setup-bench
	@$(MAKE) --no-print-directory -s module
	@perl t/bench/bench.pl $(BENCH)

setup-run setup-test setup-bench: setup-%:
	@misc/setup.sh $*


# The module.  Debian's nginx is configured as it was, with ours beside it.
# $(1) build folder, $(2) how to add it, $(3) compiler, $(4) more flags

define configure
	mkdir -p $(1)
	cd $(NGINX_SRC) && . ./conf_flags && ./configure \
	    "$${NGX_CONF_FLAGS[@]}" --builddir=$(1) $(2)=$(TOP) \
	    --with-cc=$(3) --with-cc-opt="-O2 -fPIC $(4)" \
	    --with-ld-opt="-fPIC $(5)" > $(1)/configure.log 2>&1 \
	    || { tail -20 $(1)/configure.log; exit 1; }
endef

define compile
	$(MAKE) -s -C $(NGINX_SRC) -f $(1)/Makefile modules
	@mkdir -p $(@D)
	@cp $(1)/$(@F) $@.new && mv $@.new $@
endef

HARDENING = -D_FORTIFY_SOURCE=2 -fstack-protector-strong
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer

module: $(MODULE)

# What a configured folder depends on: written anew only if it is another.
STAMP = $(BUILD)/stamp

$(STAMP): FORCE
	@mkdir -p $(@D)
	@{ echo $(TOP) $(SOURCES); dpkg-query -W nginx-dev; } > $@.new 2>&1
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

FORCE:

$(BUILD)/gcc/Makefile: config $(STAMP)
	@$(call configure,$(BUILD)/gcc,--add-dynamic-module,gcc,$(HARDENING))

$(BUILD)/clang/Makefile: config $(STAMP)
	@$(call configure,$(BUILD)/clang,--add-dynamic-module,clang,)

$(BUILD)/asan/Makefile: config $(STAMP)
	@$(call configure,$(BUILD)/asan,--add-dynamic-module,gcc,$(SANITIZE), \
	    -fsanitize=address$(,)undefined)

$(BUILD)/faults/Makefile: config $(STAMP)
	@$(call configure,$(BUILD)/faults,--add-dynamic-module,gcc, \
	    -DNGX_ANALYTICS_FAULTS=1 -DNGX_ANALYTICS_STORE_SCALE=64)

$(MODULE): $(BUILD)/gcc/Makefile $(SOURCES)
	@$(call compile,$(BUILD)/gcc)

$(BUILD)/clang/ngx_http_analytics_module.so: $(BUILD)/clang/Makefile $(SOURCES)
	@$(MAKE) -s -C $(NGINX_SRC) -f $(BUILD)/clang/Makefile modules

$(SANITIZED): $(BUILD)/asan/Makefile $(SOURCES)
	@$(call compile,$(BUILD)/asan)

$(FAULTY): $(BUILD)/faults/Makefile $(SOURCES)
	@$(call compile,$(BUILD)/faults)

, := ,


# Programs of their own: one that reads a log, and one that sends files to a
# location that collects.

READER = $(BUILD)/analytics-log
IMPORT = $(BUILD)/analytics-import

.PHONY: tools reader import
tools: reader import
reader: $(READER)
import: $(IMPORT)

$(READER): misc/analytics-log.c $(BUILD)/gcc/Makefile $(SOURCES)
	@gcc -O2 -Wall -Wextra -Werror -Wno-unused-parameter $(HARDENING) \
	    $(INCLUDES) -o $@ $< $(FLOORS) $(LIBS)

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


# The lower floors as plain programs.

UNIT = $(BUILD)/unit
FLOORS = $(wildcard $(SRC)/ngx_analytics_*.c)
TESTS = $(patsubst t/unit/%.c,$(UNIT)/%,$(wildcard t/unit/*.c))
INCLUDES = -I $(NGINX_SRC)/src/core -I $(NGINX_SRC)/src/event \
	-I $(NGINX_SRC)/src/event/modules -I $(NGINX_SRC)/src/os/unix \
	-I $(BUILD)/gcc -I $(TOP)/$(SRC) -I $(TOP)/t/unit
LIBS = -lcjson -lsqlite3 -lcrypto -lm
WARNINGS = -Wall -Wextra -Werror -Wno-unused-parameter

# sanitized, with fault points; and the scanner's portable path, which SSE2
# hides
TESTFLAGS = -g -O1 $(WARNINGS) $(SANITIZE) -DNGX_ANALYTICS_FAULTS=1 $(INCLUDES)
PORTABLE = $(patsubst %,$(UNIT)/portable_%,json json_walk json_text writer)

define archive
	@rm -rf $@.o && mkdir -p $@.o
	@cd $@.o && printf '%s\n' $(abspath $(FLOORS)) | xargs -P 2 -n 4 \
	    gcc -c $(TESTFLAGS) $(1)
	@ar rcs $@ $@.o/*.o
endef

$(UNIT)/floors.a: $(BUILD)/gcc/Makefile $(SOURCES)
	$(call archive)

$(UNIT)/portable.a: $(BUILD)/gcc/Makefile $(SOURCES)
	$(call archive,-U__SSE2__)

$(UNIT)/portable_%: t/unit/%.c $(UNIT)/portable.a $(wildcard t/unit/*.h)
	@gcc $(TESTFLAGS) -U__SSE2__ -o $@ $< $(UNIT)/portable.a $(LIBS)

$(UNIT)/%: t/unit/%.c $(UNIT)/floors.a $(wildcard t/unit/*.h)
	@gcc $(TESTFLAGS) -o $@ $< $(UNIT)/floors.a $(LIBS)

FUZZERS = $(patsubst t/fuzz/%.c,%,$(wildcard t/fuzz/*.c))
FUZZ = $(patsubst %,$(BUILD)/fuzz/%,$(FUZZERS))
FUZZ_RUNS = 200000
TIME = 600

$(BUILD)/fuzz/%: t/fuzz/%.c $(BUILD)/gcc/Makefile $(SOURCES) \
		$(wildcard t/unit/*.h)
	@mkdir -p $(@D)
	@clang -g -O1 $(WARNINGS) -fsanitize=fuzzer,address,undefined \
	    -fno-sanitize-recover=all $(INCLUDES) -o $@ $< $(FLOORS) $(LIBS)

# libFuzzer adds what it finds to the first corpus: not to that of the tree
# $(1) fuzzer, $(2) options
fuzz = mkdir -p $(BUILD)/fuzz/corpus/$(1) && cd $(BUILD)/fuzz && ./$(1) \
	-max_len=4096 -timeout=10 $(2) corpus/$(1) $(TOP)/t/fuzz/corpus/$(1)

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

check: module html tools lint $(PRELOAD) $(SANITIZED) $(FAULTY) $(TESTS) \
		$(PORTABLE) $(FUZZ) \
		$(BROWSER) $(BUILD)/clang/ngx_http_analytics_module.so
	@$(MAKE) --no-print-directory static || echo "without the static build"
	@echo "fuzzing, $(FUZZ_RUNS) inputs each"
	@$(foreach f,$(FUZZERS),$(call fuzz,$(f),-runs=$(FUZZ_RUNS) -seed=1) \
	    > $(BUILD)/fuzz/$(f).log 2>&1 \
	    || { tail -40 $(BUILD)/fuzz/$(f).log; exit 1; };)
	@$(MAKE) --no-print-directory prove
	@$(MAKE) --no-print-directory prove-sanitized

prove:
	@prove -I t/lib $(PROVE) $(TESTS) $(PORTABLE) t/ t/torture/

# the proofs in full
torture: setup-test
	@$(MAKE) --no-print-directory module tools $(PRELOAD) $(FAULTY)
	@ANALYTICS_TORTURE=1 prove -v -I t/lib $(PROVE) t/torture/ t/find.t

# the same module with sanitizers; loads and pages were tried without
prove-sanitized:
	@echo "again, with AddressSanitizer and UBSan"
	@ANALYTICS_MODULE=$(SANITIZED) \
	    ANALYTICS_PRELOAD="$$(gcc -print-file-name=libasan.so) \
$$(gcc -print-file-name=libubsan.so)" \
	    prove -I t/lib $(PROVE) $(patsubst %,t/%.t,collect stats summary \
	    bad_input bodies bounds http2 reload directives events \
	    torture/03_reload torture/05_torn torture/06_checkpoints \
	    torture/11_idempotent)


# Warnings: gcc's and clang's stop a build; these are looked at beside them.
# What they are wrong about is explained where it stands.

CSOURCES = $(wildcard $(SRC)/*.c)
TIDY = clang-analyzer-*,bugprone-*,-bugprone-easily-swappable-parameters,\
-bugprone-reserved-identifier,-bugprone-macro-parentheses,\
-bugprone-assignment-in-if-condition,-bugprone-narrowing-conversions,\
-bugprone-implicit-widening-of-multiplication-result,\
-bugprone-branch-clone,\
-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling

lint: $(BUILD)/gcc/Makefile
	@! grep -nE '^.{81}' $(SRC)/*.[ch] t/*/*.[ch] misc/*.c misc/*/*.[ch] \
	    || { echo "lines over 80 columns"; exit 1; }
	@! grep -nP '\t| +$$' $(SRC)/*.[ch] \
	    || { echo "tabs, or white space at the end of a line"; exit 1; }
	@cppcheck -q --error-exitcode=1 --inline-suppr --std=c99 \
	    --enable=warning,performance,portability -I $(SRC) \
	    --suppress=missingIncludeSystem $(SRC) misc/import
	@printf '%s\n' $(CSOURCES) | xargs -P 2 -n 10 bash -c 'clang-tidy \
	    --quiet --warnings-as-errors="*" --checks="-*,$(TIDY)" "$$@" -- \
	    $(INCLUDES) -I $(NGINX_SRC)/src/http \
	    -I $(NGINX_SRC)/src/http/modules -I $(NGINX_SRC)/src/http/v2' tidy \
	    2> $(BUILD)/tidy.log || { cat $(BUILD)/tidy.log; exit 1; }


# Built into the binary: nginx's whole source is needed, Debian's.

STATIC = $(BUILD)/static/nginx

static: $(STATIC)

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
	install -d $(DESTDIR)$(PREFIX)/html/vendor \
	    $(DESTDIR)/etc/nginx/modules-enabled $(DESTDIR)$(MODULES)
	install -m 644 $(BUILD)/html/*.* $(DESTDIR)$(PREFIX)/html
	install -m 644 $(BUILD)/html/vendor/* $(DESTDIR)$(PREFIX)/html/vendor
	echo "load_module modules/ngx_http_analytics_module.so;" \
	    > $(DESTDIR)$(MODULES)/mod-http-analytics.conf
	ln -sf $(MODULES)/mod-http-analytics.conf \
	    $(DESTDIR)/etc/nginx/modules-enabled/50-mod-http-analytics.conf
	@misc/install-conf.sh "$(DESTDIR)/etc/nginx"

clean:
	rm -rf $(BUILD)

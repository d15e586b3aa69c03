# nginx analytics.  "make help" lists the targets.

SHELL = /bin/bash
NGINX_SRC = /usr/share/nginx/src
TOP = $(CURDIR)
BUILD = $(TOP)/build
SRC = ngx_http_analytics_module

MODULE = $(BUILD)/modules/ngx_http_analytics_module.so
SOURCES = $(wildcard $(SRC)/*.c) $(wildcard $(SRC)/*.h) config

export TOP BUILD


.PHONY: all module
all module: $(MODULE)

# Debian's nginx, configured as it was, with our module beside it.
# $(1) build folder, $(2) compiler, $(3) more flags, $(4) more ld flags
define configure
	mkdir -p $(1)
	cd $(NGINX_SRC) && . ./conf_flags && ./configure "$${NGX_CONF_FLAGS[@]}" \
	    --with-cc=$(2) --with-cc-opt="-g -O2 -fPIC $(3)" \
	    --with-ld-opt="-fPIC $(4)" --builddir=$(1) \
	    --add-dynamic-module=$(TOP) > $(1)/configure.log 2>&1 \
	    || { tail -20 $(1)/configure.log; exit 1; }
endef

$(BUILD)/nginx/Makefile: config
	$(call configure,$(BUILD)/nginx,gcc,-D_FORTIFY_SOURCE=2 \
	    -fstack-protector-strong)

$(MODULE): $(BUILD)/nginx/Makefile $(SOURCES)
	$(MAKE) -C $(NGINX_SRC) -f $(BUILD)/nginx/Makefile modules
	mkdir -p $(@D)
	cp $(BUILD)/nginx/$(@F) $@.new && mv $@.new $@

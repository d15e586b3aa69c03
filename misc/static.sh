#!/bin/bash
# Builds nginx with the module in the binary, from Debian's source package.

set -eu

work=$BUILD/static
mkdir -p "$work/lists/partial"
cd "$work"

if ! ls nginx_*.orig.tar.* > /dev/null 2>&1; then

    # the system's sources, asked for their sources, without touching them
    {
        cat /etc/apt/sources.list.d/*.sources 2>/dev/null \
            | sed 's/^Types:.*/Types: deb-src/' || true
    } > debian.sources
    {
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null \
            | sed -n 's/^deb /deb-src /p' || true
    } > debian.list

    apt="apt-get -qq -o Dir::Etc::SourceList=/dev/null
         -o Dir::Etc::SourceParts=$work/ -o Dir::State::Lists=$work/lists
         -o APT::Sandbox::User=$(id -un)"

    $apt update > apt.log 2>&1 || true
    $apt source --download-only nginx >> apt.log 2>&1 || true

    if ! ls nginx_*.orig.tar.* > /dev/null 2>&1; then
        echo "nginx's source package cannot be had:" >&2
        tail -3 apt.log >&2
        exit 1
    fi
fi

rm -rf source
mkdir source
tar -xf nginx_*.orig.tar.* -C source --strip-components=1
cd source

./configure --add-module="$TOP" --with-threads --with-http_v2_module \
    --with-http_ssl_module --without-http_rewrite_module --without-pcre \
    --without-http_gzip_module --with-cc-opt="-O0" > configure.log 2>&1 \
    || { tail -20 configure.log >&2; exit 1; }

make -s -j "$(nproc)" > make.log 2>&1 || { tail -30 make.log >&2; exit 1; }

mv objs/nginx "$work/nginx"

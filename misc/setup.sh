#!/bin/bash
# Installs what is missing for a purpose: run, test or bench.
# Debian 12; as root or through sudo, otherwise says what to install.

set -eu

run="nginx nginx-dev gcc make libc6-dev libcjson-dev zlib1g-dev libssl-dev
     libsqlite3-dev libcurl4-openssl-dev tzdata"
test="$run perl clang libclang-rt-14-dev nghttp2-client chromium
      fonts-dejavu-core cppcheck clang-tidy procps sqlite3"
bench="$run perl wrk libnginx-mod-http-lua lua-cjson sqlite3"

case "${1-}" in
    run)    packages=$run ;;
    test)   packages=$test ;;
    bench)  packages=$bench ;;
    *)      echo "usage: $0 run|test|bench" >&2; exit 2 ;;
esac

# Node.js need not be Debian's
if [ "$1" != bench ] && ! { command -v node && command -v npm; } > /dev/null
then
    packages="$packages nodejs npm"
fi

missing=
for p in $packages; do
    dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null \
        | grep -q '^install ok installed' || missing="$missing $p"
done

# Prometheus is unpacked, not installed: its package brings a service, which
# would be started by the next boot.
tools=${BUILD:-build}/prometheus
unpack=

if [ "$1" = test ] && [ ! -x "$tools/usr/bin/promtool" ] \
    && ! { command -v prometheus && command -v promtool; } > /dev/null
then
    unpack=prometheus
fi

# needs no root, if there are lists
unpack() {
    mkdir -p "$tools.new"
    (cd "$tools.new" && apt-get -qq download prometheus 2> /dev/null \
        && dpkg -x prometheus_*.deb . && rm prometheus_*.deb) || return 1
    rm -rf "$tools"
    mv "$tools.new" "$tools"
}

if [ -z "$missing" ] && [ -n "$unpack" ]; then
    echo "unpacking prometheus" >&2
    ! unpack || unpack=
fi

[ -n "$missing$unpack" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as=
elif command -v sudo > /dev/null && sudo -n true 2>/dev/null; then
    as=sudo
elif command -v sudo > /dev/null && [ -t 0 ]; then
    as=sudo
else
    echo "missing packages; please install them:" >&2
    echo "    apt-get install$missing $unpack" >&2
    exit 1
fi

echo "installing$missing $unpack" >&2

# A package that brings a service would start it: not for our sake.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $as tee $policy > /dev/null
    $as chmod +x $policy
    trap '$as rm -f $policy' EXIT
fi

apt="$as env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0"

# the lists may be old or not there at all
[ -z "$missing" ] \
    || $apt install -y --no-install-recommends $missing > /dev/null 2>&1 || {
    $apt update
    $apt install -y --no-install-recommends $missing > /dev/null
}

[ -z "$unpack" ] || unpack || { $apt update && unpack; }

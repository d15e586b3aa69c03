#!/bin/bash
# Puts the configuration into nginx's folder, the first argument.  A file that
# was changed there stays, and the new one is put beside it.

set -eu

put() {
    if [ -e "$2" ] && ! cmp -s "$1" "$2"; then
        install -m 644 "$1" "$2.new"
        echo "kept $2, see $2.new"
    else
        install -D -m 644 "$1" "$2"
    fi
}

cd "$(dirname "$0")/../conf"

for file in *.conf; do
    if [ "$file" = site.conf ]; then
        put "$file" "$1/conf.d/analytics.conf"
    else
        put "$file" "$1/analytics/$file"
    fi
done

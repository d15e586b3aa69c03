#!/bin/bash
# Serves everything in the foreground, on a private nginx.
#   PORT=8080  LISTEN=127.0.0.1  DATA=./data  WORKERS=auto
# As root, nginx's workers are www-data: DATA must be where they can go, and
# without DATA= it is /var/lib/nginx-analytics where ./data is not.
#   HOSTS="names that the site is asked for, beside localhost"

set -eu

PORT=${PORT:-8080}
LISTEN=${LISTEN:-127.0.0.1}
HOSTS=${HOSTS:-}
WORKERS=${WORKERS:-$(nproc)}
[ "$WORKERS" -ge 2 ] || WORKERS=2

# Whether those who write to a folder can go there.
reachable() {
    [ "$(id -u)" != 0 ] || setpriv --reuid=www-data --regid=www-data \
        --clear-groups test -x "$1"
}

if [ -z "${DATA:-}" ]; then
    DATA=$TOP/data
    reachable "$TOP" || DATA=${STATE:-/var/lib}/nginx-analytics
fi

[ -d "$DATA" ] || { mkdir -p "$(dirname "$DATA")" && mkdir -m 700 "$DATA"; }
DATA=$(cd "$DATA" && pwd)

reachable "$(dirname "$DATA")" || {
    echo "DATA=$DATA: www-data, as whom nginx's workers run, cannot go there" >&2
    exit 1
}

# What workers read lies where they can reach it: as root they become
# www-data, who is let into neither /root nor many a home.
# It has its name before it is there: a Ctrl-C leaves nothing.
id=$(od -An -N8 -tx8 /dev/urandom)
RUN=${TMPDIR:-/tmp}/nginx-analytics.${id// /}
trap 'rm -rf "$RUN"' EXIT
mkdir -m 755 "$RUN"
cp -r "$TOP/conf" "$RUN/analytics"
cp -r "$BUILD/html" "$RUN/html"
cp "$BUILD/modules/ngx_http_analytics_module.so" "$RUN/"
chmod -R a+rX "$RUN/html" "$RUN/analytics"
mkdir "$RUN/temp"

nginx=$(command -v nginx || echo /usr/sbin/nginx)
user=

if [ "$(id -u)" = 0 ]; then
    user="user www-data;"
    chown www-data "$RUN/temp"
fi

address=$LISTEN
case $LISTEN in *:*) address="[${LISTEN//[\[\]]/}]" ;; esac

names=$(printf '%s\n' localhost 127.0.0.1 '[::1]' "$address" "$(uname -n)" \
    $HOSTS | sort -u | tr '\n' ' ')

sed -i "s|path  *[^;]*;|path    $DATA;|" "$RUN/analytics/zone.conf"

sed -e "s|127\.0\.0\.1:8080|$address:$PORT|" \
    -e "s|server_name .*;|server_name $names;|" \
    -e "s|/usr/share/nginx-analytics/html|$RUN/html|" \
    "$TOP/conf/site.conf" > "$RUN/site.conf"

cat > "$RUN/nginx.conf" << END
load_module $RUN/ngx_http_analytics_module.so;
$user
worker_processes $WORKERS;
daemon off;
pid $RUN/nginx.pid;
error_log stderr warn;

events {
    worker_connections 4096;
}

http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log off;
    server_names_hash_bucket_size 128;

    client_body_temp_path $RUN/temp/body;
    proxy_temp_path $RUN/temp/proxy;
    fastcgi_temp_path $RUN/temp/fastcgi;
    uwsgi_temp_path $RUN/temp/uwsgi;
    scgi_temp_path $RUN/temp/scgi;

    include site.conf;
}
END

# A signal may come at any moment, also before there is an nginx to stop.
pid=
stopped=
trap 'stopped=1; [ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null' INT TERM HUP

"$nginx" -p "$RUN" -c "$RUN/nginx.conf" -e stderr -t -q || exit
[ -z "$stopped" ] || exit 0

"$nginx" -p "$RUN" -c "$RUN/nginx.conf" -e stderr &
pid=$!
[ -z "$stopped" ] || kill -TERM "$pid"

echo
echo "    http://$address:$PORT/         the page"
echo "    http://$address:$PORT/docs     the API"
echo
echo "    curl -H 'Content-Type: application/json' \\"
echo "         -d '{\"user_id\":\"user_123\",\"event_type\":\"page_view\"}' \\"
echo "         http://$address:$PORT/events/"
echo
echo "    The events are in $DATA.  Ctrl-C stops it."
echo

# A signal ends a wait with a status of its own.  nginx may have ended by then:
# its status is still to be had, and 127 means that it was had already.
rc=0
wait "$pid" || rc=$?

while [ -n "$stopped" ] && [ "$rc" -gt 128 ] && kill -0 "$pid" 2>/dev/null; do
    rc=0
    wait "$pid" || rc=$?
done

[ -z "$stopped" ] || exit 0
exit $rc

#!/usr/bin/env bash
# Runs docker-compose.yml for real on a machine that can pull no image, until `domain add` reaches Success; again after a
# restart of each container, and after a reboot. Stand-ins take the place of the images: PostgreSQL, RabbitMQ and Pebble
# as Debian has them; our own are packed from target/debug/ssl-manager (or BINARY). Needs root, docker.io,
# docker-compose and debootstrap.
#
#   deploy/try-compose.sh [SERVICE...]     with services: starts only these, and says how they are
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=deploy/try-engine.sh
. deploy/try-engine.sh
command -v docker-compose >/dev/null || { echo "$0: docker-compose is missing (apt-get install docker-compose)" >&2; exit 1; }
work=$PWD/target/try-compose
start_engine "$work" bridge

import_base "$work/run-root" try-run-base ca-certificates
import_base "$work/root" try-stand-ins ca-certificates,openssl,postgresql,rabbitmq-server,pebble
context=$work/stand-ins
mkdir -p "$context"
# What the official images do at their start, as far as docker-compose.yml counts on it.
cat >"$context/postgres.sh" <<'SH'
#!/bin/bash
set -eu
[ "$1" = postgres ] || exec "$@"
data=/var/lib/postgresql/data
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$data" /var/run/postgresql
    chown postgres "$data" /var/run/postgresql
    chmod 700 "$data"
    exec setpriv --reuid=999 --regid=999 --clear-groups "$0" "$@"
fi
export PATH=$PATH:$(echo /usr/lib/postgresql/*/bin) PGPASSWORD
PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
if [ ! -s "$data/PG_VERSION" ]; then
    initdb --pgdata "$data" --pwfile="$POSTGRES_PASSWORD_FILE" --auth-host=scram-sha-256
    pg_ctl --pgdata "$data" --wait --options "${*:2} -c listen_addresses=''" start
    createdb "$POSTGRES_DB"
    pg_ctl --pgdata "$data" --wait stop
fi
exec "$@" -D "$data" -c listen_addresses='*'
SH
cat >"$context/rabbitmq.sh" <<'SH'
#!/bin/bash
set -eu
chown -R rabbitmq /var/lib/rabbitmq /var/log/rabbitmq
export RABBITMQ_CONFIG_FILES=/etc/rabbitmq/conf.d RABBITMQ_LOGS=- HOME=/var/lib/rabbitmq
exec setpriv --reuid=999 --regid=999 --clear-groups /usr/lib/rabbitmq/bin/rabbitmq-server
SH
# `rabbitmq-diagnostics` in the official image works for root, too.
cat >"$context/rabbitmq-diagnostics" <<'SH'
#!/bin/bash
export HOME=/var/lib/rabbitmq
exec setpriv --reuid=999 --regid=999 --clear-groups /usr/lib/rabbitmq/bin/rabbitmq-diagnostics "$@"
SH
chmod 0755 "$context"/*.sh "$context/rabbitmq-diagnostics"
cat >"$context/Dockerfile" <<'DOCKER'
FROM try-stand-ins AS postgres
RUN usermod --uid 999 postgres && groupmod --gid 999 postgres && ln -s /usr/lib/postgresql/*/bin/postgres /usr/local/bin/
COPY postgres.sh /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
CMD ["postgres"]
FROM try-stand-ins AS rabbitmq
RUN usermod --uid 999 rabbitmq && groupmod --gid 999 rabbitmq
COPY rabbitmq.sh /entrypoint.sh
COPY rabbitmq-diagnostics /usr/local/sbin/rabbitmq-diagnostics
ENTRYPOINT ["/entrypoint.sh"]
FROM try-stand-ins AS pebble
ENTRYPOINT ["/usr/bin/pebble"]
DOCKER
for target in postgres rabbitmq pebble; do
    docker build --quiet --network none --target "$target" --tag "try-$target" "$context" >/dev/null
done
export POSTGRES_IMAGE=try-postgres RABBITMQ_IMAGE=try-rabbitmq PEBBLE_IMAGE=try-pebble
prebuilt_image ssl-manager ssl-manager:dev "$work/prebuilt" try-run-base
prebuilt_image ssl-manager-sandbox ssl-manager-sandbox:dev "$work/prebuilt" try-run-base

compose() { docker-compose --project-name try "$@"; }
compose down --volumes --remove-orphans >/dev/null 2>&1 || true
problem() {
    compose ps
    compose logs --no-color --tail=30
    echo "try-compose: FAILED: $1" >&2
    exit 1
}
compose up --detach --no-build "$@" >"$work/up.log" 2>&1 || { cat "$work/up.log"; problem "up"; }
if [ $# -gt 0 ]; then
    sleep "${SETTLE:-15}"
    compose ps
    compose logs --no-color --tail=30
    exit
fi

manager=(exec -T api ssl-manager)
for _ in $(seq 60); do
    token=$(compose run --rm -T --no-deps command token create --name "try-$RANDOM" --role admin --config /etc/ssl-manager/config.toml 2>/dev/null) && break
    sleep 1
done
[ -n "${token:-}" ] || problem "no token"
manager=(exec -T -e SSL_MANAGER_TOKEN="$token" api ssl-manager)
# add NAME: adds a domain and waits until it is Success.
add() {
    for _ in $(seq 60); do
        compose "${manager[@]}" domain add "$1" >"$work/add.log" 2>&1 && break
        sleep 1
    done
    for _ in $(seq 90); do
        compose "${manager[@]}" --output json domain show "$1" >"$work/domain.json" 2>&1 || true
        if grep -q '"status": *"Success"' "$work/domain.json"; then
            echo "try-compose: fine: $1 is Success"
            return
        fi
        sleep 1
    done
    cat "$work/add.log" "$work/domain.json"
    problem "$1 is not Success after a minute and a half"
}

add shop.example.com
# Each container on its own, and then the machine.
for service in postgres rabbitmq pebble sandbox-c4 sandbox-dns api issuer challenge-responder scheduler c4-uploader notifier console; do
    compose restart "$service" >"$work/restart.log" 2>&1 || { cat "$work/restart.log"; problem "restart of $service"; }
    add "after-$service.example.com"
done
reboot_engine
add after-a-reboot.example.com
compose ps
compose down --volumes >/dev/null 2>&1 || true
echo "try-compose: all fine"

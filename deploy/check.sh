#!/usr/bin/env bash
# Checks what is in this folder without a cluster and without an image: the Compose file, both overlays for Kubernetes
# against the API's schema and against our own rules, and the alert rules. What needs a tool that is not there and
# cannot be installed is skipped, and said so. Exit code 1: something is wrong.
set -uo pipefail

cd "$(dirname "$0")/.." || exit
work=target/deploy-check
mkdir -p "$work"
failed=0

say() { printf 'deploy: %s\n' "$*"; }
fail() { say "FAILED: $*"; failed=1; }
skip() { say "skipped: $*"; }

# Installs a package where that is possible.
updated=
install() {
    if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
        return 1
    fi
    if [ -z "$updated" ]; then
        apt-get update >"$work/apt.log" 2>&1 || return 1
        updated=yes
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$1" >>"$work/apt.log" 2>&1
}

# have COMMAND PACKAGE: whether a command is there, or could be installed.
have() {
    command -v "$1" >/dev/null || { install "$2" && command -v "$1" >/dev/null; }
}

# A Python of our own, with what the checks need.
python=$work/venv/bin/python
have_python() {
    "$python" -c 'import kubernetes_validate, yaml' 2>/dev/null && return
    have python3 python3 || return 1
    # Debian's Python has no pip for a venv until python3-venv is there.
    python3 -m venv "$work/venv" >"$work/pip.log" 2>&1 ||
        { install python3-venv && python3 -m venv --clear "$work/venv" >>"$work/pip.log" 2>&1; } || return 1
    "$python" -m pip install --quiet kubernetes-validate pyyaml >>"$work/pip.log" 2>&1
}

# Scripts.
scripts=(deploy/*.sh deploy/compose/*.sh deploy/k8s/overlays/*/*.sh tests/*.sh)
if ! have shellcheck shellcheck; then
    skip "scripts: shellcheck is missing"
elif shellcheck "${scripts[@]}"; then
    say "shellcheck has nothing to say of ${#scripts[@]} scripts"
else
    fail "scripts"
fi

# The unit of systemd, as `make install-program` installs it, with a program that is there. What systemd does not know is a
# warning of it, and as bad as an error.
check_unit() {
    local unit=$work/unit/ssl-manager.service
    mkdir -p "$work/unit/bin"
    printf '#!/bin/sh\n' >"$work/unit/bin/ssl-manager"
    chmod 0755 "$work/unit/bin/ssl-manager"
    sed "s|@PREFIX@|$PWD/$work/unit|" deploy/systemd/ssl-manager.service >"$unit"
    if systemd-analyze verify --man=no "$unit" >"$work/unit.log" 2>&1 && [ ! -s "$work/unit.log" ] &&
        systemd-analyze security --offline=yes --no-pager --threshold=15 "$unit" >"$work/unit.log" 2>&1; then
        say "the unit of systemd: $(grep -o 'Overall exposure.*[0-9.]\+ [A-Z]*' "$work/unit.log")"
    else
        cat "$work/unit.log" >&2
        fail "deploy/systemd/ssl-manager.service"
    fi
}
if have systemd-analyze systemd; then check_unit; else skip "the unit of systemd: systemd-analyze is missing"; fi

cmp -s deploy/compose/pebble.json deploy/k8s/overlays/sandbox/pebble.json ||
    fail "deploy/k8s/overlays/sandbox/pebble.json is not deploy/compose/pebble.json any more: copy it"
# The overlay's copies, which kustomize cannot take from another folder.
for file in pg_hba.conf rabbitmq.conf; do
    cmp -s "deploy/compose/$file" "deploy/k8s/overlays/single-node/$file" ||
        fail "deploy/k8s/overlays/single-node/$file is not deploy/compose/$file any more: copy it"
done

# Compose: by every tool that is there.
have docker-compose docker-compose
composed=
check_compose() {
    composed=yes
    if "$@" config --quiet 2>"$work/compose.log" && "$@" --profile observability config >"$work/compose.yaml"; then
        say "docker-compose.yml is fine by: $*"
    else
        cat "$work/compose.log" >&2
        fail "docker-compose.yml by: $*"
    fi
}
if command -v docker-compose >/dev/null; then check_compose docker-compose; fi
if docker compose version >/dev/null 2>&1; then check_compose docker compose; fi
[ -n "$composed" ] || skip "docker-compose.yml: neither docker-compose nor docker compose is there"

# Kubernetes: render, then schema.
rendered=()
for overlay in single-node sandbox production; do
    out=$work/$overlay.yaml
    rm -f "$out"
    if have kubectl kubernetes-client; then
        render=(kubectl kustomize)
    elif command -v kustomize >/dev/null; then
        render=(kustomize build)
    else
        skip "overlay $overlay: neither kubectl nor kustomize is there"
        continue
    fi
    if "${render[@]}" "deploy/k8s/overlays/$overlay" >"$out" 2>"$work/kustomize.log"; then
        say "overlay $overlay builds"
        rendered+=("$out")
    else
        cat "$work/kustomize.log" >&2
        fail "overlay $overlay does not build"
    fi
done
if [ "${#rendered[@]}" -gt 0 ] && ! "${render[@]}" deploy/k8s/monitoring >"$work/monitoring.yaml" 2>"$work/kustomize.log"; then
    cat "$work/kustomize.log" >&2
    fail "deploy/k8s/monitoring does not build"
fi
if have_python; then
    validated=(${rendered[@]+"${rendered[@]}"})
    if ! command -v kubectl >/dev/null; then
        skip "command.sh: kubectl is missing"
    elif deploy/k8s/overlays/single-node/command.sh --print user create --name 'a "b" \c' >"$work/command.yaml"; then
        validated+=("$work/command.yaml")
    else
        fail "command.sh"
    fi
    for out in ${validated[@]+"${validated[@]}"}; do
        # A kind without a schema is a warning there, and as bad as a field that does not exist.
        if "$work/venv/bin/kubernetes-validate" --strict "$out" >"$work/validate.log" 2>&1 &&
            ! grep -q '^WARN' "$work/validate.log"; then
            say "$(grep -c '^INFO' "$work/validate.log") resources of $(basename "$out" .yaml) fit the schema"
        else
            grep -v '^INFO' "$work/validate.log" >&2
            fail "$(basename "$out" .yaml) does not fit the schema"
        fi
    done
    compose=
    [ -s "$work/compose.yaml" ] && compose=$work/compose.yaml
    "$python" deploy/check_rules.py --compose "$compose" ${rendered[@]+"${rendered[@]}"} || failed=1
else
    skip "schema and rules: no Python with venv and pip, see $work/pip.log"
fi

# Alerts: rules, runbooks, and the tests of the rules.
check_alerts() {
    "$python" deploy/check_alerts.py --folder "$work" || failed=1
    promtool=$(deploy/promtool.sh 2>"$work/promtool.log")
    local code=$?
    if [ "$code" -eq 69 ]; then
        skip "tests of the alerts: promtool is missing, and no apt-get is there"
    elif [ "$code" -ne 0 ]; then
        cat "$work/promtool.log" >&2
        fail "promtool is missing and could not be fetched"
    elif "$promtool" check rules deploy/prometheus/rules.yml "$work/dashboard.yml" >"$work/promtool.log" 2>&1 &&
        "$promtool" test rules "$work/rules_test.yml" >>"$work/promtool.log" 2>&1; then
        say "the alerts fire when they must, and only then"
    else
        cat "$work/promtool.log" >&2
        fail "the alerts or the queries of the dashboard"
    fi
}
if have_python; then check_alerts; else skip "alerts: no Python with venv and pip, see $work/pip.log"; fi

[ "$failed" -eq 0 ] && say "all fine"
exit "$failed"

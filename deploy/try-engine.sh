# shellcheck shell=bash
# Sourced by try-image.sh and try-compose.sh: a container engine of our own, and a base for images without a registry.

# start_engine WORK bridge|host: sets DOCKER_HOST. The engine ends with the script. With `bridge` it lives in a network
# of its own, so that nothing of it shows in this machine's; with `host` builds can reach what this machine reaches.
start_engine() {
    local tool
    engine_work=$1 engine_network=$2
    [ "$(id -u)" -eq 0 ] || { echo "$0: run as root" >&2; exit 1; }
    for tool in dockerd docker debootstrap; do
        command -v "$tool" >/dev/null || { echo "$0: $tool is missing (apt-get install docker.io debootstrap)" >&2; exit 1; }
    done
    mkdir -p "$engine_work"
    engine_run=$(mktemp -d)
    export DOCKER_HOST=unix://$engine_run/docker.sock DOCKER_BUILDKIT=0
    trap end_engine EXIT
    run_engine
}

run_engine() {
    local apart=() options=(--bridge none --iptables=false)
    if [ "$engine_network" = bridge ]; then
        # shellcheck disable=SC2016    # the arguments are those of the inner shell
        apart=(unshare --net sh -c 'ip link set lo up && exec "$@"' sh)
        options=()
    fi
    "${apart[@]}" dockerd --data-root "$engine_work/engine" --exec-root "$engine_run/exec" --pidfile "$engine_run/docker.pid" \
        --host "$DOCKER_HOST" ${options[@]+"${options[@]}"} ${STORAGE_DRIVER:+--storage-driver "$STORAGE_DRIVER"} \
        >>"$engine_work/dockerd.log" 2>&1 &
    engine=$!
    for _ in $(seq 100); do
        docker info >/dev/null 2>&1 && return
        kill -0 "$engine" 2>/dev/null || break
        sleep 0.3
    done
    echo "$0: the engine does not start" >&2
    tail -n 20 "$engine_work/dockerd.log" >&2
    exit 1
}

stop_engine() {
    [ -n "${engine:-}" ] || return 0
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
    engine=
    umount "$engine_run"/exec/netns/* 2>/dev/null || true
}

# As in a reboot: the engine stops with its containers, and another one finds those that are to run again.
reboot_engine() {
    stop_engine
    run_engine
}

end_engine() {
    docker ps --quiet 2>/dev/null | xargs --no-run-if-empty docker kill >/dev/null 2>&1 || true
    stop_engine
    rm -rf "$engine_run"
}

# import_base FOLDER TAG PACKAGES [CHANGE...]: an image of a Debian with those packages, unless it is there.
import_base() {
    local folder=$1 tag=$2 packages=$3
    shift 3
    docker image inspect "$tag" >/dev/null 2>&1 && return
    if [ ! -e "$folder.done" ]; then
        rm -rf "$folder"
        debootstrap --variant=minbase --include="$packages" "${SUITE:-bookworm}" "$folder" >"$folder.log" 2>&1 ||
            { tail -n 20 "$folder.log" >&2; exit 1; }
        touch "$folder.done"
    fi
    tar --create --directory "$folder" --exclude ./var/cache/apt --exclude ./var/lib/apt --exclude ./dev . |
        docker import "$@" - "$tag" >/dev/null
}

# prebuilt_image TARGET TAG CONTEXT BASE: the last stages of the Dockerfile, with target/debug/ssl-manager in them.
prebuilt_image() {
    local target=$1 tag=$2 context=$3 base=$4
    rm -rf "$context"
    mkdir -p "$context/out"
    cp "${BINARY:-target/debug/ssl-manager}" "$context/out/ssl-manager"
    ln "$context/out/ssl-manager" "$context/out/ssl-manager-sandbox"
    deploy/sbom.sh >"$context/out/ssl-manager.cdx.json"
    ln "$context/out/ssl-manager.cdx.json" "$context/out/ssl-manager-sandbox.cdx.json"
    {
        printf 'ARG RUN_BASE\nFROM scratch AS build\nCOPY out /out\nFROM scratch AS build-sandbox\nCOPY out /out\n'
        awk '/^FROM .* AS base$/ { on = 1 } /^FROM build AS build-sandbox$/ { on = 0 } /^FROM base AS ssl-manager-sandbox$/ { on = 1 } on' \
            deploy/Dockerfile
    } >"$context/Dockerfile"
    docker build --quiet --file "$context/Dockerfile" --target "$target" --tag "$tag" \
        --build-arg RUN_BASE="$base" --build-arg VERSION=try "$context" >/dev/null
}

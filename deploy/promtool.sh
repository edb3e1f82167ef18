#!/usr/bin/env bash
# Prints the path of promtool, and fetches it if it is missing. Only that file of Debian's package prometheus is taken:
# installed as a whole, its server would start and take port 9090, the default of admin.listen.
# Exit code 69: it is missing, and there is no apt-get to fetch it with.
set -euo pipefail

command -v promtool && exit

folder=$(cd "$(dirname "$0")/.." && pwd)/target/promtool
promtool=$folder/usr/bin/promtool
if [ ! -x "$promtool" ]; then
    if ! command -v apt-get >/dev/null; then
        echo "promtool is missing: install Prometheus" >&2
        exit 69
    fi
    mkdir -p "$folder"
    cd "$folder"
    {
        apt-get download prometheus || { apt-get update && apt-get download prometheus; }
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar --extract ./usr/bin/promtool
        rm prometheus_*.deb
    } >&2
fi
echo "$promtool"

#!/usr/bin/env bash
# Makes the secrets of the single-node overlay, applies it, and prepares the database. It may run as often as it likes;
# what it makes stays in FOLDER (passwords and the sealing key: keep it, or lose the sealed keys).
#
#   deploy/k8s/overlays/single-node/try.sh FOLDER            C4 and the CA are those of the settings
#   deploy/k8s/overlays/single-node/try.sh FOLDER sandbox    with Pebble, and the sandbox's C4, edge and DNS beside it
set -euo pipefail

overlay=${2:-single-node}
if [ $# -lt 1 ] || [ $# -gt 2 ] || [[ ! $overlay =~ ^(single-node|sandbox)$ ]]; then
    echo "usage: $0 FOLDER [sandbox]" >&2
    exit 64
fi
here=$(cd "$(dirname "$0")" && pwd)
deploy=$(cd "$here/../../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
k() { kubectl --namespace ssl-manager "$@"; }
# Makes an object, or brings it up to date.
put() { k create "$@" --dry-run=client --output yaml | k apply --filename -; }

OUT=$out "$deploy/compose/setup.sh"
config=$out/config
secrets=$out/secrets
# The URL that setup wrote into a role's configuration.
url() { sed -n "s#^url = \"\($2.*\)\"#\1#p" "$config/$1/config.toml"; }

kubectl apply --filename "$deploy/k8s/base/namespace.yaml"
for role in api issuer challenge-responder scheduler c4-uploader; do
    put secret generic "ssl-manager-$role" \
        --from-file=store-url=<(url "$role" postgres: | tr -d '\n') \
        --from-file=bus-url=<(url "$role" amqps: | tr -d '\n') \
        --from-literal=bus-root-certificate-file=/etc/ssl-manager/ca.pem
done
put secret generic ssl-manager-notifier --from-file=store-url=<(url notifier postgres: | tr -d '\n')
put secret generic ssl-manager-notifier-key --from-file=notifier.key="$secrets/notifier.key"
put secret generic ssl-manager-migrate --from-file=store-url=<(url migrate postgres: | tr -d '\n')
put secret generic ssl-manager-sealing --from-file=sealing.key="$secrets/sealing.key"
# Put C4's token into this file before the first run; a random one is refused by any C4.
put secret generic ssl-manager-c4 --from-file=token="$secrets/c4-token"
put secret tls ssl-manager-api-tls --cert="$config/api/tls.pem" --key="$config/api/tls.key"
put secret tls ssl-manager-console-tls --cert="$config/console/tls.pem" --key="$config/console/tls.key"
put secret generic ssl-manager-sandbox-c4 --from-file="$config/sandbox-c4"
put secret generic ssl-manager-pebble --from-file="$config/pebble"
put secret generic ssl-manager-postgres --from-file="$config/postgres"
put secret generic ssl-manager-rabbitmq --from-file="$config/rabbitmq"
passwords=()
for file in "$secrets"/postgres-* "$secrets/ca.pem"; do
    passwords+=("--from-file=$file")
done
put secret generic ssl-manager-passwords "${passwords[@]}"
put configmap ssl-manager-roots --from-file=ca.pem="$secrets/ca.pem"

# The image may be another one under the same tag.
k delete job --selector app.kubernetes.io/component=migrate --ignore-not-found
kubectl apply --kustomize "$here/../$overlay"
k rollout status statefulset/postgres --timeout=5m
# In the pod, under the name that the certificate has.
k exec --stdin postgres-0 -- env PGHOSTADDR=127.0.0.1 bash -s <"$deploy/compose/database.sh"
k wait job --selector app.kubernetes.io/component=migrate --for=condition=complete --timeout=5m
for role in api issuer challenge-responder scheduler c4-uploader notifier console; do
    k rollout status "deployment/$role" --timeout=5m
done
cat <<TEXT
Everything runs. A token, and somebody who signs in to the page:
    $here/command.sh token create --name me --role admin
    echo 'a long password' | $here/command.sh user create --name me --role admin --password-file /dev/stdin
    kubectl --namespace ssl-manager port-forward service/console 8443:443      # https://localhost:8443
TEXT

#!/usr/bin/env bash
# Makes what must not be in a file of the repository: passwords, the sealing key, a private CA with the certificates of
# the services, and each service's own configuration. It may run as often as it likes: what is there stays; only the
# configurations are written anew, and a certificate that ends within 30 days.
#
#   /out/secrets          what the database jobs need, and the CA's key
#   /out/config/<service> all that this one service sees
set -euo pipefail
umask 077

OUT=${OUT:-/out}
secrets=$OUT/secrets
config=$OUT/config
# Users in the images: ours, PostgreSQL's, RabbitMQ's.
readonly APP=65532 POSTGRES=999 RABBITMQ=999
# Where a service finds its folder.
readonly HERE=/etc/ssl-manager
readonly ROLES=(api issuer challenge-responder scheduler c4-uploader)

command -v openssl >/dev/null || { echo "setup: this image has no openssl" >&2; exit 1; }

# The name of a role in PostgreSQL and RabbitMQ.
user_of() {
    case $1 in
        challenge-responder) echo ssl_manager_responder ;;
        c4-uploader) echo ssl_manager_uploader ;;
        *) echo "ssl_manager_$1" ;;
    esac
}

# A file with 24 random bytes in hex, which need no escaping anywhere.
password() {
    [ -s "$secrets/$1" ] || write "$secrets/$1" <<<"$(openssl rand -hex 24)"
    cat "$secrets/$1"
}

# Writes a file in one step, so that a run that was cut off leaves no half of one.
write() {
    cat >"$1.new"
    mv -f "$1.new" "$1"
}

# give OWNER MODE FILE: for single-node Kubernetes this runs as anybody, and ownership does not matter.
give() {
    [ "$(id -u)" -ne 0 ] || chown "$1:$1" "$3"
    chmod "$2" "$3"
}

make_ca() {
    if [ -s "$secrets/ca.key" ] && [ -s "$secrets/ca.pem" ]; then
        return
    fi
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
        -subj "/O=SSL Manager/CN=SSL Manager Compose CA" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout "$secrets/ca.key.new" -out "$secrets/ca.pem.new" 2>/dev/null
    mv -f "$secrets/ca.key.new" "$secrets/ca.key"
    mv -f "$secrets/ca.pem.new" "$secrets/ca.pem"
}

# certificate FOLDER OWNER NAME...: tls.pem and tls.key for those names, and ca.pem.
certificate() {
    local folder=$1 owner=$2
    shift 2
    give_ca "$folder" "$owner"
    if [ -s "$folder/tls.key" ] && openssl verify -CAfile "$secrets/ca.pem" "$folder/tls.pem" >/dev/null 2>&1 &&
        openssl x509 -checkend $((30 * 86400)) -noout -in "$folder/tls.pem" >/dev/null; then
        return
    fi
    local names
    names=$(printf 'DNS:%s,' "$@")
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$folder/tls.key.new" -out "$folder/tls.csr" 2>/dev/null
    openssl x509 -req -in "$folder/tls.csr" -CA "$secrets/ca.pem" -CAkey "$secrets/ca.key" \
        -set_serial "0x$(openssl rand -hex 16)" -days 397 -out "$folder/tls.pem.new" 2>/dev/null -extfile <(
            printf 'subjectAltName=%s\n' "${names%,}"
            printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n'
        )
    rm -f "$folder/tls.csr"
    give "$owner" 0400 "$folder/tls.key.new"
    give "$owner" 0444 "$folder/tls.pem.new"
    mv -f "$folder/tls.key.new" "$folder/tls.key"
    mv -f "$folder/tls.pem.new" "$folder/tls.pem"
}

give_ca() {
    write "$1/ca.pem" <"$secrets/ca.pem"
    give "$2" 0444 "$1/ca.pem"
}

# The store of a role, as that role's own user.
store() {
    local user
    user=$(user_of "$1")
    cat <<TOML
[store]
url = "postgres://$user:$(password "postgres-$1")@postgres/ssl_manager?sslmode=verify-full&sslrootcert=$HERE/ca.pem"

[admin]
listen = "0.0.0.0:9090"

[telemetry]
log_format = "json"
TOML
}

# The same, and the bus.
store_and_bus() {
    store "$1"
    cat <<TOML

[bus]
url = "amqps://$(user_of "$1"):$(password "rabbitmq-$1")@rabbitmq:5671/ssl-manager"
root_certificate_file = "$HERE/ca.pem"
TOML
}

sealing() {
    cat <<TOML

[keys]
sealing_key_file = "$HERE/sealing.key"
TOML
}

c4() {
    cat <<TOML

[c4]
base_url = "https://sandbox-c4:8444"
token_file = "$HERE/c4.token"
root_certificate_file = "$HERE/ca.pem"
TOML
}

# What is asked before an order, by the issuer and by a check on the page.
questions() {
    c4
    cat <<TOML

[cdn]
cname_targets = ["cdn.example.net"]

[dns]
nameservers = ["sandbox-dns:5353"]

[preflight]
# The sandbox's edge: a container with a private address, and without the right to ports below 1024.
http_port = 8080
allow_private_addresses = true

[[acme.issuers]]
name = "pebble"
directory_url = "https://pebble:14000/dir"
contact = ["mailto:ssl@example.net"]
root_certificate_file = "$HERE/ca.pem"
TOML
}

# What is beyond the store and the bus.
own() {
    case $1 in
        api)
            sealing
            questions
            cat <<TOML

[api]
listen = "0.0.0.0:50051"

[api.tls]
certificate_file = "$HERE/tls.pem"
key_file = "$HERE/tls.key"
TOML
            ;;
        issuer)
            sealing
            questions
            echo 'limits = "none"'
            ;;
        challenge-responder)
            cat <<TOML

[challenge_responder]
listen = "0.0.0.0:5002"
TOML
            ;;
        c4-uploader)
            sealing
            c4
            ;;
    esac
    # The api seals the secrets of webhooks, the notifier opens them.
    case $1 in
        api | notifier)
            cat <<TOML

[notifier]
sealing_key_file = "$HERE/notifier.key"
TOML
            ;;
    esac
}

role() {
    local folder=$config/$1 backends=store_and_bus
    # The notifier hears no hints.
    [ "$1" != notifier ] || backends=store
    give_ca "$folder" "$APP"
    { "$backends" "$1"; own "$1"; } | write "$folder/config.toml"
    give "$APP" 0400 "$folder/config.toml"
}

# The value that RabbitMQ keeps of a password: base64(salt, SHA-256(salt, password)).
rabbitmq_hash() {
    local salt digest
    salt=$(openssl rand -hex 4)
    digest=$({ bytes "$salt"; printf %s "$1"; } | openssl dgst -sha256 -r | cut -d ' ' -f 1)
    bytes "$salt$digest" | openssl base64 -A
}

bytes() {
    # shellcheck disable=SC2059,SC2001    # the format is what makes bytes of it
    printf "$(sed 's/../\\x&/g' <<<"$1")"
}

# One user per role. The responder, which faces the internet, may have its own broadcast queue and listen; nothing else.
rabbitmq_definitions() {
    local all='^ssl-manager\\..*' broadcast='^ssl-manager\\.broadcast\\..*'
    local users=() permissions=() role user configure write read
    for role in "${ROLES[@]}"; do
        user=$(user_of "$role")
        configure=$all write=$all read=$all
        if [ "$role" = challenge-responder ]; then
            configure=$broadcast write=$broadcast read='^ssl-manager\\.(broadcast\\..*|events$)'
        fi
        users+=("{\"name\":\"$user\",\"password_hash\":\"$(rabbitmq_hash "$(password "rabbitmq-$role")")\",\"hashing_algorithm\":\"rabbit_password_hashing_sha256\",\"tags\":[]}")
        permissions+=("{\"user\":\"$user\",\"vhost\":\"ssl-manager\",\"configure\":\"$configure\",\"write\":\"$write\",\"read\":\"$read\"}")
    done
    local IFS=,
    printf '{"vhosts":[{"name":"ssl-manager"}],"users":[%s],"permissions":[%s]}\n' "${users[*]}" "${permissions[*]}"
}

mkdir -p "$secrets"
make_ca
password c4-token >/dev/null
for key in sealing notifier; do
    [ -s "$secrets/$key.key" ] || write "$secrets/$key.key" <<<"$(openssl rand -base64 32)"
done

for service in "${ROLES[@]}" notifier console migrate command postgres rabbitmq pebble sandbox-c4; do
    mkdir -p "$config/$service"
    # Each is seen by one service alone; inside, every file says who may read it.
    chmod 0755 "$config/$service"
done

for name in "${ROLES[@]}" notifier; do
    role "$name"
done
certificate "$config/api" "$APP" api localhost
for name in api issuer c4-uploader command; do
    write "$config/$name/sealing.key" <"$secrets/sealing.key"
    give "$APP" 0600 "$config/$name/sealing.key"
done
for name in api notifier; do
    write "$config/$name/notifier.key" <"$secrets/notifier.key"
    give "$APP" 0600 "$config/$name/notifier.key"
done
for name in api issuer c4-uploader sandbox-c4; do
    write "$config/$name/c4.token" <"$secrets/c4-token"
    give "$APP" 0400 "$config/$name/c4.token"
done

# The page knows the API and nothing else.
certificate "$config/console" "$APP" console localhost
write "$config/console/config.toml" <<TOML
[console]
listen = "0.0.0.0:8080"
public_url = "https://localhost:8080"

[console.tls]
certificate_file = "$HERE/tls.pem"
key_file = "$HERE/tls.key"

[console.api]
url = "https://api:50051"
root_certificate_file = "$HERE/ca.pem"

[admin]
listen = "0.0.0.0:9090"

[telemetry]
log_format = "json"
TOML
give "$APP" 0400 "$config/console/config.toml"

for name in migrate command; do
    give_ca "$config/$name" "$APP"
    write "$config/$name/config.toml" <<TOML
[store]
url = "postgres://ssl_manager_owner:$(password postgres-owner)@postgres/ssl_manager?sslmode=verify-full&sslrootcert=$HERE/ca.pem"
$([ "$name" = migrate ] || sealing)
TOML
    give "$APP" 0400 "$config/$name/config.toml"
done

certificate "$config/postgres" "$POSTGRES" postgres
password postgres-superuser | write "$config/postgres/password"
give "$POSTGRES" 0400 "$config/postgres/password"

certificate "$config/rabbitmq" "$RABBITMQ" rabbitmq
rabbitmq_definitions | write "$config/rabbitmq/definitions.json"
give "$RABBITMQ" 0400 "$config/rabbitmq/definitions.json"

certificate "$config/sandbox-c4" "$APP" sandbox-c4
certificate "$config/pebble" "$APP" pebble

echo "setup: done"

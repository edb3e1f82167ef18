#!/usr/bin/env bash
# What is done in the database as its superuser. It may run as often as it likes.
#
#   database.sh owner   before the migration: the role that owns the schema and, to create extensions, the database
#   database.sh roles   after it: the roles of the services, their rights, and everybody's password
set -euo pipefail

secrets=${SECRETS:-/secrets}
PGPASSWORD=$(cat "$secrets/postgres-superuser")
export PGPASSWORD PGSSLMODE=verify-full PGSSLROOTCERT=$secrets/ca.pem
export PGHOST=${PGHOST:-postgres} PGUSER=${PGUSER:-postgres} PGDATABASE=ssl_manager

sql() {
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set secrets="$secrets" "$@"
}

# password ROLE NAME: psql reads the file itself, so that no password is among the arguments of a process.
password() {
    sql --set role="$1" --set file="$secrets/postgres-$2" <<'SQL'
\set password `cat :'file'`
ALTER ROLE :"role" LOGIN PASSWORD :'password';
SQL
}

case ${1:-} in
    owner)
        sql <<'SQL'
SELECT 'CREATE ROLE ssl_manager_owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ssl_manager_owner') \gexec
ALTER DATABASE ssl_manager OWNER TO ssl_manager_owner;
ALTER SCHEMA public OWNER TO ssl_manager_owner;
REVOKE ALL ON DATABASE ssl_manager FROM PUBLIC;
SQL
        password ssl_manager_owner owner
        ;;
    roles)
        sql --file "${ROLES_SQL:-/roles.sql}"
        password ssl_manager_api api
        password ssl_manager_issuer issuer
        password ssl_manager_responder challenge-responder
        password ssl_manager_scheduler scheduler
        password ssl_manager_uploader c4-uploader
        ;;
    *)
        echo "usage: database.sh owner | roles" >&2
        exit 64
        ;;
esac
echo "database: $1 done"

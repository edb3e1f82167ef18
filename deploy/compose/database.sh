#!/usr/bin/env bash
# What is done in the database as its superuser, before the migration: the role that owns the schema and, to create
# extensions, the database; the roles of the services, to which the migration gives their rights; and everybody's
# password. It may run as often as it likes.
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

# role NAME FILE
role() {
    sql --set role="$1" <<'SQL'
SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
SQL
    password "$1" "$2"
}

role ssl_manager_owner owner
role ssl_manager_api api
role ssl_manager_issuer issuer
role ssl_manager_responder challenge-responder
role ssl_manager_scheduler scheduler
role ssl_manager_uploader c4-uploader
role ssl_manager_notifier notifier
sql <<'SQL'
ALTER DATABASE ssl_manager OWNER TO ssl_manager_owner;
ALTER SCHEMA public OWNER TO ssl_manager_owner;
REVOKE ALL ON DATABASE ssl_manager FROM PUBLIC;
SQL
echo "database: done"

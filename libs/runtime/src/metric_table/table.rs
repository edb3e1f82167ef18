//! The table itself, in the order of the roles.

use super::Labels::{
    Issuer, Later, Of, Pause, Plain, Port, Reason, Refusal, Role, Status, Version, WithinDays, Work,
};
use super::{Kind, Labels, Metric};
use crate::RoleName;

const EVERY_ROLE: &[RoleName] = &RoleName::ALL;
const API: &[RoleName] = &[RoleName::Api];
const ISSUER: &[RoleName] = &[RoleName::Issuer];
const RESPONDER: &[RoleName] = &[RoleName::ChallengeResponder];
const SCHEDULER: &[RoleName] = &[RoleName::Scheduler];
const UPLOADER: &[RoleName] = &[RoleName::C4Uploader];
const CONSOLE: &[RoleName] = &[RoleName::Console];
const NOTIFIER: &[RoleName] = &[RoleName::Notifier];
/// Roles that open the database.
const STORE: &[RoleName] = &[
    RoleName::Api,
    RoleName::Issuer,
    RoleName::ChallengeResponder,
    RoleName::Scheduler,
    RoleName::C4Uploader,
    RoleName::Notifier,
];
/// Roles that take messages from queues.
const WORKERS: &[RoleName] = &[RoleName::Issuer, RoleName::C4Uploader];
/// Roles that ask DNS and rehearse.
const PREFLIGHT: &[RoleName] = &[RoleName::Api, RoleName::Issuer];
/// Roles that ask C4.
const C4_CLIENTS: &[RoleName] = &[RoleName::Api, RoleName::Issuer, RoleName::C4Uploader];
/// Roles that may publish through the outbox.
const PUBLISHERS: &[RoleName] = &[RoleName::Api, RoleName::Issuer, RoleName::Scheduler, RoleName::C4Uploader];

const fn counter(
    name: &'static str,
    roles: &'static [RoleName],
    labels: Labels,
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, help, roles, labels }
}

const fn gauge(name: &'static str, roles: &'static [RoleName], labels: Labels, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help, roles, labels }
}

const fn histogram(name: &'static str, roles: &'static [RoleName], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, help, roles, labels: Later }
}

pub(super) const TABLE: &[Metric] = &[
    gauge("ssl_manager_build_info", EVERY_ROLE, Version, "1, with the version as a label."),
    gauge("ssl_manager_role_up", EVERY_ROLE, Role, "1 for each role of this process."),
    gauge("ssl_manager_connections", EVERY_ROLE, Port, "Open connections."),
    gauge(
        "ssl_manager_store_connections",
        STORE,
        Of("state", &["used", "idle"]),
        "Connections to the database (to a file: those that read).",
    ),
    gauge("ssl_manager_store_connections_allowed", STORE, Plain, "Connections to the database at most."),
    counter(
        "ssl_manager_connections_refused_total",
        EVERY_ROLE,
        Refusal,
        "Connections that were refused or closed early.",
    ),
    gauge(
        "ssl_manager_own_certificate_end_timestamp_seconds",
        EVERY_ROLE,
        Later,
        "End of the certificate that a port of this process shows, by its file.",
    ),
    counter(
        "ssl_manager_reloads_total",
        EVERY_ROLE,
        Later,
        "Times that the changed files of a setting were read again, by whether they could be used.",
    ),
    gauge(
        "ssl_manager_reload_refused",
        EVERY_ROLE,
        Later,
        "1 while the changed files of a setting cannot be used.",
    ),
    counter(
        "ssl_manager_work_dropped_total",
        WORKERS,
        Work,
        "Work that was given up because a step could not be stored.",
    ),
    counter(
        "ssl_manager_messages_published_total",
        PUBLISHERS,
        Plain,
        "Messages that the broker confirmed; 0 without a broker.",
    ),
    counter(
        "ssl_manager_messages_dead_total",
        WORKERS,
        Plain,
        "Messages that could not be handled and were set aside.",
    ),
    counter(
        "ssl_manager_c4_doubted_total",
        WORKERS,
        Plain,
        "Times that C4 did not know so many live domains that its answer did not count.",
    ),
    gauge(
        "ssl_manager_rehearsal_doubted",
        PREFLIGHT,
        Plain,
        "1 while so many rehearsals fail that they do not count.",
    ),
    counter(
        "ssl_manager_calls_refused_total",
        API,
        Of("limit", &["strangers", "strangers-streams", "calls", "streams", "bytes", "lookups"]),
        "Calls that were refused because a limit was reached.",
    ),
    counter(
        "ssl_manager_sign_ins_throttled_total",
        API,
        Of("by", &["source", "name"]),
        "Sign-ins that have to wait after too many attempts.",
    ),
    counter(
        "ssl_manager_unsigned_rows_total",
        API,
        Of("table", &["tokens", "users", "sessions"]),
        "Rows that count as absent because their MAC does not fit.",
    ),
    counter("ssl_manager_calls_total", API, Later, "Calls by method and how they ended."),
    histogram("ssl_manager_call_seconds", API, "How long calls took, streams up to their first answer."),
    gauge("ssl_manager_audit_broken", API, Plain, "1 while the audit log is not as it was signed."),
    counter(
        "ssl_manager_orders_total",
        ISSUER,
        Of("lane", &["expiring", "renewal", "new", "recheck"]),
        "Orders that were begun.",
    ),
    counter("ssl_manager_certificates_issued_total", ISSUER, Plain, "Certificates that were issued."),
    counter(
        "ssl_manager_issue_attempts_ended_total",
        ISSUER,
        Reason,
        "Attempts to get a certificate that ended without one, by the code of the reason.",
    ),
    counter(
        "ssl_manager_certificates_rejected_total",
        ISSUER,
        Issuer,
        "Certificates that differ from what was ordered.",
    ),
    counter(
        "ssl_manager_early_renewals_withheld_total",
        ISSUER,
        Plain,
        "Renewals that a CA suggested within a day of the issuance, and that were postponed.",
    ),
    counter(
        "ssl_manager_revocations_total",
        ISSUER,
        Of("result", &["revoked", "refused"]),
        "Revocations that ended.",
    ),
    gauge("ssl_manager_budget_left", ISSUER, Later, "Orders that a CA's limit leaves now."),
    gauge("ssl_manager_budget_capacity", ISSUER, Later, "Orders that a CA's limit allows at once."),
    histogram(
        "ssl_manager_ca_request_seconds",
        PREFLIGHT,
        "How long requests to a CA took, whatever it answered.",
    ),
    histogram("ssl_manager_c4_request_seconds", C4_CLIENTS, "How long C4 took to answer, whatever it said."),
    gauge("ssl_manager_ca_down", ISSUER, Issuer, "1 while the CA does not work."),
    gauge(
        "ssl_manager_refused_by_issuer",
        ISSUER,
        Issuer,
        "1 while the CA refuses our account, whatever the domain.",
    ),
    counter(
        "ssl_manager_challenge_requests_total",
        RESPONDER,
        Of("result", &["found", "not_found", "busy", "not_allowed"]),
        "Requests for challenge responses.",
    ),
    gauge(
        "ssl_manager_restore_guard",
        UPLOADER,
        Plain,
        "1 while nothing is uploaded because the database is older than what C4 holds.",
    ),
    counter(
        "ssl_manager_uploads_total",
        UPLOADER,
        Of("result", &["live", "failed", "unknown"]),
        "Uploads to C4 that ended; failed: the domain is in Emergency; unknown: C4 does not know it.",
    ),
    counter(
        "ssl_manager_removals_total",
        UPLOADER,
        Of("result", &["removed", "failed"]),
        "Removals from C4 that ended.",
    ),
    gauge("ssl_manager_console_viewers", CONSOLE, Plain, "Pages that are open and updated live."),
    counter(
        "ssl_manager_pages_refused_total",
        CONSOLE,
        Of("limit", &["forms", "sign-ins", "sessions"]),
        "Requests of browsers that were refused because a limit was reached.",
    ),
    gauge("ssl_manager_messages_waiting", SCHEDULER, Plain, "Messages in the database."),
    counter(
        "ssl_manager_keys_destroyed_total",
        SCHEDULER,
        Plain,
        "Keys of deleted domains that were destroyed.",
    ),
    counter("ssl_manager_daily_rechecks_total", SCHEDULER, Plain, "Domains whose daily recheck was planned."),
    gauge("ssl_manager_domains", SCHEDULER, Status, "Domains by status."),
    gauge(
        "ssl_manager_renewal_blocked",
        SCHEDULER,
        Plain,
        "Domains with status Success whose renewal is blocked.",
    ),
    gauge("ssl_manager_waiting_for_budget", SCHEDULER, Plain, "Domains that wait for room in a CA's limits."),
    gauge(
        "ssl_manager_certificates_ending",
        SCHEDULER,
        WithinDays,
        "Live certificates that end within so many days, the pasted ones among them.",
    ),
    gauge(
        "ssl_manager_paused",
        SCHEDULER,
        Pause,
        "1 while requests to that target are paused by an operator; the issuer is empty for all CAs and for C4.",
    ),
    gauge(
        "ssl_manager_renewals_late",
        SCHEDULER,
        Plain,
        "Live generated certificates that end within 3 days though the customer need not act.",
    ),
    gauge(
        "ssl_manager_oldest_due_seconds",
        SCHEDULER,
        Work,
        "For how long the oldest due work that no worker holds has been due.",
    ),
    gauge(
        "ssl_manager_last_sweep_timestamp_seconds",
        SCHEDULER,
        Plain,
        "Time of the last complete sweep of this scheduler.",
    ),
    gauge(
        "ssl_manager_last_daily_recheck_timestamp_seconds",
        SCHEDULER,
        Plain,
        "Beginning of the last daily recheck that is complete.",
    ),
    counter(
        "ssl_manager_webhook_attempts_total",
        NOTIFIER,
        Of("outcome", &["delivered", "failed"]),
        "Requests to endpoints of webhooks.",
    ),
    gauge(
        "ssl_manager_webhook_endpoints",
        NOTIFIER,
        Of("state", &["enabled", "disabled", "failed"]),
        "Endpoints of webhooks; failed: switched off because nothing was taken for days.",
    ),
    gauge(
        "ssl_manager_webhooks_waiting",
        NOTIFIER,
        Plain,
        "Deliveries that wait for an endpoint that is enabled.",
    ),
    gauge(
        "ssl_manager_webhooks_waiting_seconds",
        NOTIFIER,
        Plain,
        "For how long the oldest delivery waits for an endpoint that is enabled.",
    ),
];

//! Every metric, with its help text, the roles that export it and the label values it has from the start.
//!
//! A counter that appears with its first event begins at 1, and `increase()` of Prometheus does not see that event. So
//! each role registers its metrics at zero before it starts.

mod table;

use domain::{Outbound, Reason, Status, WorkKind};
use metrics::Label;

use self::table::TABLE;
use crate::{Config, Listen, RoleName};

/// Why an attempt ended, beside the codes of the reasons.
const WAITING: &str = "waiting";
const REFUSAL_REASONS: [&str; 6] = ["source", "full", "silent", "slow", "handshake", "accept"];

/// Bounds of the buckets of every histogram: from a read by index to the longest timeout for an outside server.
pub(crate) const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Up to how many days before their end live certificates are counted.
pub const ENDING_WITHIN_DAYS: [u16; 6] = [1, 3, 7, 14, 30, 90];

struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    roles: &'static [RoleName],
    labels: Labels,
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    /// Of seconds, in the buckets of [`SECONDS`].
    Histogram,
}

/// The label sets of a metric.
#[derive(Clone, Copy)]
enum Labels {
    Plain,
    /// Known once something is read: no series before that. A gauge of this kind means nothing at zero.
    Later,
    /// One label with these values.
    Of(&'static str, &'static [&'static str]),
    /// `name`: the roles of the process.
    Role,
    Version,
    /// The names of `acme.issuers`.
    Issuer,
    /// The possible pauses: each target, and each of `acme.issuers`.
    Pause,
    /// The reasons for which an attempt to get a certificate ends.
    Reason,
    Status,
    /// The kinds of work.
    Work,
    WithinDays,
    Port,
    /// The port, and why a connection was refused.
    Refusal,
}

/// Registers the metrics of these roles at zero and describes them. Metrics that have a value keep it.
pub fn register_metrics(config: &Config, roles: &[RoleName]) {
    let exported = TABLE.iter().filter(|metric| metric.roles.iter().any(|role| roles.contains(role)));
    for metric in exported {
        for labels in metric.labels.sets(config, roles) {
            match metric.kind {
                Kind::Counter => metrics::counter!(metric.name, labels).increment(0),
                Kind::Gauge => metrics::gauge!(metric.name, labels).increment(0.0),
                // It is there once something was measured: `rate()` of sums needs no zero.
                Kind::Histogram => {}
            }
        }
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
    metrics::gauge!("ssl_manager_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    for role in roles {
        metrics::gauge!("ssl_manager_role_up", "name" => role.as_str()).set(1.0);
    }
}

impl Labels {
    fn sets(self, config: &Config, roles: &[RoleName]) -> Vec<Vec<Label>> {
        let ports = || ports(roles);
        match self {
            Self::Plain => vec![Vec::new()],
            Self::Later => Vec::new(),
            Self::Of(label, values) => each(label, values.iter().copied()),
            Self::Role => each("name", roles.iter().map(|role| role.as_str())),
            Self::Version => each("version", [env!("CARGO_PKG_VERSION")]),
            Self::Issuer => each("issuer", config.acme.issuers.iter().map(|issuer| issuer.name.clone())),
            Self::Pause => pauses(config),
            Self::Reason => each("reason", Reason::CODES.into_iter().chain([WAITING])),
            Self::Status => each("status", Status::ALL.map(Status::as_str)),
            Self::Work => each("kind", WorkKind::ALL.map(WorkKind::as_str)),
            Self::WithinDays => each("within_days", ENDING_WITHIN_DAYS.map(|days| days.to_string())),
            Self::Port => each("port", ports()),
            Self::Refusal => {
                let refusal = |port| REFUSAL_REASONS.map(|reason| (port, reason));
                let pairs = ports().into_iter().flat_map(refusal);
                pairs
                    .map(|(port, reason)| vec![Label::new("port", port), Label::new("reason", reason)])
                    .collect()
            }
        }
    }
}

fn each<V: Into<metrics::SharedString>>(
    label: &'static str,
    values: impl IntoIterator<Item = V>,
) -> Vec<Vec<Label>> {
    values.into_iter().map(|value| vec![Label::new(label, value)]).collect()
}

fn pauses(config: &Config) -> Vec<Vec<Label>> {
    let whole = Outbound::ALL.map(|target| (target, String::new()));
    let issuers = config.acme.issuers.iter().map(|issuer| (Outbound::Ca, issuer.name.clone()));
    let pairs = whole.into_iter().chain(issuers);
    pairs
        .map(|(target, issuer)| vec![Label::new("target", target.as_str()), Label::new("issuer", issuer)])
        .collect()
}

/// The ports of these roles.
fn ports(roles: &[RoleName]) -> Vec<&'static str> {
    let port_of = |role: &RoleName| match role {
        RoleName::Api => Some(Listen::Api),
        RoleName::ChallengeResponder => Some(Listen::ChallengeResponder),
        RoleName::Console => Some(Listen::Console),
        RoleName::Issuer | RoleName::Scheduler | RoleName::C4Uploader | RoleName::Notifier => None,
    };
    let of_roles = roles.iter().filter_map(port_of);
    std::iter::once(Listen::Admin).chain(of_roles).map(Listen::port).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    fn rendered(roles: &[RoleName]) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        let mut config = Config::default();
        config.acme.issuers =
            vec![crate::config::AcmeIssuer { name: "one".to_owned(), ..Default::default() }];
        metrics::with_local_recorder(&recorder, || register_metrics(&config, roles));
        recorder.handle().render()
    }

    #[test]
    fn every_metric_is_listed_once_and_its_name_says_whether_it_is_a_counter() {
        let names: BTreeSet<&str> = TABLE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), TABLE.len());
        for metric in TABLE {
            let is_counter = matches!(metric.kind, Kind::Counter);
            assert_eq!(metric.name.ends_with("_total"), is_counter, "{}", metric.name);
            assert!(!metric.roles.is_empty() && !metric.help.is_empty(), "{}", metric.name);
        }
    }

    #[test]
    fn all_metrics_are_there_at_zero_with_a_help_text() {
        let shown = rendered(&RoleName::ALL);
        for metric in TABLE.iter().filter(|metric| !matches!(metric.labels, Labels::Later)) {
            assert!(shown.contains(&format!("# HELP {} ", metric.name)), "{}", metric.name);
        }
        let ones = shown.lines().filter(|line| !line.starts_with('#') && line.ends_with(" 1"));
        assert_eq!(ones.count(), 1 + RoleName::ALL.len(), "build_info and the roles: {shown}");
        for line in [
            "ssl_manager_uploads_total{result=\"failed\"} 0",
            "ssl_manager_ca_down{issuer=\"one\"} 0",
            "ssl_manager_issue_attempts_ended_total{reason=\"not_pointed\"} 0",
            "ssl_manager_connections_refused_total{port=\"admin\",reason=\"accept\"} 0",
            "ssl_manager_domains{status=\"Emergency\"} 0",
            "ssl_manager_oldest_due_seconds{kind=\"issue\"} 0",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
        }
    }

    #[test]
    fn a_role_exports_what_is_its_own() {
        let shown = rendered(&[RoleName::ChallengeResponder]);
        assert!(shown.contains("ssl_manager_challenge_requests_total{result=\"busy\"} 0"), "{shown}");
        assert!(shown.contains("port=\"challenge-responder\"") && !shown.contains("port=\"api\""), "{shown}");
        assert!(!shown.contains("ssl_manager_uploads_total"), "{shown}");
    }

    #[test]
    fn registering_again_keeps_what_was_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let roles = [RoleName::Issuer];
            register_metrics(&Config::default(), &roles);
            metrics::counter!("ssl_manager_certificates_issued_total").increment(3);
            register_metrics(&Config::default(), &roles);
        });
        assert!(recorder.handle().render().contains("ssl_manager_certificates_issued_total 3"));
    }
}

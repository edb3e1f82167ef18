//! One of each kind of reason; a new one does not compile here until it is listed.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking, and not every one needs all of it"
)]

use std::net::IpAddr;

use domain::{CaaFound, CaaRecord, EdgeBehind, EdgesBehind, Found, Outbound, Pause, Reason};

/// Which domain it is, and what the CDN has for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cdn {
    /// Below an apex, with a CNAME target.
    Below,
    /// At an apex, with addresses configured.
    ApexWithAddresses,
    /// At an apex, without.
    ApexWithout,
    /// Below an apex, where there are only addresses.
    OnlyAddresses,
}

impl Cdn {
    pub(crate) const ALL: [Self; 4] =
        [Self::Below, Self::ApexWithAddresses, Self::ApexWithout, Self::OnlyAddresses];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Below | Self::OnlyAddresses => "shop.example.com",
            Self::ApexWithAddresses | Self::ApexWithout => "coolshop.de",
        }
    }

    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Below => "below an apex",
            Self::ApexWithAddresses => "apex with addresses",
            Self::ApexWithout => "apex without addresses",
            Self::OnlyAddresses => "below an apex without a CNAME target",
        }
    }

    fn target(self) -> String {
        if self == Self::OnlyAddresses { String::new() } else { "cdn.example.net".to_owned() }
    }

    fn addresses(self) -> Vec<IpAddr> {
        match self {
            Self::Below | Self::ApexWithout => Vec::new(),
            Self::ApexWithAddresses | Self::OnlyAddresses => {
                vec!["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()]
            }
        }
    }
}

/// One of each kind, and of those with parts that may be missing one without them.
pub(crate) fn every_reason(cdn: Cdn) -> Vec<Reason> {
    let reasons = [dns(cdn), of_the_ca(), of_ours()].concat();
    for reason in &reasons {
        match reason {
            Reason::NotPointed { .. }
            | Reason::WrongAaaa { .. }
            | Reason::HttpsOff
            | Reason::PortMissing { .. }
            | Reason::CaaForbids { .. }
            | Reason::CdnCaaForbids { .. }
            | Reason::DnssecBroken { .. }
            | Reason::DnsBroken { .. }
            | Reason::ChallengeUnreachable { .. }
            | Reason::UnknownToC4
            | Reason::ChallengeInvalid { .. }
            | Reason::ChallengeFailedAtEdge { .. }
            | Reason::ChallengeUnreachableElsewhere { .. }
            | Reason::OrderRejected { .. }
            | Reason::CertificateRejected { .. }
            | Reason::IssuerRefusesUs { .. }
            | Reason::PausedByCa { .. }
            | Reason::PausedByOperator { .. }
            | Reason::RestoreGuard
            | Reason::CaLimited { .. }
            | Reason::CaDown { .. }
            | Reason::CouldNotAsk { .. }
            | Reason::NotServed { .. }
            | Reason::PastedEnds { .. }
            | Reason::PastedEnded { .. }
            | Reason::PastedLost { .. }
            | Reason::UploadFailed { .. } => {}
        }
    }
    reasons
}

/// What is wrong at the customer's: DNS, the dashboard, the way to the challenge.
fn dns(cdn: Cdn) -> Vec<Reason> {
    let text = str::to_owned;
    let address = |address: &str| address.parse::<IpAddr>().unwrap();
    let not_pointed = |found, proxy: Option<&str>| Reason::NotPointed {
        target: cdn.target(),
        addresses: cdn.addresses(),
        found,
        proxy: proxy.map(str::to_owned),
    };
    let letsencrypt = || text("letsencrypt.org");
    let caa = || CaaFound::records(vec![CaaRecord::new(0, b"issue", b"digicert.com")]);
    let told = CaaFound::Told(text("CAA record for example.com prevents issuance"));
    let name = cdn.name();
    let mut reasons = vec![not_pointed(Found::Addresses(vec![address("203.0.113.9")]), None)];
    if cdn == Cdn::Below {
        reasons.extend([
            not_pointed(Found::Name(text("shop.other.net")), None),
            not_pointed(Found::NoName, None),
            not_pointed(Found::NoRecord, None),
            not_pointed(Found::Circle, None),
            not_pointed(Found::TooLong(text("hop10.example.org")), None),
            not_pointed(Found::Addresses(vec![address("104.16.0.1")]), Some("Cloudflare")),
        ]);
    }
    reasons.extend([
        Reason::WrongAaaa {
            found: vec![address("2001:db8:2::1")],
            ours: cdn.addresses().into_iter().filter(IpAddr::is_ipv6).collect(),
        },
        Reason::HttpsOff,
        Reason::PortMissing { missing: vec![443] },
        Reason::PortMissing { missing: vec![80, 443] },
        Reason::CaaForbids { at: text("example.com"), found: caa(), wanted: letsencrypt() },
        Reason::CaaForbids { at: text("example.com"), found: told, wanted: letsencrypt() },
        Reason::CdnCaaForbids { at: text("cdn.example.net"), found: caa(), wanted: letsencrypt() },
        Reason::DnssecBroken { zone: text("example.com") },
        Reason::DnsBroken {
            zone: text("example.com"),
            nameservers: text("ns1.example.com, ns2.example.com"),
            since: Some("2026-11-30T01:00:00Z".parse().unwrap()),
        },
        Reason::DnsBroken { zone: text("example.com"), nameservers: String::new(), since: None },
        Reason::ChallengeUnreachable { found: text("203.0.113.9 answers with 403") },
        Reason::ChallengeInvalid { problem: text("unauthorized"), detail: format!("{name}: 404") },
    ]);
    reasons
}

fn of_the_ca() -> Vec<Reason> {
    let text = str::to_owned;
    let detail = || text("its own words");
    let limited = |issuer: &str, limit: &str, seconds_per_place| Reason::CaLimited {
        until: "2026-11-30T09:33:00Z".parse().unwrap(),
        issuer: text(issuer),
        limit: text(limit),
        seconds_per_place,
    };
    vec![
        Reason::ChallengeFailedAtEdge { problem: text("unauthorized"), detail: detail() },
        Reason::ChallengeUnreachableElsewhere { detail: text("during secondary validation: timeout") },
        Reason::OrderRejected { problem: text("rejectedIdentifier"), detail: detail() },
        Reason::CertificateRejected { detail: text("it is for another name") },
        Reason::IssuerRefusesUs {
            issuer: text("letsencrypt"),
            problem: text("userActionRequired"),
            detail: text("the terms changed"),
            url: text("https://ca.example/terms"),
        },
        Reason::PausedByCa { detail: detail(), url: text("https://ca.example/unpause") },
        limited("letsencrypt", "new orders per account", 36),
        limited("letsencrypt", "certificates per registered domain", 0),
        limited("letsencrypt", "", 0),
        Reason::CaDown { detail: text("letsencrypt: connection refused") },
    ]
}

fn of_ours() -> Vec<Reason> {
    let text = str::to_owned;
    let paused = |target, issuer: &str, reason: &str| Reason::PausedByOperator {
        pause: Pause {
            target,
            issuer: text(issuer),
            by: text("token:operations"),
            since: "2026-11-30T08:30:00Z".parse().unwrap(),
            reason: text(reason),
        },
    };
    vec![
        Reason::UnknownToC4,
        paused(Outbound::C4, "", "edge maintenance"),
        paused(Outbound::Ca, "letsencrypt", ""),
        paused(Outbound::Ca, "", "wrong chain, under investigation."),
        Reason::RestoreGuard,
        Reason::CouldNotAsk { detail: text("DNS: asking for A of shop.example.com: SERVFAIL") },
        Reason::NotServed {
            behind: EdgesBehind::new(
                vec![EdgeBehind { edge: text("192.0.2.10:443"), shows: text("another certificate") }],
                6,
            ),
        },
        Reason::PastedEnds { at: "2026-12-12T09:00:00Z".parse().unwrap() },
        Reason::PastedEnded { at: "2026-11-28T09:00:00Z".parse().unwrap() },
        Reason::PastedLost { at: Some("2027-02-08T09:00:00Z".parse().unwrap()) },
        Reason::PastedLost { at: None },
        Reason::UploadFailed { detail: text("503") },
    ]
}

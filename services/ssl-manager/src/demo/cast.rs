//! The sample domains: since when each is there, what the world does to it, and what must follow. Of the reasons that a
//! domain can have only one is missing: if the CA refuses *us*, it refuses every domain.

use proto::v1;

/// What the world does to a sample domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Pointed at the CDN, known to C4.
    Fine,
    /// Got certificates, then left; the last one has ended.
    Left,
    /// Has a certificate, and left before its renewal.
    Leaves,
    /// Its owner pasted a certificate that ends in days.
    PastedEnds,
    /// Its owner pasted a certificate that has ended.
    PastedEnded,
    /// The CA never finishes looking.
    NeverValidated,
    /// DNS leads elsewhere.
    PointedElsewhere,
    /// An AAAA record leads elsewhere.
    ForeignAaaa,
    /// HTTPS is off in the CDN dashboard.
    HttpOnly,
    /// CAA records permit another CA only.
    CaaForbids,
    /// No server answers on port 80.
    NoAnswer,
    /// The CA fetches something else.
    Invalid,
    /// The CA fetches it from some places only.
    FromSomePlaces,
    /// The CA offers no challenge that we can answer.
    NotOffered,
    /// The CA delivers a certificate for another key, once.
    OtherKey,
    /// The CA has paused the name.
    Paused,
    /// One of many of a registered domain, more than the CA's limit.
    OfMany,
    /// The nameservers answer SERVFAIL.
    DnsFails,
    /// C4 does not know it.
    UnknownToC4,
    /// The edges lag behind its upload.
    Lagging,
    /// The CA is down when it is added.
    CaIsDown,
    /// C4 does not take its certificate.
    Refused,
}

impl Fate {
    /// Status, and the reason's code or else what is being done.
    pub(super) fn wanted(self) -> (v1::Status, &'static str) {
        use v1::Status::{Discard, Emergency, Expired, Failure, Pending, Success};
        match self {
            Self::Fine | Self::PastedEnds => (Success, ""),
            Self::Left => (Expired, "not_pointed"),
            Self::Leaves => (Success, "not_pointed"),
            Self::PastedEnded => (Expired, "pasted_ended"),
            Self::NeverValidated => (Pending, "validating"),
            Self::PointedElsewhere => (Failure, "not_pointed"),
            Self::ForeignAaaa => (Failure, "wrong_aaaa"),
            Self::HttpOnly => (Failure, "port_missing"),
            Self::CaaForbids => (Failure, "caa_forbids"),
            Self::NoAnswer => (Failure, "challenge_unreachable"),
            Self::Invalid => (Failure, "challenge_invalid"),
            Self::FromSomePlaces => (Failure, "challenge_unreachable_elsewhere"),
            Self::NotOffered => (Failure, "order_rejected"),
            Self::OtherKey => (Failure, "certificate_rejected"),
            Self::Paused => (Pending, "paused_by_ca"),
            Self::OfMany => (Pending, "ca_limited"),
            Self::DnsFails => (Pending, "could_not_ask"),
            Self::UnknownToC4 => (Discard, "unknown_to_c4"),
            Self::Lagging => (Pending, "not_served"),
            Self::CaIsDown => (Pending, "ca_down"),
            Self::Refused => (Emergency, "upload_failed"),
        }
    }

    /// Whether the world has to be in a state for it that would hit others too, so that it comes alone and last.
    pub(super) fn comes_alone(self) -> bool {
        matches!(self, Self::OtherKey | Self::Lagging | Self::CaIsDown)
    }
}

/// A sample domain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) fate: Fate,
    /// Days ago, one of [`ACTS`].
    pub(super) since: i64,
}

/// So many days ago the domains are added. A certificate of 90 days is renewed 85 days later, so that each group has its
/// next act before its certificates end.
pub(super) const ACTS: [i64; 9] = [340, 295, 255, 210, 170, 125, 85, 40, 0];

const fn sample(since: i64, fate: Fate, name: &'static str) -> Sample {
    Sample { name, fate, since }
}

pub(super) const CAST: [Sample; 60] = [
    sample(340, Fate::Fine, "shop.example.com"),
    sample(340, Fate::Fine, "www.example.org"),
    sample(340, Fate::Fine, "xn--bcher-kva.example"),
    sample(340, Fate::Leaves, "wiki.brightwater.example"),
    sample(295, Fate::Fine, "www.harbour-books.example"),
    sample(295, Fate::Fine, "static.harbour-books.example"),
    sample(255, Fate::Fine, "img.kopitiam.example"),
    sample(255, Fate::Fine, "order.kopitiam.example"),
    sample(210, Fate::Left, "left.example.com"),
    sample(210, Fate::Fine, "media.northlight.example"),
    sample(170, Fate::Fine, "www.northlight.example"),
    sample(170, Fate::Fine, "docs.ferrous.example"),
    sample(125, Fate::Fine, "status.ferrous.example"),
    sample(125, Fate::Fine, "cdn.lumen-audio.example"),
    sample(85, Fate::Fine, "www.lumen-audio.example"),
    sample(85, Fate::Fine, "play.tinygames.example"),
    sample(85, Fate::PastedEnded, "bank.example.org"),
    sample(40, Fate::PastedEnds, "pay.example.org"),
    sample(40, Fate::Fine, "assets.tinygames.example"),
    sample(40, Fate::Fine, "www.orchid-travel.example"),
    sample(40, Fate::Fine, "api.orchid-travel.example"),
    sample(40, Fate::Fine, "www.meridian-law.example"),
    sample(40, Fate::Fine, "files.meridian-law.example"),
    sample(40, Fate::Fine, "www.saltmarsh.example"),
    sample(40, Fate::Fine, "video.saltmarsh.example"),
    sample(40, Fate::Fine, "www.quillpress.example"),
    sample(40, Fate::Fine, "press.quillpress.example"),
    sample(40, Fate::PointedElsewhere, "elsewhere.example.com"),
    sample(40, Fate::HttpOnly, "plain.example.com"),
    // A query without an answer is repeated before it counts.
    sample(40, Fate::NoAnswer, "www.firewalled.example"),
    sample(0, Fate::Fine, "www.redwood-tools.example"),
    sample(0, Fate::Fine, "spare.redwood-tools.example"),
    sample(0, Fate::Fine, "www.gullwing.example"),
    sample(0, Fate::Fine, "tickets.gullwing.example"),
    sample(0, Fate::Fine, "www.papaya-eats.example"),
    sample(0, Fate::Fine, "img.papaya-eats.example"),
    sample(0, Fate::Fine, "www.stonebridge.example"),
    sample(0, Fate::Fine, "learn.stonebridge.example"),
    sample(0, Fate::Fine, "m.stonebridge.example"),
    sample(0, Fate::NeverValidated, "www.slowpoke.example"),
    sample(0, Fate::ForeignAaaa, "www.half-moved.example"),
    sample(0, Fate::CaaForbids, "www.strict-caa.example"),
    sample(0, Fate::Invalid, "www.old-redirect.example"),
    sample(0, Fate::FromSomePlaces, "www.geo-blocked.example"),
    sample(0, Fate::NotOffered, "www.not-offered.example"),
    sample(0, Fate::Paused, "www.paused.example"),
    sample(0, Fate::DnsFails, "www.broken-dns.example"),
    sample(0, Fate::UnknownToC4, "unknown.example.com"),
    sample(0, Fate::Refused, "refused.example.com"),
    sample(0, Fate::OfMany, "a.big-customer.example"),
    sample(0, Fate::OfMany, "b.big-customer.example"),
    sample(0, Fate::OfMany, "c.big-customer.example"),
    sample(0, Fate::OfMany, "d.big-customer.example"),
    sample(0, Fate::OfMany, "e.big-customer.example"),
    sample(0, Fate::OfMany, "f.big-customer.example"),
    sample(0, Fate::OfMany, "g.big-customer.example"),
    sample(0, Fate::OfMany, "h.big-customer.example"),
    sample(0, Fate::OtherKey, "www.wrong-key.example"),
    sample(0, Fate::Lagging, "www.slow-edge.example"),
    sample(0, Fate::CaIsDown, "www.in-an-outage.example"),
];

/// For how many names of one registered domain orders are placed in a week: the first of many get theirs, the others wait.
pub(super) const PER_REGISTERED_DOMAIN: u32 = 3;

/// A sample domain as it is now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) fate: Fate,
    pub(super) domain: Option<v1::Domain>,
    /// SHA-256 of the leaf that a TLS handshake with the edge shows.
    pub(super) served: Option<String>,
}

impl Row {
    /// Whether it is where it should be, and the edge shows what it should.
    pub(super) fn has_settled(&self) -> bool {
        let Some(domain) = &self.domain else { return false };
        let (status, why) = self.fate.wanted();
        let is_there = domain.status() == status && (self.why() == why || why.is_empty());
        match self.fate {
            Fate::OfMany => is_there || domain.status() == v1::Status::Success,
            Fate::Fine => {
                is_there && domain.certificate.as_ref().map(|live| &live.sha256) == self.served.as_ref()
            }
            _ => is_there,
        }
    }

    pub(super) fn status(&self) -> v1::Status {
        self.domain.as_ref().map(v1::Domain::status).unwrap_or_default()
    }

    /// What stands in the way, or else what is being done.
    pub(super) fn why(&self) -> &str {
        match &self.domain {
            None => "not added yet",
            Some(domain) => domain.reason.as_ref().map_or(&domain.activity, |reason| &reason.code),
        }
    }
}

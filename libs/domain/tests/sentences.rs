//! Every sentence about a domain: each reason in each status in which it can be shown, for a domain below and at an apex,
//! with and without addresses to set there, over a valid certificate, an ended one and none.
//!
//! `docs/SENTENCES.md` shows them to people; this test compares it, and writes it with `make docs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod every_reason;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use domain::sentence::{Done, Medium, NamedZone, Reader, ServedCertificate, Situation};
use domain::{
    Activity, CertificateId, Domain, DomainName, Facts, HttpsSwitch, Live, Reason, Source, Status, Trust,
};
use every_reason::{Cdn, every_reason};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Set, it has the file written instead of compared.
const WRITE: &str = "WRITE_SENTENCES";
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/SENTENCES.md");
const HEAD: &str = "\
# Sentences

Written by `make docs` from `libs/domain/src/sentence`: change that, not this file. It shows what people read about a domain,
for each reason in each status in which it can be shown. It is 30 Nov 2026, 17:00 in Singapore. The page names its time zone
once; a terminal names it with each time, and the message for the customer stands alone in an e-mail. NAME is the domain.

";

fn now() -> Timestamp {
    "2026-11-30T09:00:00Z".parse().unwrap()
}

fn zone() -> NamedZone {
    NamedZone { rules: TimeZone::get("Asia/Singapore").unwrap(), label: "Singapore".to_owned() }
}

fn reader(medium: Medium) -> Reader {
    Reader { medium, zone: zone(), now: now() }
}

/// What C4 serves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Serving {
    Nothing,
    Valid,
    Ended,
}

impl Serving {
    const ALL: [Self; 3] = [Self::Nothing, Self::Valid, Self::Ended];

    fn not_after(self) -> Option<Timestamp> {
        let day = SignedDuration::from_hours(24);
        match self {
            Self::Nothing => None,
            Self::Valid => Some(now() + day * 12),
            Self::Ended => Some(now() - day * 2),
        }
    }
}

/// How a reason is held.
#[derive(Clone, Copy)]
enum Place {
    Block,
    Waiting,
    UploadFailing,
    UnknownToC4,
    HttpsOff,
    /// It follows from the end of what was pasted.
    Derived,
}

/// Where the transitions put a reason.
fn places(reason: &Reason) -> &'static [Place] {
    match reason {
        Reason::HttpsOff => &[Place::HttpsOff],
        Reason::UnknownToC4 => &[Place::UnknownToC4, Place::Waiting],
        Reason::UploadFailed { .. } => &[Place::UploadFailing],
        Reason::NotServed { .. } => &[Place::UploadFailing, Place::Waiting],
        Reason::PastedEnded { .. } => &[Place::Derived],
        Reason::PastedEnds { .. }
        | Reason::PastedLost { .. }
        | Reason::IssuerRefusesUs { .. }
        | Reason::PausedByCa { .. }
        | Reason::PausedByOperator { .. }
        | Reason::CaLimited { .. }
        | Reason::CaDown { .. }
        | Reason::CouldNotAsk { .. } => &[Place::Waiting],
        _ => &[Place::Block],
    }
}

fn is_pasted(reason: &Reason) -> bool {
    matches!(reason, Reason::PastedEnds { .. } | Reason::PastedEnded { .. } | Reason::PastedLost { .. })
}

/// A domain that holds the reason there, if it is then the one that is shown.
fn situation(name: &str, reason: &Reason, place: Place, serving: Serving) -> Option<Situation> {
    let certificate = CertificateId::from(uuid::Uuid::nil());
    let held = || Some(reason.clone());
    let mut domain = Domain::added(DomainName::parse(name).unwrap(), now());
    domain.source = if is_pasted(reason) { Source::Text } else { Source::C4 };
    let mut facts = Facts {
        live: serving.not_after().map(|not_after| Live { certificate, not_after }),
        ..Facts::default()
    };
    domain.activity = Activity::Retrying;
    match place {
        Place::Block => facts.block = held(),
        Place::Waiting => domain.waiting = held(),
        Place::UploadFailing => facts.upload_failing = held(),
        Place::HttpsOff => facts.https = HttpsSwitch::Off,
        Place::UnknownToC4 => facts.unknown_to_c4 = true,
        Place::Derived => {}
    }
    domain = domain.with_stored_facts(facts);
    domain.activity = match reason {
        Reason::CaLimited { .. } => Activity::WaitingForBudget,
        reason if is_pasted(reason) => Activity::Idle,
        _ => Activity::Retrying,
    };
    domain.recorded = domain.status(now());
    let shown = domain.reason().filter(|shown| shown.code() == reason.code())?;
    // The scheduler waits for the end of a pasted certificate while it is valid, and C4 is doubted only over a valid one.
    let is_reminder = matches!(reason, Reason::PastedEnds { .. });
    let is_doubt = matches!((reason, place), (Reason::UnknownToC4, Place::Waiting));
    if (is_reminder || is_doubt) && serving != Serving::Valid {
        return None;
    }
    let next = if is_pasted(reason) { None } else { Some(now() + SignedDuration::from_mins(33)) };
    Some(Situation {
        renewal_blocked: domain.is_renewal_blocked(now()),
        status: domain.recorded,
        source: domain.source,
        reason: Some(shown),
        served: served(serving, domain.source, (domain.source == Source::Text).then_some(Trust::Public)),
        activity: domain.activity,
        since: Some(now()),
        next,
        failed_attempts: 3,
        name: domain.name,
    })
}

fn served(serving: Serving, source: Source, trust: Option<Trust>) -> Option<ServedCertificate> {
    let not_after = serving.not_after()?;
    Some(ServedCertificate { not_after, source, issuer: "C=US, O=Let's Encrypt, CN=R12".to_owned(), trust })
}

/// What is read: by the support team on the page, in a row of its list and in a terminal, and by the customer.
#[derive(Clone)]
struct Texts {
    staff: Staff,
    customer: String,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Staff {
    page: String,
    row: String,
    terminal: String,
}

impl Texts {
    /// With NAME for the domain's name.
    fn of(situation: &Situation) -> Self {
        let page = reader(Medium::Page);
        let texts = Self {
            staff: Staff {
                page: situation.verdict(&page),
                row: situation.in_short(&page),
                terminal: situation.verdict(&reader(Medium::Terminal)),
            },
            customer: situation.letter(&zone(), now()).unwrap_or_default(),
        };
        assert_honest(situation, &texts);
        let name = situation.name.as_str();
        let Staff { page, row, terminal } = texts.staff;
        let [page, row, terminal] = [page, row, terminal].map(|text| text.replace(name, "NAME"));
        Self { staff: Staff { page, row, terminal }, customer: texts.customer.replace(name, "NAME") }
    }
}

impl Staff {
    fn write(&self, text: &mut String) {
        writeln!(text, "- Page: {}", self.page).unwrap();
        writeln!(text, "- In the list: {}", self.row).unwrap();
        writeln!(text, "- Terminal: {}", self.terminal).unwrap();
    }
}

/// What no sentence may say, whatever the facts.
fn assert_honest(situation: &Situation, texts: &Texts) {
    let Texts { staff: Staff { page, row, terminal }, customer } = texts;
    let all = [page, row, terminal, customer];
    let is_apex = situation.name.is_apex();
    let serves = situation.served.as_ref().is_some_and(|served| now() < served.not_after);
    for text in all {
        let is_rfc3339 =
            |part: &[u8]| part[..4].iter().all(u8::is_ascii_digit) && part[4] == b'-' && part[10] == b'T';
        assert!(!text.as_bytes().windows(11).any(is_rfc3339), "RFC 3339 in {text}");
        assert!(!text.contains("  ") && !text.contains("..") && !text.contains('{'), "{text}");
        assert!(!(is_apex && text.contains("as CNAME")), "a CNAME at an apex: {text}");
        assert!(!text.contains("CNAME to 192.0.2.10"), "a CNAME to an address: {text}");
        assert!(!text.contains("HTTPS works") || serves, "nothing is served: {text}");
        assert!(!text.contains("present certificate works") || serves, "nothing is served: {text}");
        assert!(!text.contains("remove the CAA"), "{text}");
    }
    let is_quick = matches!(situation.activity, Activity::Validating | Activity::Uploading);
    assert!(!page.contains("under a minute") || is_quick, "{page}");
    if let Some(reason) = &situation.reason {
        assert!(!reason.message(&situation.name).is_empty() && !customer.is_empty(), "{}", reason.code());
        let is_theirs = reason.who() == Some(domain::Who::Customer) || *reason == Reason::UnknownToC4;
        assert!(is_theirs || customer.contains("Nothing is needed from you"), "{customer}");
    }
    assert!(page.ends_with('.') && (customer.is_empty() || customer.ends_with('.')), "{page} {customer}");
}

/// Domains over certificates for which a text is the same.
type Variants = Vec<(Cdn, Serving)>;
/// A reason's code, who must act, and the reason as each domain has it.
type OfCode = (&'static str, &'static str, Vec<(Cdn, Reason)>);

/// Which domains over which certificates a text is for.
fn in_words(variants: &[(Cdn, Serving)]) -> String {
    let served = |serving: &Serving| match serving {
        Serving::Nothing => "no certificate",
        Serving::Valid => "a valid certificate",
        Serving::Ended => "an ended certificate",
    };
    let cdns: Vec<&str> = Cdn::ALL
        .iter()
        .filter(|cdn| variants.iter().any(|(of, _)| of == *cdn))
        .map(|cdn| cdn.in_words())
        .collect();
    let serving = Serving::ALL.iter().filter(|serving| variants.iter().any(|(_, of)| of == *serving));
    let serving = serving.map(served).collect::<Vec<_>>().join(" or ");
    if cdns.len() == Cdn::ALL.len() { serving } else { format!("{serving}, {}", cdns.join(" or ")) }
}

/// The section of a reason: one paragraph per status, and per text that differs in it.
fn section(text: &mut String, code: &str, who: &str, reasons: &[(Cdn, Reason)]) -> Vec<Status> {
    writeln!(text, "## {code}\n\nMust act: {who}.\n").unwrap();
    let mut shown: BTreeMap<(Status, Staff), BTreeMap<String, Variants>> = BTreeMap::new();
    for (cdn, reason) in reasons {
        for place in places(reason) {
            for serving in Serving::ALL {
                let Some(situation) = situation(cdn.name(), reason, *place, serving) else { continue };
                let Texts { staff, customer } = Texts::of(&situation);
                let customers = shown.entry((situation.status, staff)).or_default();
                customers.entry(customer).or_default().push((*cdn, serving));
            }
        }
    }
    let mut statuses = Vec::new();
    for ((status, staff), customers) in shown {
        writeln!(text, "### {status}\n").unwrap();
        staff.write(text);
        for (customer, variants) in customers {
            writeln!(text, "- Customer ({}): {customer}", in_words(&variants)).unwrap();
        }
        writeln!(text).unwrap();
        statuses.push(status);
    }
    let never: Vec<&str> = Status::ALL
        .iter()
        .filter(|status| !statuses.contains(status))
        .map(|status| status.as_str())
        .collect();
    writeln!(text, "Not shown in: {}.\n", never.join(", ")).unwrap();
    statuses
}

/// A domain for which no reason is shown.
fn without_reason(status: Status, activity: Activity) -> Situation {
    let serving = match status {
        Status::Success => Serving::Valid,
        Status::Expired => Serving::Ended,
        _ => Serving::Nothing,
    };
    Situation {
        name: DomainName::parse("shop.example.com").unwrap(),
        status,
        source: Source::C4,
        reason: None,
        renewal_blocked: false,
        served: served(serving, Source::C4, None),
        activity,
        since: Some(now() - SignedDuration::from_secs(30)),
        next: Some(now()),
        failed_attempts: 0,
    }
}

fn activities(text: &mut String) {
    writeln!(text, "## Without a reason\n\nThe page, where nothing is served yet:\n").unwrap();
    writeln!(text, "| activity | at first | after two minutes | where the next attempt is later |").unwrap();
    writeln!(text, "|---|---|---|---|").unwrap();
    for activity in Activity::ALL {
        let mut row = format!("| {activity} |");
        for status in [Status::Pending, Status::Success, Status::Expired] {
            let begun = without_reason(status, activity);
            let slow = Situation { since: Some(now() - SignedDuration::from_mins(3)), ..begun.clone() };
            let later = Situation { next: Some(now() + SignedDuration::from_mins(33)), ..begun.clone() };
            for situation in [begun, slow, later] {
                let Texts { staff, customer } = Texts::of(&situation);
                assert!(customer.is_empty(), "there is nothing to tell: {customer}");
                if status == Status::Pending {
                    write!(row, " {} |", staff.page).unwrap();
                }
            }
        }
        writeln!(text, "{row}").unwrap();
    }
    writeln!(text, "\nWhere a certificate is served or has ended, that comes first:\n").unwrap();
    for (status, activity) in [
        (Status::Success, Activity::Idle),
        (Status::Success, Activity::Validating),
        (Status::Expired, Activity::Validating),
    ] {
        let mut situation = without_reason(status, activity);
        if activity == Activity::Idle {
            situation.next = Some(now() + SignedDuration::from_hours(5 * 24));
        }
        writeln!(text, "### {status}, {activity}\n").unwrap();
        Texts::of(&situation).staff.write(text);
        writeln!(text).unwrap();
    }
}

fn pasted(text: &mut String) {
    writeln!(text, "## Pasted certificates\n").unwrap();
    for (trust, in_words) in [
        (Trust::Public, "trusted by browsers"),
        (Trust::Private, "of a private issuer"),
        (Trust::IntermediateMissing, "without its intermediate"),
    ] {
        let situation = Situation {
            source: Source::Text,
            served: served(Serving::Valid, Source::Text, Some(trust)),
            next: None,
            ..without_reason(Status::Success, Activity::Idle)
        };
        let Texts { staff, customer } = Texts::of(&situation);
        assert_eq!(staff.page.contains("HTTPS works"), trust == Trust::Public, "{}", staff.page);
        assert_eq!(customer.is_empty(), trust == Trust::Public, "{customer}");
        writeln!(text, "### Success, {in_words}\n").unwrap();
        staff.write(text);
        let customer = if customer.is_empty() { "(nothing is sent)" } else { &customer };
        writeln!(text, "- Customer: {customer}\n").unwrap();
    }
}

fn done(text: &mut String) {
    writeln!(text, "## What was done\n").unwrap();
    for done in Done::ALL {
        writeln!(text, "- {}: {}", done.as_str(), done.sentence()).unwrap();
        assert_eq!(Done::of(done.as_str()), Some(*done));
    }
}

fn sentences() -> String {
    let mut text = HEAD.to_owned();
    let mut by_code: Vec<OfCode> = Vec::new();
    for cdn in Cdn::ALL {
        for reason in every_reason(cdn) {
            let code = reason.code();
            match by_code.iter_mut().find(|(known, _, _)| *known == code) {
                Some((_, _, reasons)) => reasons.push((cdn, reason)),
                None => by_code.push((
                    code,
                    reason.who().map_or("nobody", domain::Who::as_str),
                    vec![(cdn, reason)],
                )),
            }
        }
    }
    for (code, who, reasons) in &by_code {
        let statuses = section(&mut text, code, who, reasons);
        assert!(!statuses.is_empty(), "{code} is never shown");
    }
    activities(&mut text);
    pasted(&mut text);
    done(&mut text);
    text
}

#[test]
fn the_table_of_sentences_is_what_people_read() {
    let text = sentences();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(FILE, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(FILE).unwrap();
    for (line, (is, should_be)) in kept.lines().zip(text.lines()).enumerate() {
        assert_eq!(is, should_be, "docs/SENTENCES.md, line {}: run `make docs`", line + 1);
    }
    assert_eq!(kept.len(), text.len(), "docs/SENTENCES.md: run `make docs`");
}

#[test]
fn what_waits_is_told_its_place_and_what_is_late_is_told_as_such() {
    let until = now() + SignedDuration::from_mins(33);
    let reason = Reason::CaLimited {
        until,
        issuer: "letsencrypt".to_owned(),
        limit: "new orders per account".to_owned(),
        seconds_per_place: 180,
    };
    let queued = Situation {
        reason: Some(reason),
        next: Some(until),
        ..without_reason(Status::Pending, Activity::WaitingForBudget)
    };
    let page = reader(Medium::Page);
    let limit = "Limit: new orders per account, at letsencrypt.";
    assert_eq!(queued.verdict(&page), format!("DNS is right. Queued, place 11, about 17:33. {limit}"));
    let later = Reader { now: until - SignedDuration::from_secs(1), ..page.clone() };
    assert_eq!(queued.verdict(&later), format!("DNS is right. Queued, place 1, about 17:33. {limit}"));
    let turn = Reader { now: until, ..page.clone() };
    assert!(queued.verdict(&turn).starts_with("DNS is right. Queued; it is next."));

    let mut validating = without_reason(Status::Pending, Activity::Validating);
    assert_eq!(validating.verdict(&page), "The CA is validating. Usually under a minute.");
    validating.since = Some(now() - SignedDuration::from_secs(121));
    assert_eq!(validating.verdict(&page), "The CA is validating. It takes longer than usual.");
    validating.activity = Activity::Preflight;
    validating.since = Some(now());
    assert_eq!(validating.verdict(&page), "Checking DNS and the challenge path.");
}

#[test]
fn an_emergency_says_which_try_it_was_and_what_still_serves() {
    let emergency = |failed_attempts, next: Option<Timestamp>, serving| {
        let situation = Situation {
            failed_attempts,
            next,
            served: served(serving, Source::C4, None),
            reason: Some(Reason::UploadFailed { detail: "503".to_owned() }),
            ..without_reason(Status::Emergency, Activity::Retrying)
        };
        situation.verdict(&reader(Medium::Page))
    };
    let next = Some(now() + SignedDuration::from_mins(33));
    assert_eq!(
        emergency(7, next, Serving::Valid),
        "Issued, but C4 did not take it. Try 7, next 17:33. The last certificate that C4 took works until 12 Dec 2026."
    );
    assert_eq!(
        emergency(0, next, Serving::Nothing),
        "Issued, but C4 did not take it. Next try 17:33. HTTPS does not work yet."
    );
    assert!(
        emergency(7, None, Serving::Ended).contains("ended on 28 Nov 2026: browsers show a warning now.")
    );
}

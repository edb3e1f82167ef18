//! Who may issue, by a nameserver that can answer anything.

use std::time::Duration;

use crate::kit::{self, Fails, Nameserver, Reply};
use dns::{Applicant, Caa, CouldNotAsk, Nameservers, Resolver, Targets};
use domain::{CaaFound, CaaRecord, DomainName};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::NULL;
use hickory_resolver::proto::rr::{RData, Record, RecordType};

const NAME: &str = "shop.example.com";
const PARENT: &str = "example.com";
const ACCOUNT: &str = "https://acme.ca.example/acct/7";
const OURS: (u8, &str, &str) = (0, "issue", "ca.example");
const FOREIGN: (u8, &str, &str) = (0, "issue", "other.example");

/// In wire form, so that records can be made that no library would make.
fn raw(name: &str, wire: Vec<u8>) -> Record {
    let data = RData::Unknown { code: RecordType::CAA, rdata: NULL::with(wire) };
    kit::record(name, data)
}

fn record(name: &str, (flags, tag, value): (u8, &str, &str)) -> Record {
    let mut wire = vec![flags, u8::try_from(tag.len()).unwrap()];
    wire.extend_from_slice(tag.as_bytes());
    wire.extend_from_slice(value.as_bytes());
    raw(name, wire)
}

fn set(server: &Nameserver, name: &str, properties: &[(u8, &str, &str)]) {
    let records = properties.iter().map(|property| record(name, *property)).collect();
    server.set(name, RecordType::CAA, Reply::Records(records));
}

/// Where the CDN is.
const CDN: &str = "cdn.example.net";

async fn ask(server: &Nameserver, account_url: Option<&str>) -> Result<Caa, CouldNotAsk> {
    let targets = Targets { cname_targets: vec![CDN.to_owned()], addresses: Vec::new() };
    let resolver = Resolver::with_timing(&[server.address], Duration::from_millis(300), 2).unwrap();
    let applicant = Applicant {
        identities: &["CA.example".to_owned(), "ca.example.org".to_owned()],
        method: "http-01",
        account_url,
    };
    let name = DomainName::parse(NAME).unwrap();
    tokio::time::timeout(Duration::from_secs(20), resolver.caa(&name, &applicant, &targets)).await.unwrap()
}

async fn caa(server: &Nameserver) -> Caa {
    ask(server, Some(ACCOUNT)).await.unwrap()
}

async fn unanswered(server: &Nameserver) -> String {
    match ask(server, Some(ACCOUNT)).await {
        Err(CouldNotAsk { detail, .. }) => detail,
        Ok(caa) => panic!("{caa:?}"),
    }
}

fn forbids(at: &str, found: &str) -> Caa {
    Caa::Forbids { at: at.to_owned(), found: records(found), at_target: false }
}

/// Records without flags, as they are written in a sentence.
fn records(text: &str) -> CaaFound {
    let records = text.split(", ").map(|record| {
        let (tag, value) = record.split_once(" \"").unwrap();
        let value = value.strip_suffix('"').unwrap();
        CaaRecord { flags: 0, tag: tag.to_owned(), value: value.to_owned() }
    });
    CaaFound::records(records.collect())
}

/// A record that is refused for its flags.
fn forbids_unknown(flags: u8, tag: &str, value: &str) -> Caa {
    let record = CaaRecord { flags, tag: tag.to_owned(), value: value.to_owned() };
    Caa::Forbids { at: NAME.to_owned(), found: CaaFound::records(vec![record]), at_target: false }
}

#[tokio::test]
async fn no_records_up_to_the_top_level_permit() {
    let server = Nameserver::start().await;
    assert_eq!(caa(&server).await, Caa::Permits, "no name exists");
    server.addresses(NAME, &["198.51.100.7"]);
    server.addresses("com", &["198.51.100.7"]);
    assert_eq!(caa(&server).await, Caa::Permits, "names without CAA records");
    assert_eq!(server.times_asked("com", RecordType::CAA), 2, "the top level counts");
    assert_eq!(server.times_asked("", RecordType::CAA), 0, "the root does not");
}

#[tokio::test]
async fn the_records_of_the_name_decide() {
    for (properties, forbidden) in [
        (vec![OURS], None),
        (vec![(0, "issue", "ca.example.org")], None),
        (vec![(0, "ISSUE", "Ca.EXAMPLE")], None),
        (vec![(0, "issue", " ca.example ; ")], None),
        (vec![(0, "issue", "ca.example; policy=ev")], None),
        (vec![FOREIGN, OURS], None),
        (vec![(0, "issue", ";"), OURS], None),
        (vec![FOREIGN], Some(r#"issue "other.example""#)),
        (vec![(0, "IsSuE", "other.example")], Some(r#"IsSuE "other.example""#)),
        (vec![(0, "issue", ";")], Some(r#"issue ";""#)),
        (vec![(0, "issue", "")], Some(r#"issue """#)),
        (vec![(0, "issue", "www.ca.example")], Some(r#"issue "www.ca.example""#)),
        (
            vec![(0, "iodef", "mailto:a@b.example"), FOREIGN, (0, "issue", ";")],
            Some(r#"issue "other.example", issue ";""#),
        ),
    ] {
        let server = Nameserver::start().await;
        set(&server, NAME, &properties);
        let expected = forbidden.map_or(Caa::Permits, |found| forbids(NAME, found));
        assert_eq!(caa(&server).await, expected, "{properties:?}");
    }
}

#[tokio::test]
async fn a_malformed_value_names_nobody_and_hides_nobody() {
    let server = Nameserver::start().await;
    for value in ["%%%%%", "ca.example policy=ev", "ca.example; policy", "ca.example."] {
        let malformed = (0, "issue", value);
        set(&server, NAME, &[malformed]);
        let expected = forbids(NAME, &format!("issue \"{value}\""));
        assert_eq!(caa(&server).await, expected);
        set(&server, NAME, &[malformed, OURS]);
        assert_eq!(caa(&server).await, Caa::Permits, "{value}");
    }
    let bytes = [&[0, 5], b"issue".as_slice(), &[0xff, 0, b'\n', b'"']].concat();
    server.set(NAME, RecordType::CAA, Reply::Records(vec![raw(NAME, bytes)]));
    assert_eq!(caa(&server).await, forbids(NAME, r#"issue "\xff\x00\n\"""#));
}

#[tokio::test]
async fn a_set_that_restricts_no_issue_permits_and_ends_the_climb() {
    for property in [
        (0, "issuewild", ";"),
        (128, "issuewild", "other.example"),
        (0, "iodef", "mailto:security@example.com"),
        (128, "IOdef", "mailto:security@example.com"),
        (128, "issuemail", ";"),
        (0, "tbs", "Unknown"),
        (127, "tbs", "the other bits are ignored"),
    ] {
        let server = Nameserver::start().await;
        set(&server, NAME, &[property]);
        set(&server, PARENT, &[FOREIGN]);
        assert_eq!(caa(&server).await, Caa::Permits, "{property:?}");
    }
}

#[tokio::test]
async fn a_critical_property_that_is_not_known_forbids() {
    let server = Nameserver::start().await;
    for flags in [128, 129, 255] {
        set(&server, NAME, &[OURS, (flags, "tbs", "Unknown")]);
        assert_eq!(caa(&server).await, forbids_unknown(flags, "tbs", "Unknown"));
    }
    set(&server, NAME, &[(128, "issue", "ca.example")]);
    assert_eq!(caa(&server).await, Caa::Permits, "critical, and well understood");
}

#[tokio::test]
async fn the_first_set_on_the_way_up_decides() {
    let server = Nameserver::start().await;
    set(&server, "com", &[FOREIGN]);
    assert_eq!(caa(&server).await, forbids("com", r#"issue "other.example""#));
    set(&server, PARENT, &[(0, "issue", ";")]);
    assert_eq!(caa(&server).await, forbids(PARENT, r#"issue ";""#));
    set(&server, NAME, &[OURS]);
    assert_eq!(caa(&server).await, Caa::Permits);
    set(&server, PARENT, &[OURS]);
    set(&server, NAME, &[FOREIGN]);
    assert_eq!(caa(&server).await, forbids(NAME, r#"issue "other.example""#));
}

#[tokio::test]
async fn an_alias_has_the_set_of_its_target() {
    let server = Nameserver::start().await;
    set(&server, PARENT, &[OURS]);
    server.cname(NAME, "a.example.net").cname("a.example.net", "b.Example.org");
    set(&server, "b.example.org", &[FOREIGN]);
    let expected = forbids("b.example.org", r#"issue "other.example""#);
    assert_eq!(caa(&server).await, expected);
    set(&server, "b.example.org", &[OURS]);
    set(&server, PARENT, &[FOREIGN]);
    assert_eq!(caa(&server).await, Caa::Permits);
}

#[tokio::test]
async fn an_alias_without_a_set_has_that_of_its_own_parents() {
    let server = Nameserver::start().await;
    server.cname(NAME, "b.example.org").addresses("b.example.org", &["198.51.100.7"]);
    set(&server, "example.org", &[OURS]);
    set(&server, PARENT, &[FOREIGN]);
    let expected = forbids(PARENT, r#"issue "other.example""#);
    assert_eq!(caa(&server).await, expected);
    server.cname(NAME, "nowhere.example.org");
    assert_eq!(caa(&server).await, expected, "the target does not exist");
    set(&server, "example.org", &[FOREIGN]);
    set(&server, PARENT, &[OURS]);
    assert_eq!(caa(&server).await, Caa::Permits);
}

#[tokio::test]
async fn a_parent_may_be_an_alias_too() {
    let server = Nameserver::start().await;
    server.cname(PARENT, "b.example.org");
    set(&server, "b.example.org", &[FOREIGN]);
    let expected = forbids("b.example.org", r#"issue "other.example""#);
    assert_eq!(caa(&server).await, expected);
}

/// As recursive nameservers answer: the chain and what stands at its end, or only the chain.
#[tokio::test]
async fn an_answer_may_hold_the_chain() {
    let server = Nameserver::start().await;
    let chain = || vec![kit::cname(NAME, "a.example.net"), kit::cname("a.example.net", "b.example.org")];
    let whole = [chain(), vec![record("b.example.org", FOREIGN)]].concat();
    let expected = forbids("b.example.org", r#"issue "other.example""#);
    set(&server, PARENT, &[OURS]);
    server.set(NAME, RecordType::CAA, Reply::Records(whole.clone()));
    assert_eq!(caa(&server).await, expected, "only the CAA question shows the chain");
    server.set(NAME, RecordType::CAA, Reply::Records(chain()));
    assert_eq!(caa(&server).await, Caa::Permits, "nothing at the end");
    set(&server, "b.example.org", &[FOREIGN]);
    assert_eq!(caa(&server).await, expected, "the end has to be asked for");
    server.cname("a.example.net", "b.example.org").set(NAME, RecordType::CNAME, Reply::Records(whole));
    assert_eq!(caa(&server).await, expected, "more than what was asked for");
}

#[tokio::test]
async fn records_that_do_not_belong_to_the_question_do_not_count() {
    let server = Nameserver::start().await;
    let stray = vec![record(PARENT, FOREIGN), record(NAME, OURS)];
    server.set(NAME, RecordType::CAA, Reply::Records(stray));
    assert_eq!(caa(&server).await, Caa::Permits);
    let stray = vec![record("other.example.net", OURS), record(NAME, FOREIGN)];
    server.set(NAME, RecordType::CAA, Reply::Records(stray));
    assert_eq!(caa(&server).await, forbids(NAME, r#"issue "other.example""#));
}

#[tokio::test]
async fn circles_and_long_chains_are_no_answer() {
    let server = Nameserver::start().await;
    server.cname(NAME, "a.example.org").cname("a.example.org", "b.example.org").cname("b.example.org", NAME);
    assert!(unanswered(&server).await.contains("circle"));
    server.cname(NAME, NAME);
    assert!(unanswered(&server).await.contains("circle"));

    let server = Nameserver::start().await;
    let circle =
        vec![kit::cname(NAME, "a.example.org"), kit::cname("a.example.org", NAME), record(NAME, OURS)];
    server.set(NAME, RecordType::CAA, Reply::Records(circle));
    assert!(unanswered(&server).await.contains("circle"), "within an answer");

    server.cname(NAME, "hop0.example.org");
    for hop in 0..50 {
        server.cname(&format!("hop{hop}.example.org"), &format!("hop{}.example.org", hop + 1));
    }
    assert!(unanswered(&server).await.contains("too many CNAME records"));
    assert_eq!(server.times_asked("hop11.example.org", RecordType::CNAME), 0);
}

#[tokio::test]
async fn a_nameserver_that_fails_neither_permits_nor_forbids() {
    for (reply, expected) in [
        (Reply::Code(ResponseCode::ServFail), "SERVFAIL"),
        (Reply::Code(ResponseCode::Refused), "REFUSED"),
        (Reply::Code(ResponseCode::NotImp), "response code 4"),
        (Reply::Silence, "no answer in time"),
        (Reply::Raw(vec![0xff; 40]), ""),
        (Reply::Cut, ""),
    ] {
        for at in [NAME, PARENT, "com"] {
            let server = Nameserver::start().await;
            server.set(at, RecordType::CAA, reply.clone());
            let detail = unanswered(&server).await;
            assert!(detail.contains(&format!("CAA of {at}:")) && detail.contains(expected), "{detail}");
            // A CA does not ask for a CNAME record alone.
            server.set(at, RecordType::CAA, Reply::Records(Vec::new()));
            server.set(at, RecordType::CNAME, reply.clone());
            assert_eq!(caa(&server).await, Caa::Permits);
        }
    }
}

#[tokio::test]
async fn a_failure_hides_what_is_above_it_and_not_what_is_below() {
    let server = Nameserver::start().await;
    let failure = Reply::Code(ResponseCode::ServFail);
    set(&server, NAME, &[FOREIGN]);
    set(&server, "com", &[OURS]);
    server.set(PARENT, RecordType::CAA, failure.clone());
    assert_eq!(caa(&server).await, forbids(NAME, r#"issue "other.example""#));
    server.cname(NAME, "b.example.org");
    server.set("b.example.org", RecordType::CAA, failure);
    set(&server, PARENT, &[OURS]);
    assert!(unanswered(&server).await.contains("CAA of b.example.org"));
}

#[tokio::test]
async fn masses_of_records_are_no_answer_and_long_lists_are_cut() {
    let server = Nameserver::start().await;
    set(&server, NAME, &[FOREIGN; 20]);
    let told = [r#"issue "other.example""#; 20].join(", ");
    assert_eq!(caa(&server).await, forbids(NAME, &told));
    let mut masses = vec![(0, "issue", "other.example"); 1_000];
    set(&server, NAME, &masses);
    let Caa::Forbids { found: CaaFound::Records { records, more }, .. } = caa(&server).await else {
        panic!("they permit")
    };
    assert_eq!((records.len(), more), (20, 980));
    masses.push(OURS);
    set(&server, NAME, &masses);
    assert_eq!(caa(&server).await, Caa::Permits, "they come by TCP");
    set(&server, NAME, &vec![FOREIGN; 10_000]);
    let asked = server.times_asked(NAME, RecordType::CAA);
    let detail = unanswered(&server).await;
    assert!(detail.contains("CAA of shop.example.com"), "more than a message holds: {detail}");
    assert!(server.times_asked(NAME, RecordType::CAA) - asked <= 4);
}

#[tokio::test]
async fn a_nameserver_that_is_silent_holds_up_one_question_and_not_all() {
    let (silent, server) = (Nameserver::start().await, Nameserver::start().await);
    for at in [NAME, PARENT, "com"] {
        silent.set(at, RecordType::CAA, Reply::Silence);
    }
    set(&server, "com", &[FOREIGN]);
    let servers = [silent.address, server.address];
    let resolver = Resolver::with_timing(&servers, Duration::from_millis(300), 2).unwrap();
    let applicant =
        Applicant { identities: &["ca.example".to_owned()], method: "http-01", account_url: None };
    let name = DomainName::parse(NAME).unwrap();
    let caa = resolver.caa(&name, &applicant, &Targets::default()).await.unwrap();
    assert_eq!(caa, forbids("com", r#"issue "other.example""#));
    let asked = [NAME, PARENT, "com"].map(|at| silent.times_asked(at, RecordType::CAA));
    assert_eq!(asked, [1, 0, 0]);
}

#[tokio::test]
async fn a_set_of_the_cdns_is_not_the_customers() {
    let of_the_cdn = |at: &str| Caa::Forbids {
        at: at.to_owned(),
        found: records(r#"issue "other.example""#),
        at_target: true,
    };
    let server = Nameserver::start().await;
    server.cname(NAME, "alias.example.org").cname("alias.example.org", CDN);
    set(&server, CDN, &[FOREIGN]);
    assert_eq!(caa(&server).await, of_the_cdn(CDN));
    server.cname(CDN, "edge.example.info");
    set(&server, "edge.example.info", &[FOREIGN]);
    assert_eq!(caa(&server).await, of_the_cdn("edge.example.info"), "where the target leads");
    set(&server, "edge.example.info", &[]);
    set(&server, PARENT, &[FOREIGN]);
    assert_eq!(caa(&server).await, forbids(PARENT, r#"issue "other.example""#));

    let server = Nameserver::start().await;
    server.cname(PARENT, "example.net");
    set(&server, "example.net", &[FOREIGN]);
    assert_eq!(caa(&server).await, of_the_cdn("example.net"), "above the target");
    let server = Nameserver::start().await;
    server.cname(NAME, "alias.example.org");
    set(&server, "alias.example.org", &[FOREIGN]);
    assert_eq!(caa(&server).await, forbids("alias.example.org", r#"issue "other.example""#));
}

/// What the customer cannot mend must not be held against them.
#[tokio::test]
async fn a_failure_at_the_cdns_own_name_is_not_the_customers() {
    let server = Nameserver::start().await;
    server.cname(NAME, CDN).fail(CDN, Fails::Always);
    let failed = async |server: &Nameserver| ask(server, None).await.unwrap_err().failed;
    assert_eq!(failed(&server).await, None);
    let server = Nameserver::start().await;
    server.cname(NAME, "alias.example.org").fail("alias.example.org", Fails::Always);
    assert!(failed(&server).await.is_some());
}

#[tokio::test]
async fn a_record_that_is_none_hides_nobody() {
    let odd =
        ["", "is-sue", "issue ", "sixteencharacter", "\u{e9}", "a\"b"].map(|tag| record(NAME, (0, tag, "x")));
    let empty = kit::record(NAME, RData::Update0(RecordType::CAA));
    let cut = [vec![0], vec![0, 5], vec![0, 200, b'i', b's']].map(|wire| raw(NAME, wire));
    for none in odd.into_iter().chain(cut).chain([empty]) {
        let server = Nameserver::start().await;
        for (beside, expected) in [
            (vec![record(NAME, OURS)], Caa::Permits),
            (vec![record(NAME, FOREIGN)], forbids(NAME, r#"issue "other.example""#)),
            (Vec::new(), Caa::Permits),
        ] {
            let records = [beside, vec![none.clone()]].concat();
            server.set(NAME, RecordType::CAA, Reply::Records(records));
            set(&server, PARENT, &[(0, "issue", ";")]);
            assert_eq!(caa(&server).await, expected, "{none:?}");
        }
    }
    let server = Nameserver::start().await;
    server.set(NAME, RecordType::CAA, Reply::Records(vec![record(NAME, OURS), raw(NAME, vec![0xff; 3])]));
    let expected = forbids_unknown(0xff, "", r"\xff");
    assert_eq!(caa(&server).await, expected, "it says that it must be understood");
}

#[tokio::test]
async fn the_method_must_be_listed_if_any_is() {
    for (value, permitted) in [
        ("ca.example; validationmethods=http-01", true),
        ("ca.example; validationmethods=dns-01,http-01", true),
        ("ca.example; validationmethods=dns-01", false),
        ("ca.example; validationmethods=", false),
        ("ca.example; validationmethods=http-011,xhttp-01", false),
        ("ca.example; validationmethods=http-01; validationmethods=dns-01", false),
    ] {
        let server = Nameserver::start().await;
        set(&server, NAME, &[(0, "issue", value)]);
        assert_eq!(caa(&server).await == Caa::Permits, permitted, "{value}");
    }
}

#[tokio::test]
async fn the_account_must_be_ours_if_one_is_named() {
    let ours = format!("ca.example; accounturi={ACCOUNT}");
    let both = format!("{ours}; validationmethods=http-01");
    let twice = format!("{ours}; accounturi={ACCOUNT}");
    let longer = format!("{ours}7");
    let elsewhere = format!("other.example; accounturi={ACCOUNT}");
    for (value, known, unknown) in [
        ("ca.example", true, true),
        (ours.as_str(), true, false),
        (both.as_str(), true, false),
        (longer.as_str(), false, false),
        (twice.as_str(), false, false),
        (elsewhere.as_str(), false, false),
        ("ca.example; accounturi=", false, false),
    ] {
        let server = Nameserver::start().await;
        set(&server, NAME, &[(0, "issue", value)]);
        assert_eq!(caa(&server).await == Caa::Permits, known, "{value}");
        let without = ask(&server, None).await;
        assert_eq!(without == Ok(Caa::Permits), unknown, "{value}");
    }
}

#[tokio::test]
async fn a_ca_without_an_identity_is_not_judged() {
    let server = Nameserver::start().await;
    set(&server, NAME, &[(0, "issue", ";")]);
    let name = DomainName::parse(NAME).unwrap();
    let nameservers = Nameservers::new(vec![server.address.to_string()]).unwrap();
    let caa = async |identities: &[String]| {
        let applicant = Applicant { identities, method: "http-01", account_url: None };
        nameservers.caa(&name, &applicant, &Targets::default()).await.unwrap()
    };
    assert_eq!(caa(&[]).await, Caa::Permits);
    assert_eq!(server.times_asked(NAME, RecordType::CAA), 0);
    assert_eq!(
        caa(&[String::new()]).await,
        forbids(NAME, r#"issue ";""#),
        "an empty identity is nobody's name"
    );
}

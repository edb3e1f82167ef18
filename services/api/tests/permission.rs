//! Every call against every role and every kind of bad token: exactly the allowed cells pass.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::sync::Arc;

use domain::{Role, Roles};
use jiff::{SignedDuration, Timestamp};
use prost::Message;
use proto::v1;
use runtime::testing::ManualClock;
use tonic::Code;

use served::{Served, has_reason, send, served, served_at, signed};

const ALL: &[Role] = &Role::ALL;
const OPERATE: &[Role] = &[Role::Support, Role::Admin];
const KEYS: &[Role] = &[Role::KeyReader, Role::Admin];
const ADMIN: &[Role] = &[Role::Admin];

/// Who may call what. Those of `Sessions` take no token of a program; they are below.
const TABLE: [(&str, &[Role]); 24] = [
    ("AddDomain", OPERATE),
    ("AddDomainNote", OPERATE),
    ("BatchAddDomains", OPERATE),
    ("CheckDomain", OPERATE),
    ("DeleteDomain", OPERATE),
    ("DeleteDomainNote", OPERATE),
    ("DownloadCertificate", ALL),
    ("GenerateCertificate", OPERATE),
    ("GetDomain", ALL),
    ("GetHistory", ALL),
    ("GetMidnightReport", ALL),
    ("GetOverview", ALL),
    ("GetSummary", ALL),
    ("ImportCertificate", OPERATE),
    ("ListCertificates", ALL),
    ("ListDomainNotes", ALL),
    ("ListDomains", ALL),
    ("PauseOutbound", ADMIN),
    ("RecheckDomain", OPERATE),
    ("ResumeOutbound", ADMIN),
    ("RevokeCertificate", ADMIN),
    ("RollbackCertificate", OPERATE),
    ("SetDomainLabels", OPERATE),
    ("WatchDomains", ALL),
];

/// Those of `Administration`: every one for administrators alone.
const ADMINISTRATION: [&str; 15] = [
    "CreateToken",
    "CreateUser",
    "DeleteUser",
    "DisableUser",
    "EndSession",
    "ExportAudit",
    "GetSettings",
    "ListAudit",
    "ListSessions",
    "ListTokens",
    "ListUsers",
    "ResetPassword",
    "RevokeToken",
    "SetUserRoles",
    "VerifyAudit",
];

/// Every method that a token of a program can call, and who may.
fn table() -> Vec<(String, &'static [Role])> {
    let of_domains = TABLE.into_iter().map(|(method, allowed)| (format!("Domains/{method}"), allowed));
    let of_administration =
        ADMINISTRATION.into_iter().map(|method| (format!("Administration/{method}"), ADMIN));
    let of_notifications = NOTIFICATIONS.into_iter().map(|method| (format!("Notifications/{method}"), ADMIN));
    let of_jobs = JOBS.into_iter().map(|(method, allowed)| (format!("Jobs/{method}"), allowed));
    of_domains.chain(of_jobs).chain(of_administration).chain(of_notifications).collect()
}

/// Of `Notifications`: webhooks are the administrators'.
const NOTIFICATIONS: [&str; 7] = [
    "CreateEndpoint",
    "DeleteEndpoint",
    "ListDeliveries",
    "ListEndpoints",
    "RedeliverDelivery",
    "TestEndpoint",
    "UpdateEndpoint",
];

/// The same of `Jobs`.
const JOBS: [(&str, &[Role]); 7] = [
    ("CancelJob", OPERATE),
    ("CreateJob", OPERATE),
    ("GetJob", ALL),
    ("ListJobLines", ALL),
    ("ListJobs", ALL),
    ("StartJob", OPERATE),
    ("WatchJob", ALL),
];

/// The methods of a service, as reflection tells them.
fn methods(service: &str) -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let services = files.file.into_iter().flat_map(|file| file.service);
    let found = services.filter(|described| described.name() == service);
    let mut names: Vec<String> =
        found.flat_map(|service| service.method).map(|method| method.name().to_owned()).collect();
    names.sort();
    names
}

/// Whether the call got past the question who may call it: an empty message is refused only after that. A stream that
/// begins without a message is past it too.
async fn passes(served: &Served, method: &str, message: Vec<u8>, token: Option<&str>) -> Result<(), Code> {
    let call = send(&served.channel, method, message, token);
    let Ok(answer) = tokio::time::timeout(std::time::Duration::from_secs(2), call).await else {
        return Ok(());
    };
    match answer {
        Err(status) if [Code::Unauthenticated, Code::PermissionDenied].contains(&status.code()) => {
            Err(status.code())
        }
        _ => Ok(()),
    }
}

#[test]
fn the_table_has_every_method() {
    assert_eq!(methods("Domains"), TABLE.map(|(method, _)| method.to_owned()));
    assert_eq!(methods("Administration"), ADMINISTRATION);
    assert_eq!(methods("Jobs"), JOBS.map(|(method, _)| method.to_owned()));
    assert_eq!(methods("Notifications"), NOTIFICATIONS);
    assert_eq!(
        methods("Sessions"),
        ["Resolve", "SignIn", "SignInWithIdToken", "SignOut", "SignOutEverywhere"]
    );
    assert_eq!(methods("Notifications"), NOTIFICATIONS);
}

#[tokio::test]
async fn exactly_the_allowed_cells_pass() {
    let served = served().await;
    let mut callers = Vec::new();
    for role in Role::ALL {
        callers.push((role, served.token(role, |_| {}).await));
        callers.push((role, served.session(role, |_| {}).await));
    }
    for (role, token) in callers {
        let token = format!("Bearer {token}");
        for (method, allowed) in table() {
            let expected = if allowed.contains(&role) { Ok(()) } else { Err(Code::PermissionDenied) };
            assert_eq!(passes(&served, &method, Vec::new(), Some(&token)).await, expected, "{role} {method}");
        }
        // A private key needs more than the rest of a download.
        let key = v1::DownloadCertificateRequest {
            name: "a.example.com".into(),
            include_private_key: true,
            reason: "test".into(),
            ..v1::DownloadCertificateRequest::default()
        };
        let expected = if KEYS.contains(&role) { Ok(()) } else { Err(Code::PermissionDenied) };
        for request in [
            key.clone(),
            v1::DownloadCertificateRequest { include_private_key: false, include_pfx: true, ..key },
        ] {
            let message = request.encode_to_vec();
            assert_eq!(
                passes(&served, "Domains/DownloadCertificate", message, Some(&token)).await,
                expected,
                "{role}"
            );
        }
    }
}

/// Each pair of roles: what one of them may is allowed, and nothing else.
#[tokio::test]
async fn two_roles_may_what_either_may_and_no_more() {
    let served = served().await;
    let key = v1::DownloadCertificateRequest {
        name: "a.example.com".into(),
        include_private_key: true,
        reason: "test".into(),
        ..v1::DownloadCertificateRequest::default()
    };
    for (index, first) in Role::ALL.into_iter().enumerate() {
        for second in Role::ALL.into_iter().skip(index + 1) {
            let roles = Roles::of([first, second]).unwrap();
            let may = |allowed: &[Role]| {
                let is_allowed = allowed.contains(&first) || allowed.contains(&second);
                if is_allowed { Ok(()) } else { Err(Code::PermissionDenied) }
            };
            for token in [served.token(roles, |_| {}).await, served.session(roles, |_| {}).await] {
                let token = format!("Bearer {token}");
                for (method, allowed) in table() {
                    let passed = passes(&served, &method, Vec::new(), Some(&token)).await;
                    assert_eq!(passed, may(allowed), "{roles} {method}");
                }
                let with_key =
                    passes(&served, "Domains/DownloadCertificate", key.encode_to_vec(), Some(&token)).await;
                assert_eq!(with_key, may(KEYS), "{roles} a private key");
            }
        }
    }
}

/// A person's role is taken away while a stream of theirs waits for names.
#[tokio::test]
async fn a_stream_ends_with_the_role_that_it_needs() {
    let served = served().await;
    let mut name = String::new();
    let token = served.session(Role::Support, |session| name.clone_from(&session.user)).await;
    let names = tokio_stream::pending::<v1::BatchAddDomainsRequest>();
    let mut answers =
        served.client.clone().batch_add_domains(signed(names, &token)).await.unwrap().into_inner();
    let mut user = served.context.store.user(&name).await.unwrap().unwrap();
    user.roles = Role::Viewer.into();
    let keys = served.context.require_sealing_keys().unwrap();
    api::signed::sign_user(&keys, &mut user).await.unwrap();
    let mut tx = served.context.store.begin("role").await.unwrap();
    assert!(tx.update_user(&user).await.unwrap());
    tx.commit().await.unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), answers.message()).await.unwrap();
    assert_eq!(ended.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn no_bad_token_passes_anywhere() {
    let served = served().await;
    let now = served.context.clock.now();
    let expired = served.token(Role::Admin, |token| token.expires_at = Some(now)).await;
    let old = now - SignedDuration::from_secs(1);
    let revoked = served.token(Role::Admin, |token| token.revoked_at = Some(old)).await;
    let good = served.token(Role::Admin, |_| {}).await;
    let ended = served.session(Role::Admin, |session| session.expires_at = now).await;
    let rested = served
        .session(Role::Admin, |session| {
            session.used_at = now - SignedDuration::from_hours(24 * 365);
        })
        .await;
    let tokens = [
        None,
        Some(format!("Bearer {expired}")),
        Some(format!("Bearer {revoked}")),
        Some(format!("Bearer {ended}")),
        Some(format!("Bearer {rested}")),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer slm_".to_owned()),
        Some("Bearer sls_".to_owned()),
        Some(format!("Bearer {}", good.to_lowercase())),
        Some(format!("Bearer {good}x")),
        Some(format!("Bearer {}", &good[4..])),
        Some(format!("Bearer sls_{}", &good[4..])),
        Some(format!("Basic {good}")),
        Some(good.clone()),
        Some("Bearer \u{1F512}".escape_default().to_string()),
        Some(format!("Bearer {}", "x".repeat(4000))),
    ];
    let of_sessions = ["Resolve", "SignOut", "SignOutEverywhere"].map(|method| format!("Sessions/{method}"));
    let of_table: Vec<String> = table().into_iter().map(|(method, _)| method).collect();
    for method in of_table.iter().chain(&of_sessions) {
        for token in &tokens {
            let refused = passes(&served, method, Vec::new(), token.as_deref()).await;
            assert_eq!(refused, Err(Code::Unauthenticated), "{method} {token:?}");
        }
    }
    // A program has no session.
    for method in &of_sessions {
        let refused = passes(&served, method, Vec::new(), Some(&format!("Bearer {good}"))).await;
        assert_eq!(refused, Err(Code::Unauthenticated), "{method}");
    }
    let refused = send(&served.channel, "Domains/GetDomain", Vec::new(), None).await.unwrap_err();
    assert!(has_reason(&refused, "TOKEN_INVALID"), "{refused:?}");
}

/// Whatever time it is where the client is, or where the token was made.
#[tokio::test]
async fn a_token_ends_by_the_servers_clock_alone() {
    let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::new(now));
    let mut served = served_at(clock.clone(), |_| {}).await;
    let end = now + SignedDuration::from_mins(1);
    let made_later = now + SignedDuration::from_hours(24);
    let program = served
        .token(Role::Viewer, |token| {
            (token.created_at, token.expires_at) = (made_later, Some(end));
        })
        .await;
    let person = served
        .session(Role::Viewer, |session| {
            (session.created_at, session.expires_at) = (made_later, end);
        })
        .await;
    let mut call = async |token: &str, date: &'static str| {
        let mut request = signed(v1::GetSummaryRequest {}, token);
        request.metadata_mut().insert("date", date.parse().unwrap());
        served.client.get_summary(request).await.map(drop).map_err(|refused| refused.code())
    };
    let dates = ["Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 2100 00:00:00 GMT"];
    clock.advance(SignedDuration::from_secs(59));
    for (token, date) in [(&program, dates[0]), (&person, dates[1])] {
        assert_eq!(call(token, date).await, Ok(()), "{date}");
    }
    clock.advance(SignedDuration::from_secs(1));
    for token in [&program, &person] {
        for date in dates {
            assert_eq!(call(token, date).await, Err(Code::Unauthenticated), "{date}");
        }
    }
}

//! People sign in and out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::Role;
use jiff::SignedDuration;
use proto::v1;
use proto::v1::sessions_client::SessionsClient;
use runtime::SystemEntropy;
use store::{SessionRecord, User};
use tonic::transport::Channel;
use tonic::{Code, Status};

use served::{Served, has_reason, served, signed};

const PASSWORD: &str = "correct horse battery";

async fn person(served: &Served, name: &str, role: Role) {
    let mut user = User {
        name: name.to_owned(),
        roles: role.into(),
        password_hash: Some(api::hash_password(PASSWORD, &SystemEntropy).unwrap()),
        created_at: served.context.clock.now(),
        mac: Vec::new(),
    };
    let keys = served.context.require_sealing_keys().unwrap();
    api::signed::sign_user(&keys, &mut user).await.unwrap();
    let mut tx = served.context.store.begin("person").await.unwrap();
    tx.insert_user(&user).await.unwrap();
    tx.commit().await.unwrap();
}

fn sessions(served: &Served) -> SessionsClient<Channel> {
    SessionsClient::new(served.channel.clone())
}

async fn sign_in(served: &Served, name: &str, password: &str) -> Result<v1::SignInResponse, Status> {
    let request =
        v1::SignInRequest { name: name.to_owned(), password: password.to_owned(), ..Default::default() };
    sessions(served).sign_in(request).await.map(tonic::Response::into_inner)
}

async fn resolve(served: &Served, token: &str) -> Result<v1::Session, Status> {
    let answer = sessions(served).resolve(signed(v1::ResolveRequest {}, token)).await?;
    Ok(answer.into_inner().session.unwrap())
}

#[tokio::test]
async fn a_person_signs_in_works_under_their_own_name_and_signs_out() {
    let mut served = served().await;
    person(&served, "ann", Role::Support).await;
    let begun = sign_in(&served, "ann", PASSWORD).await.unwrap();
    assert!(begun.token.starts_with("sls_"));
    let session = resolve(&served, &begun.token).await.unwrap();
    assert_eq!((session.name.as_str(), session.roles[0].as_str()), ("ann", "support"));
    assert_eq!(session.expires_at, begun.session.unwrap().expires_at);

    let add = v1::AddDomainRequest { name: "a.example.com".into(), ..Default::default() };
    served.client.add_domain(signed(add, &begun.token)).await.unwrap();
    let request = v1::GetHistoryRequest { name: "a.example.com".into(), page_size: 0, ..Default::default() };
    let history = served.client.get_history(signed(request, &begun.token)).await.unwrap().into_inner();
    assert_eq!(history.entries[0].actor, "user:ann");

    sessions(&served).sign_out(signed(v1::SignOutRequest {}, &begun.token)).await.unwrap();
    let refused = resolve(&served, &begun.token).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let lines = served.context.store.audit(None, 10).await.unwrap();
    let calls: Vec<(&str, &str)> =
        lines.iter().map(|line| (line.actor.as_str(), line.call.as_str())).collect();
    assert_eq!(calls, [("user:ann", "SignOut"), ("user:ann", "AddDomain"), ("user:ann", "SignIn")]);
}

#[tokio::test]
async fn every_cause_of_a_failed_sign_in_looks_the_same() {
    let served = served().await;
    person(&served, "ann", Role::Admin).await;
    let wrong = sign_in(&served, "ann", "correct horse batterx").await.err().unwrap();
    assert_eq!((wrong.code(), wrong.message()), (Code::Unauthenticated, "name or password is not right"));
    assert!(has_reason(&wrong, "SIGN_IN_FAILED"));
    for (name, password) in [
        ("nobody", PASSWORD),
        ("ANN", PASSWORD),
        ("", ""),
        ("ann", ""),
        ("ann", &"x".repeat(2000)),
        (&"n".repeat(5000), PASSWORD),
        ("ann' OR 1=1 --", PASSWORD),
    ] {
        let refused = sign_in(&served, name, password).await.err().unwrap();
        assert_eq!((refused.code(), refused.message()), (wrong.code(), wrong.message()));
        assert_eq!(refused.details(), wrong.details());
    }
    let lines = served.context.store.audit(None, 100).await.unwrap();
    let actors: std::collections::BTreeSet<&str> = lines.iter().map(|line| line.actor.as_str()).collect();
    assert_eq!(actors, ["user:(not on the list)", "user:ann"].into(), "no name that may be a password");
}

#[tokio::test]
async fn attempts_at_a_name_are_slowed_down_and_nobody_elses() {
    let served = served().await;
    person(&served, "ann", Role::Admin).await;
    person(&served, "bob", Role::Admin).await;
    // Four wrong ones and a right one, which clears the slate.
    for _ in 0..4 {
        assert!(has_reason(&sign_in(&served, "ann", "wrong").await.err().unwrap(), "SIGN_IN_FAILED"));
    }
    sign_in(&served, "ann", PASSWORD).await.unwrap();
    for _ in 0..5 {
        assert!(has_reason(&sign_in(&served, "ann", "wrong").await.err().unwrap(), "SIGN_IN_FAILED"));
    }
    let slowed = sign_in(&served, "ann", PASSWORD).await.err().unwrap();
    assert_eq!(slowed.code(), Code::ResourceExhausted);
    assert!(
        has_reason(&slowed, "SIGN_IN_THROTTLED") && has_reason(&slowed, "google.rpc.RetryInfo"),
        "{slowed:?}"
    );
    sign_in(&served, "bob", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_session_ends_when_it_rests_or_grows_old() {
    let served = served().await;
    person(&served, "ann", Role::Viewer).await;
    let now = served.context.clock.now();
    let ago = |minutes| now - SignedDuration::from_mins(minutes);
    let cases = [(1, ago(59), ago(-60), true), (2, ago(61), ago(-60), false), (3, ago(1), ago(0), false)];
    for (number, used_at, expires_at, lasts) in cases {
        let token = format!("sls_{number}");
        let mut session = SessionRecord {
            hash: api::hash_token(&token),
            user: "ann".to_owned(),
            roles: Role::Viewer.into(),
            created_at: ago(600),
            used_at,
            expires_at,
            mac: Vec::new(),
        };
        let keys = served.context.require_sealing_keys().unwrap();
        api::signed::sign_session(&keys, &mut session, false).await.unwrap();
        let mut tx = served.context.store.begin("session").await.unwrap();
        tx.insert_session(&session).await.unwrap();
        tx.commit().await.unwrap();
        let resolved = resolve(&served, &token).await;
        assert_eq!(resolved.is_ok(), lasts, "{number}");
        if lasts {
            let stored = async || served.context.store.session(&session.hash).await.unwrap().unwrap();
            let noted = async || stored().await.session.used_at;
            while noted().await < now {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}

#[tokio::test]
async fn signing_out_everywhere_ends_every_session_of_that_person() {
    let served = served().await;
    for name in ["ann", "bob"] {
        person(&served, name, Role::Viewer).await;
    }
    let one = sign_in(&served, "ann", PASSWORD).await.unwrap().token;
    let two = sign_in(&served, "ann", PASSWORD).await.unwrap().token;
    let bobs = sign_in(&served, "bob", PASSWORD).await.unwrap().token;
    let request = signed(v1::SignOutEverywhereRequest {}, &one);
    let ended = sessions(&served).sign_out_everywhere(request).await.unwrap().into_inner().ended;
    assert_eq!(ended, 2);
    assert!(resolve(&served, &one).await.is_err() && resolve(&served, &two).await.is_err());
    assert_eq!(resolve(&served, &bobs).await.unwrap().name, "bob");
}

//! Administration: people, sessions and tokens, what the guards refuse, and the line that each call leaves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::{Role, Roles};
use jiff::SignedDuration;
use proto::v1;
use proto::v1::administration_client::AdministrationClient;
use proto::v1::sessions_client::SessionsClient;
use runtime::testing::ManualClock;
use store::User;
use tonic::transport::Channel;
use tonic::{Code, Status};

use served::{Served, has_reason, served, served_at, served_with, signed};

const OWN: &str = "a password of my own";

fn client(served: &Served) -> AdministrationClient<Channel> {
    AdministrationClient::new(served.channel.clone())
}

async fn sign_in(served: &Served, name: &str, password: &str, new: &str) -> Result<String, Status> {
    let request = v1::SignInRequest {
        name: name.to_owned(),
        password: password.to_owned(),
        new_password: new.to_owned(),
        ..v1::SignInRequest::default()
    };
    let answer = SessionsClient::new(served.channel.clone()).sign_in(request).await?;
    Ok(answer.into_inner().token)
}

async fn create(served: &Served, token: &str, name: &str, role: &str) -> Result<String, Status> {
    let request = v1::CreateUserRequest { name: name.to_owned(), roles: vec![role.to_owned()] };
    let answer = client(served).create_user(signed(request, token)).await?;
    Ok(answer.into_inner().temporary_password)
}

/// A person with that role and a password of their own, signed in.
async fn person(served: &Served, admin: &str, name: &str, role: &str) -> String {
    let temporary = create(served, admin, name, role).await.unwrap();
    sign_in(served, name, &temporary, OWN).await.unwrap()
}

async fn set_roles(served: &Served, token: &str, name: &str, roles: &[&str]) -> Result<v1::User, Status> {
    let roles = roles.iter().map(|&role| role.to_owned()).collect();
    let request = v1::SetUserRolesRequest { name: name.to_owned(), roles };
    let answer = client(served).set_user_roles(signed(request, token)).await?;
    Ok(answer.into_inner().user.unwrap())
}

async fn users(served: &Served, token: &str) -> Vec<v1::User> {
    let answer = client(served).list_users(signed(v1::ListUsersRequest {}, token)).await.unwrap();
    answer.into_inner().users
}

async fn resolves(served: &Served, token: &str) -> bool {
    let mut sessions = SessionsClient::new(served.channel.clone());
    sessions.resolve(signed(v1::ResolveRequest {}, token)).await.is_ok()
}

/// Call, actor, subject, outcome and detail of the lines, oldest first, without those of a call.
async fn told(served: &Served, without: &str) -> Vec<[String; 5]> {
    let mut lines = served.context.store.audit(None, 1000).await.unwrap();
    lines.retain(|line| line.call != without);
    lines.reverse();
    lines.into_iter().map(|line| [line.call, line.actor, line.subject, line.outcome, line.detail]).collect()
}

#[tokio::test]
async fn a_temporary_password_opens_nothing_but_the_choice_of_an_own_one() {
    let served = served().await;
    let admin = served.token(Role::Admin, |token| token.name = "ops".into()).await;
    let temporary = create(&served, &admin, "ann", "support").await.unwrap();
    let listed = users(&served, &admin).await;
    assert_eq!(listed[0].access(), v1::UserAccess::TemporaryPassword);
    assert!(listed[0].temporary_until.is_some());

    let kept = sign_in(&served, "ann", &temporary, "").await.unwrap_err();
    assert_eq!(kept.code(), Code::FailedPrecondition);
    assert!(has_reason(&kept, "PASSWORD_TEMPORARY"));
    for (new, reason) in [("short", "PASSWORD_LENGTH"), (temporary.as_str(), "PASSWORD_SAME")] {
        assert!(has_reason(&sign_in(&served, "ann", &temporary, new).await.unwrap_err(), reason), "{new}");
    }
    // Who does not know the password learns nothing of that.
    let guessed = sign_in(&served, "ann", "wrong wrong wrong", OWN).await.unwrap_err();
    assert!(has_reason(&guessed, "SIGN_IN_FAILED"));

    let first = sign_in(&served, "ann", &temporary, OWN).await.unwrap();
    assert!(resolves(&served, &first).await);
    assert!(sign_in(&served, "ann", &temporary, "yet another password").await.is_err(), "it is used up");
    let listed = users(&served, &admin).await;
    assert_eq!((listed[0].access(), listed[0].sessions), (v1::UserAccess::Password, 1));

    // A password of one's own can be replaced, too; the sessions of before end.
    let second = sign_in(&served, "ann", OWN, "a password of next year").await.unwrap();
    assert!(!resolves(&served, &first).await && resolves(&served, &second).await);
    let calls: Vec<[String; 5]> = told(&served, "ListUsers").await;
    let calls: Vec<&str> = calls.iter().filter(|line| line[3] == "OK").map(|line| line[0].as_str()).collect();
    assert_eq!(calls, ["CreateUser", "ChangePassword", "SignIn", "ChangePassword", "SignIn"]);
}

#[tokio::test]
async fn a_temporary_password_ends_after_a_week() {
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let clock = std::sync::Arc::new(ManualClock::new(now));
    let served = served_at(clock.clone(), |_| {}).await;
    let admin = served.token(Role::Admin, |_| {}).await;
    let temporary = create(&served, &admin, "ann", "admin").await.unwrap();
    clock.advance(SignedDuration::from_hours(7 * 24));
    assert!(has_reason(&sign_in(&served, "ann", &temporary, OWN).await.unwrap_err(), "SIGN_IN_FAILED"));
    assert_eq!(users(&served, &admin).await[0].access(), v1::UserAccess::None);
}

#[tokio::test]
async fn a_persons_roles_and_access_change_at_once_and_their_sessions_end() {
    let served = served().await;
    let admin = served.token(Role::Admin, |token| token.name = "ops".into()).await;
    let session = person(&served, &admin, "ann", "support").await;
    let set = set_roles(&served, &admin, "ann", &["viewer", "key-reader"]).await.unwrap();
    assert_eq!(set.roles, ["viewer", "key-reader"]);
    let add = v1::AddDomainRequest { name: "a.example.com".into(), ..v1::AddDomainRequest::default() };
    let denied = served.client.clone().add_domain(signed(add, &session)).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied, "from the next call on");

    let request = v1::DisableUserRequest { name: "ann".into() };
    let disabled = client(&served).disable_user(signed(request, &admin)).await.unwrap().into_inner();
    assert_eq!((disabled.ended, disabled.user.unwrap().access()), (1, v1::UserAccess::None));
    assert!(!resolves(&served, &session).await);
    assert!(has_reason(&sign_in(&served, "ann", OWN, "").await.unwrap_err(), "SIGN_IN_FAILED"));

    let request = v1::ResetPasswordRequest { name: "ann".into() };
    let reset = client(&served).reset_password(signed(request, &admin)).await.unwrap().into_inner();
    assert_eq!(reset.user.unwrap().access(), v1::UserAccess::TemporaryPassword);
    let session = sign_in(&served, "ann", &reset.temporary_password, OWN).await.unwrap();
    let delete = || signed(v1::DeleteUserRequest { name: "ann".into() }, &admin);
    assert_eq!(client(&served).delete_user(delete()).await.unwrap().into_inner().ended, 1);
    assert!(!resolves(&served, &session).await && users(&served, &admin).await.is_empty());
    let again = client(&served).delete_user(delete()).await.unwrap_err();
    assert!(has_reason(&again, "USER_NOT_FOUND"), "{again:?}");
    create(&served, &admin, "ann", "support").await.unwrap();

    for (name, role, reason) in [
        ("ann", "viewer", "USER_EXISTS"),
        ("", "viewer", "USER_NAME_INVALID"),
        ("  ", "viewer", "USER_NAME_INVALID"),
        ("a\nb", "viewer", "USER_NAME_INVALID"),
        ("oidc:ann", "viewer", "USER_NAME_INVALID"),
        (&"n".repeat(101), "viewer", "USER_NAME_INVALID"),
        ("bob", "boss", "ROLES_INVALID"),
    ] {
        let refused = create(&served, &admin, name, role).await.unwrap_err();
        assert!(has_reason(&refused, reason), "{name:?} {role}: {refused:?}");
    }
    for (name, roles, reason) in [
        ("ann", &[][..], "ROLES_INVALID"),
        ("bob", &["viewer"], "USER_NOT_FOUND"),
        ("oidc:bob", &["viewer"], "USER_NOT_FOUND"),
    ] {
        assert!(has_reason(&set_roles(&served, &admin, name, roles).await.unwrap_err(), reason), "{name}");
    }
    let lines = told(&served, "SignIn").await;
    for line in [
        ["CreateUser", "token:ops", "ann", "OK", "support"],
        ["SetUserRoles", "token:ops", "ann", "OK", "support to viewer,key-reader"],
        ["DisableUser", "token:ops", "ann", "OK", "sessions ended: 1"],
        ["ResetPassword", "token:ops", "ann", "OK", "sessions ended: 0"],
        ["DeleteUser", "token:ops", "ann", "OK", "viewer,key-reader, sessions ended: 1"],
        ["DeleteUser", "token:ops", "ann", "USER_NOT_FOUND", ""],
        ["CreateUser", "token:ops", "ann", "USER_EXISTS", ""],
        ["SetUserRoles", "token:ops", "bob", "USER_NOT_FOUND", ""],
    ] {
        assert!(lines.contains(&line.map(str::to_owned)), "{line:?} in {lines:#?}");
    }
}

#[tokio::test]
async fn the_last_administrator_stays_and_nobody_changes_their_own_account() {
    let served = served().await;
    let program = served.token(Role::Admin, |_| {}).await;
    let ann = person(&served, &program, "ann", "admin").await;
    let own = set_roles(&served, &ann, "ann", &["viewer"]).await.unwrap_err();
    assert!(has_reason(&own, "OWN_ACCOUNT"), "{own:?}");
    let request = signed(v1::DisableUserRequest { name: "ann".into() }, &ann);
    assert!(has_reason(&client(&served).disable_user(request).await.unwrap_err(), "OWN_ACCOUNT"));
    let request = signed(v1::DeleteUserRequest { name: "ann".into() }, &ann);
    assert!(has_reason(&client(&served).delete_user(request).await.unwrap_err(), "OWN_ACCOUNT"));
    let request = signed(v1::ResetPasswordRequest { name: "ann".into() }, &ann);
    assert!(has_reason(&client(&served).reset_password(request).await.err().unwrap(), "OWN_ACCOUNT"));

    // A program has no account of its own, but takes no last administrator away either.
    let last = set_roles(&served, &program, "ann", &["support"]).await.unwrap_err();
    assert_eq!(last.code(), Code::FailedPrecondition);
    assert!(has_reason(&last, "LAST_ADMINISTRATOR"), "{last:?}");
    let request = signed(v1::DisableUserRequest { name: "ann".into() }, &program);
    assert!(has_reason(&client(&served).disable_user(request).await.unwrap_err(), "LAST_ADMINISTRATOR"));
    let request = signed(v1::DeleteUserRequest { name: "ann".into() }, &program);
    assert!(has_reason(&client(&served).delete_user(request).await.unwrap_err(), "LAST_ADMINISTRATOR"));
    set_roles(&served, &program, "ann", &["admin", "support"]).await.unwrap();

    // Neither one who is disabled, nor a row that the database made, counts as another one.
    person(&served, &program, "bob", "admin").await;
    client(&served)
        .disable_user(signed(v1::DisableUserRequest { name: "bob".into() }, &program))
        .await
        .unwrap();
    let forged = User {
        name: "eve".to_owned(),
        roles: Role::Admin.into(),
        password_hash: Some("$argon2id$".to_owned()),
        created_at: served.context.clock.now(),
        mac: vec![0; 40],
    };
    let mut tx = served.context.store.begin("forge").await.unwrap();
    tx.insert_user(&forged).await.unwrap();
    tx.commit().await.unwrap();
    let last = set_roles(&served, &program, "ann", &["viewer"]).await.unwrap_err();
    assert!(has_reason(&last, "LAST_ADMINISTRATOR"), "{last:?}");
    let signed_anew = set_roles(&served, &program, "eve", &["viewer"]).await.unwrap_err();
    assert!(has_reason(&signed_anew, "ROW_NOT_AUTHENTIC"), "{signed_anew:?}");
    let eve = users(&served, &program).await.into_iter().find(|user| user.name == "eve").unwrap();
    assert_eq!(eve.access(), v1::UserAccess::NotAuthentic);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_administrators_who_demote_each_other_at_once_do_not_both_succeed() {
    let served = served().await;
    let program = served.token(Role::Admin, |_| {}).await;
    for round in 0..5 {
        let (one, other) = (format!("one-{round}"), format!("other-{round}"));
        let [of_one, of_other] = [
            person(&served, &program, &one, "admin").await,
            person(&served, &program, &other, "admin").await,
        ];
        // Only these two are administrators.
        for user in users(&served, &program).await {
            if user.name != one && user.name != other && user.roles == ["admin"] {
                set_roles(&served, &program, &user.name, &["viewer"]).await.unwrap();
            }
        }
        let (first, second) = tokio::join!(
            set_roles(&served, &of_one, &other, &["viewer"]),
            set_roles(&served, &of_other, &one, &["viewer"])
        );
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        let admins =
            users(&served, &program).await.into_iter().filter(|user| user.roles == ["admin"]).count();
        assert_eq!(admins, 1);
    }
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let served = served().await;
    let program = served.token(Role::Admin, |_| {}).await;
    let ann = person(&served, &program, "ann", "admin").await;
    let bobs = person(&served, &program, "bob", "viewer").await;
    let second = sign_in(&served, "bob", OWN, "").await.unwrap();
    let list = async |user: &str, token: &str| {
        let request = v1::ListSessionsRequest { user: user.to_owned(), ..v1::ListSessionsRequest::default() };
        client(&served).list_sessions(signed(request, token)).await.unwrap().into_inner().sessions
    };
    let all = list("", &ann).await;
    assert_eq!(all.len(), 3);
    assert_eq!(all.iter().filter(|session| session.is_own).count(), 1);
    let of_bob = list("bob", &program).await;
    assert!(of_bob.len() == 2 && of_bob.iter().all(|session| session.user == "bob" && !session.is_own));

    let end = async |id: &str, user: &str| {
        let request = v1::EndSessionRequest { id: id.to_owned(), user: user.to_owned() };
        client(&served).end_session(signed(request, &ann)).await.map(|answer| answer.into_inner().ended)
    };
    let id = &of_bob[0].id;
    assert_eq!(end(id, "").await.unwrap(), 1);
    assert!(has_reason(&end(id, "").await.unwrap_err(), "SESSION_NOT_FOUND"));
    assert!(resolves(&served, &bobs).await != resolves(&served, &second).await, "one of them");
    assert_eq!(end("", "bob").await.unwrap(), 1);
    assert!(!resolves(&served, &bobs).await && !resolves(&served, &second).await);
    for (id, user) in [("", ""), ("zz", ""), ("ab", ""), (id.as_str(), "bob")] {
        assert!(has_reason(&end(id, user).await.unwrap_err(), "SESSION_INVALID"), "{id} {user}");
    }
    let mut page = v1::ListSessionsRequest { page_size: 1, ..v1::ListSessionsRequest::default() };
    let first = client(&served).list_sessions(signed(page.clone(), &ann)).await.unwrap().into_inner();
    page.page_token = first.next_page_token;
    page.user = "ann".to_owned();
    let refused = client(&served).list_sessions(signed(page, &ann)).await.unwrap_err();
    assert!(has_reason(&refused, "PAGE_TOKEN_INVALID"), "of another filter");
}

#[tokio::test]
async fn a_token_is_shown_once_works_and_is_revoked_for_good() {
    let served = served().await;
    let program = served.token(Role::Admin, |_| {}).await;
    let admin = person(&served, &program, "ann", "admin").await;
    let create = async |name: &str, roles: &[&str], days: u32| {
        let roles = roles.iter().map(|&role| role.to_owned()).collect();
        let request = v1::CreateTokenRequest { name: name.to_owned(), roles, expires_in_days: days };
        client(&served).create_token(signed(request, &admin)).await.map(tonic::Response::into_inner)
    };
    let made = create("dashboard", &["support", "key-reader"], 30).await.ok().unwrap();
    let shown = made.token.unwrap();
    assert!(made.text.starts_with("slm_") && shown.is_authentic && shown.expires_at.is_some());
    let read = async |token: &str| {
        served.client.clone().get_summary(signed(v1::GetSummaryRequest {}, token)).await.is_ok()
    };
    assert!(read(&made.text).await);
    for (name, roles, days, reason) in [
        ("dashboard", &["viewer"][..], 0, "TOKEN_EXISTS"),
        ("", &["viewer"], 0, "TOKEN_NAME_INVALID"),
        ("x", &[], 0, "ROLES_INVALID"),
        ("x", &["root"], 0, "ROLES_INVALID"),
        ("x", &["viewer"], 3651, "EXPIRY_INVALID"),
    ] {
        assert!(has_reason(&create(name, roles, days).await.err().unwrap(), reason), "{name} {days}");
    }
    let revoke = async |name: &str| {
        let request = v1::RevokeTokenRequest { name: name.to_owned() };
        client(&served).revoke_token(signed(request, &admin)).await.map(tonic::Response::into_inner)
    };
    assert!(revoke("dashboard").await.unwrap().token.unwrap().revoked_at.is_some());
    assert!(!read(&made.text).await);
    assert!(has_reason(&revoke("dashboard").await.unwrap_err(), "TOKEN_NOT_FOUND"));
    assert!(
        has_reason(&create("dashboard", &["viewer"], 0).await.err().unwrap(), "TOKEN_EXISTS"),
        "the name is not free"
    );

    let listed = client(&served).list_tokens(signed(v1::ListTokensRequest {}, &admin)).await.unwrap();
    let listed = listed.into_inner().tokens;
    assert_eq!(listed.iter().filter(|token| token.revoked_at.is_some()).count(), 1);
    let lines = told(&served, "SignIn").await;
    for line in [
        ["CreateToken", "user:ann", "dashboard", "OK", "support,key-reader"],
        ["RevokeToken", "user:ann", "dashboard", "OK", ""],
        ["RevokeToken", "user:ann", "dashboard", "TOKEN_NOT_FOUND", ""],
        ["ListTokens", "user:ann", "", "OK", ""],
    ] {
        assert!(lines.contains(&line.map(str::to_owned)), "{line:?} in {lines:#?}");
    }
    assert!(!format!("{lines:?}").contains(&made.text));
}

#[tokio::test]
async fn settings_are_shown_with_their_origin_and_no_secret() {
    let served = served_with(|config| {
        config.renewal.pre_expiry_days = domain::PreExpiry::Days(9);
        config.c4.token = "s3cret".to_owned().into();
    })
    .await;
    let admin = served.token(Roles::of([Role::Admin, Role::Viewer]).unwrap(), |_| {}).await;
    let answer = client(&served).get_settings(signed(v1::GetSettingsRequest {}, &admin)).await.unwrap();
    let settings = answer.into_inner().settings;
    let find = |key: &str| settings.iter().find(|setting| setting.key == key).unwrap();
    assert_eq!(
        (find("renewal.pre_expiry_days").value.as_str(), find("store.url").origin.as_str()),
        ("9", "default")
    );
    assert!(!format!("{settings:?}").contains("s3cret"));
    assert!(told(&served, "").await.iter().any(|line| line[0] == "GetSettings" && line[3] == "OK"));
}

//! What an administrator does over the API needs no more than the API's own database role may.

use proto::v1;
use proto::v1::administration_client::AdministrationClient;
use proto::v1::sessions_client::SessionsClient;
use tonic::Request;

use super::Prize;

const OWN: &str = "a password of my own";

#[expect(clippy::too_many_lines, reason = "a story from beginning to end")]
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_needs_no_more_than_the_rights_of_the_api() {
    let prize = Prize::new().await;
    let (channel, stop) = prize.serve(&prize.copy()).await;
    let mut administration = AdministrationClient::new(channel.clone());
    let mut sessions = SessionsClient::new(channel);
    let name = || "ann".to_owned();

    let request = v1::CreateUserRequest { name: name(), roles: vec!["viewer".into()] };
    let made = administration.create_user(prize.signed(request)).await.ok().unwrap().into_inner();
    let sign_in = |password: String, new: &str| v1::SignInRequest {
        name: name(),
        password,
        new_password: new.to_owned(),
        ..v1::SignInRequest::default()
    };
    let first = sessions.sign_in(sign_in(made.temporary_password, OWN)).await.ok().unwrap();
    assert!(!first.into_inner().token.is_empty());
    // Back to what the roles were, too.
    for role in ["support", "viewer", "support"] {
        let request = v1::SetUserRolesRequest { name: name(), roles: vec![role.into()] };
        administration.set_user_roles(prize.signed(request)).await.unwrap();
    }
    let request = v1::ListSessionsRequest { user: name(), ..v1::ListSessionsRequest::default() };
    let listed = administration.list_sessions(prize.signed(request)).await.unwrap().into_inner().sessions;
    let request = v1::EndSessionRequest { id: listed[0].id.clone(), user: String::new() };
    assert_eq!(administration.end_session(prize.signed(request)).await.unwrap().into_inner().ended, 1);
    let request = v1::ResetPasswordRequest { name: name() };
    let reset = administration.reset_password(prize.signed(request)).await.ok().unwrap().into_inner();
    assert!(sessions.sign_in(sign_in(reset.temporary_password, OWN)).await.is_ok());
    let request = v1::DisableUserRequest { name: name() };
    assert_eq!(administration.disable_user(prize.signed(request)).await.unwrap().into_inner().ended, 1);
    let request = v1::DeleteUserRequest { name: name() };
    administration.delete_user(prize.signed(request)).await.unwrap();

    let request =
        v1::CreateTokenRequest { name: "fresh".into(), roles: vec!["viewer".into()], expires_in_days: 1 };
    administration.create_token(prize.signed(request)).await.ok().unwrap();
    let request = v1::RevokeTokenRequest { name: "fresh".into() };
    administration.revoke_token(prize.signed(request)).await.unwrap();
    let tokens = administration.list_tokens(prize.signed(v1::ListTokensRequest {})).await.unwrap();
    assert!(tokens.into_inner().tokens.iter().all(|token| token.is_authentic));

    let request = v1::ListAuditRequest { page_size: 1000, ..v1::ListAuditRequest::default() };
    let lines = administration.list_audit(prize.signed(request)).await.unwrap().into_inner().lines;
    let calls: Vec<&str> = lines.iter().rev().map(|line| line.call.as_str()).collect();
    let expected = [
        "CreateUser",
        "ChangePassword",
        "SignIn",
        "SetUserRoles",
        "SetUserRoles",
        "SetUserRoles",
        "ListSessions",
        "EndSession",
        "ResetPassword",
        "ChangePassword",
        "SignIn",
        "DisableUser",
        "DeleteUser",
        "CreateToken",
        "RevokeToken",
        "ListTokens",
    ];
    assert_eq!(calls[calls.len() - expected.len()..], expected);
    let mut answers =
        administration.verify_audit(prize.signed(v1::VerifyAuditRequest {})).await.unwrap().into_inner();
    let mut verdict = None;
    while let Some(answer) = answers.message().await.unwrap() {
        verdict = answer.verdict;
    }
    assert!(verdict.unwrap().is_whole);
    assert!(stop.stop().await);
}

impl Prize {
    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", self.admin).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
    }
}

//! People: made by a command, signed in and out through the API, each database role with what it may do and no more.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proto::v1;
use proto::v1::sessions_client::SessionsClient;
use sandbox::{World, WorldOptions};
use tests::{Mode, SslManager, Surroundings};
use tonic::{Code, Request, Status};

tests::in_both_modes!(a_person_signs_in_until_they_are_removed);

async fn sign_in(endpoint: &str, password: &str) -> Result<String, Status> {
    let mut client = SessionsClient::connect(endpoint.to_owned()).await.unwrap();
    let request = v1::SignInRequest { name: "ann".into(), password: password.into(), ..Default::default() };
    Ok(client.sign_in(request).await?.into_inner().token)
}

async fn resolve(endpoint: &str, token: &str) -> Result<(), Status> {
    let mut client = SessionsClient::connect(endpoint.to_owned()).await.unwrap();
    let mut request = Request::new(v1::ResolveRequest {});
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    client.resolve(request).await.map(drop)
}

#[expect(clippy::too_many_lines, reason = "a story from beginning to end")]
async fn a_person_signs_in_until_they_are_removed(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    manager.start().await;
    let file = |name: &str, text: &str| {
        let path = manager.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (first, second) = (file("first", "correct horse battery\n"), file("second", "another horse battery"));
    let short = file("short", "12345678901\n");
    let user = |arguments: &[&str]| manager.run(&[&["--output", "json", "user"], arguments].concat(), "");

    let create = |name, file| ["create", "--name", name, "--role", "support", "--password-file", file];
    let refused = user(&create("ann", &short));
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("12 to 1024 bytes"), "{}", refused.stderr);
    assert_eq!(user(&create("ann", "/nowhere")).code, 64);
    let answer = user(&create("ann", &first));
    assert_eq!((answer.code, answer.json["roles"][0].as_str()), (0, Some("support")), "{}", answer.stderr);
    assert!(user(&create("ann", &second)).stderr.starts_with("ALREADY_EXISTS: "));
    let listed = user(&["list"]).json;
    assert_eq!((&listed[0]["name"], &listed[0]["has_password"]), (&"ann".into(), &true.into()));

    let reserved = user(&create("oidc:ann", &first));
    assert!(reserved.stderr.contains("OpenID provider"), "{}", reserved.stderr);

    let endpoint = manager.endpoint();
    let token = sign_in(&endpoint, "correct horse battery").await.unwrap();
    resolve(&endpoint, &token).await.unwrap();
    // As a person does: the token of the session is a token like any other.
    let added = manager.run(&["domain", "add", "shop.example.com"], &token);
    assert_eq!(added.code, 0, "{}", added.stderr);

    assert_eq!(user(&["sign-out", "ann"]).json["ended"], 1);
    assert!(resolve(&endpoint, &token).await.is_err(), "signed out by a command");
    assert_eq!(user(&["sign-out", "oidc:nobody"]).json["ended"], 0);
    let token = sign_in(&endpoint, "correct horse battery").await.unwrap();
    assert_eq!(user(&["password", "--name", "ann", "--password-file", &second]).code, 0);
    let refused = resolve(&endpoint, &token).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "a new password ends the sessions");
    assert!(sign_in(&endpoint, "correct horse battery").await.is_err());
    let token = sign_in(&endpoint, "another horse battery").await.unwrap();
    assert_eq!(user(&["remove", "ann"]).code, 0);
    assert!(
        resolve(&endpoint, &token).await.is_err()
            && sign_in(&endpoint, "another horse battery").await.is_err()
    );
    assert!(user(&["remove", "ann"]).stderr.starts_with("NOT_FOUND: "));

    let lines = manager.run(&["--output", "json", "audit", "list"], "").json;
    let calls: Vec<&str> =
        lines.as_array().unwrap().iter().rev().filter_map(|line| line["call"].as_str()).collect();
    let expected = [
        "CreateUser",
        "SignIn",
        "AddDomain",
        "SignOutUser",
        "SignOutUser",
        "SignIn",
        "SetPassword",
        // With the old password, then with the new one.
        "SignIn",
        "SignIn",
        "RemoveUser",
        "SignIn",
    ];
    let of_people: Vec<&str> = calls.into_iter().filter(|call| expected.contains(call)).collect();
    assert_eq!(of_people, expected);
}

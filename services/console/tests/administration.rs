//! The pages of the administration, over HTTP, before a real API: what they do, and to whom.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::Role;

use served::{Browser, PASSWORD, Served, served};

const PAGES: [&str; 10] = [
    "/admin",
    "/admin/users",
    "/admin/users/new",
    "/admin/users/user?name=ann-admin",
    "/admin/sessions",
    "/admin/tokens",
    "/admin/tokens/new",
    "/admin/roles",
    "/admin/audit",
    "/admin/settings",
];
const FORMS: [&str; 6] = [
    "/admin/users/new",
    "/admin/users/user?name=ann-admin",
    "/admin/sessions",
    "/admin/tokens/new",
    "/admin/tokens/revoke",
    "/admin/audit/verify",
];
const OWN: &str = "a password of my own";

/// What a page shows once.
fn secret(body: &str) -> String {
    let (_, rest) = body.split_once("id=\"secret\">").unwrap();
    rest.split('<').next().unwrap().to_owned()
}

async fn calls(served: &Served) -> Vec<(String, String, String)> {
    let lines = served.context.store.audit(None, 1000).await.unwrap();
    lines.into_iter().map(|line| (line.call, line.subject, line.outcome)).collect()
}

async fn add(browser: &Browser, name: &str, role: &str) -> String {
    let page = "/admin/users/new";
    let added = browser.send(page, page, &[("name", name), ("role", role)]).await;
    assert_eq!(added.status, 200, "{}", added.body);
    secret(&added.body)
}

#[tokio::test]
async fn every_page_and_form_is_for_administrators_alone_and_names_the_role() {
    let served = served().await;
    for role in [Role::Viewer, Role::Support, Role::KeyReader] {
        let browser = served.browser(role).await;
        assert!(!browser.get("/").await.body.contains("href=\"/admin\""), "{role}");
        for page in
            PAGES.into_iter().chain(["/admin/audit.csv", "/admin/audit.jsonl", "/admin/tokens/revoke?name=x"])
        {
            let refused = browser.get(page).await;
            assert_eq!(refused.status, 403, "{role} {page}");
            assert!(refused.body.contains("needs the role admin, and yours is"), "{}", refused.body);
        }
        for form in FORMS {
            let refused =
                browser.send("/help", form, &[("name", "x"), ("action", "disable"), ("sure", "1")]).await;
            assert_eq!(refused.status, 403, "{role} {form}");
        }
    }
    assert!(served.context.store.audit(None, 100).await.unwrap().iter().all(|line| line.call == "SignIn"));
    let admin = served.browser(Role::Admin).await;
    assert!(admin.get("/").await.body.contains("href=\"/admin\""));
    for page in PAGES {
        let shown = admin.get(page).await;
        assert!(shown.status == 200 || page == "/admin" && shown.status == 303, "{page} {}", shown.status);
        assert!(!shown.body.contains("style=\""), "{page}");
        assert!(shown.header("cache-control").contains("no-store"));
    }
    for form in FORMS {
        let forged = admin.post(form, &[("name", "x"), ("csrf", "made up")]).await;
        assert_eq!(forged.status, 403, "{form}");
    }
}

#[expect(clippy::too_many_lines, reason = "a story from beginning to end")]
#[tokio::test]
async fn a_user_is_added_signs_in_and_is_disabled() {
    let served = served().await;
    let admin = served.browser(Role::Admin).await;
    let name = "Łukasz & Söhne/2";
    let temporary = add(&admin, name, "support").await;
    let twice =
        admin.send("/admin/users/new", "/admin/users/new", &[("name", name), ("role", "viewer")]).await;
    assert_eq!(twice.status, 409);
    assert!(
        twice.body.contains("href=\"#name\"") && twice.body.contains("id=\"name-error\""),
        "{}",
        twice.body
    );
    let roleless = admin.send("/admin/users/new", "/admin/users/new", &[("name", "bob")]).await;
    assert_eq!(roleless.status, 400);
    assert!(roleless.body.contains("id=\"role-error\""), "{}", roleless.body);

    let mut person = served.stranger([127, 0, 0, 1]);
    let first = person.sign_in(name, &temporary).await;
    assert_eq!(first.status, 409);
    assert!(
        first.body.contains("name=\"new_password\"") && !first.body.contains(&temporary),
        "{}",
        first.body
    );
    let fields = |new: &'static str, again: &'static str| {
        [("name", name), ("password", ""), ("new", "1"), ("new_password", new), ("new_again", again)]
    };
    let mut typed = fields(OWN, "something else");
    typed[1].1 = &temporary;
    assert_eq!(person.post("/sign-in", &typed).await.status, 422);
    let mut typed = fields(OWN, OWN);
    typed[1].1 = &temporary;
    assert_eq!(person.post("/sign-in", &typed).await.status, 303);
    assert_eq!(person.sign_in(name, OWN).await.status, 303);
    assert_eq!(person.get("/overview").await.status, 200);

    let list = admin.get("/admin/users").await.body;
    let address = "/admin/users/user?name=%C5%81ukasz+%26+S%C3%B6hne%2F2";
    assert!(list.contains(address), "{list}");
    let unsure = admin.send(address, address, &[("action", "disable")]).await;
    assert_eq!(unsure.status, 422);
    let saved = admin
        .send(address, address, &[("action", "roles"), ("role", "viewer"), ("role", "key-reader")])
        .await;
    assert_eq!(saved.status, 303);
    assert!(admin.get(&saved.location).await.body.contains("The roles are saved."));
    let disabled = admin.send(address, address, &[("action", "disable"), ("sure", "1")]).await;
    assert_eq!(disabled.status, 303);
    assert_eq!(person.get("/overview").await.status, 303, "to the sign-in");
    let reset = admin.send(address, address, &[("action", "reset"), ("sure", "1")]).await;
    assert_ne!(secret(&reset.body), temporary);
    let unsure = admin.send(address, address, &[("action", "delete")]).await;
    assert!(unsure.status == 422 && unsure.body.contains("id=\"delete-error\""), "{}", unsure.body);
    let deleted = admin.send(address, address, &[("action", "delete"), ("sure", "1")]).await;
    assert_eq!((deleted.status, deleted.location.as_str()), (303, "/admin/users?done=user-deleted"));
    let list = admin.get(&deleted.location).await.body;
    assert!(list.contains("The user is deleted") && !list.contains(address), "{list}");
    assert_eq!(admin.get(address).await.status, 404);
    let calls = calls(&served).await;
    for call in [
        "CreateUser",
        "ChangePassword",
        "SetUserRoles",
        "DisableUser",
        "ResetPassword",
        "DeleteUser",
        "ListUsers",
    ] {
        assert!(calls.iter().any(|(told, _, outcome)| told == call && outcome == "OK"), "{call} {calls:?}");
    }
}

#[tokio::test]
async fn the_last_administrator_and_ones_own_account_stay() {
    let served = served().await;
    let admin = served.browser(Role::Admin).await;
    let own = "/admin/users/user?name=ann-admin";
    let page = admin.get(own).await.body;
    assert!(page.contains("This is your own account") && !page.contains("Disable ann-admin"), "{page}");
    let refused = admin.send(own, own, &[("action", "disable"), ("sure", "1")]).await;
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("This is your own account: ask another administrator"), "{}", refused.body);
    let refused = admin.send(own, own, &[("action", "roles"), ("role", "viewer")]).await;
    assert_eq!(refused.status, 409);
    let refused = admin.send(own, own, &[("action", "delete"), ("sure", "1")]).await;
    assert_eq!(refused.status, 409);
    let unknown = admin.get("/admin/users/user?name=nobody").await;
    assert_eq!(unknown.status, 404);
    let action = admin.send(own, own, &[("action", "explode")]).await;
    assert_eq!(action.status, 400);
}

#[tokio::test]
async fn sessions_end_and_tokens_are_created_and_revoked() {
    let served = served().await;
    let admin = served.browser(Role::Admin).await;
    let viewer = served.browser(Role::Viewer).await;
    let list = admin.get("/admin/sessions").await.body;
    assert!(list.contains("This session") && list.contains("ann-viewer"), "{list}");
    let (_, rest) = list.split_once("name=\"id\" value=\"").unwrap();
    let id = rest.split('"').next().unwrap().to_owned();
    let ended = admin.send("/admin/sessions", "/admin/sessions", &[("id", &id)]).await;
    assert_eq!(ended.status, 303);
    assert_eq!(viewer.get("/").await.status, 303);
    let again = admin.send("/admin/sessions", "/admin/sessions", &[("id", &id)]).await;
    assert_eq!(again.status, 404);
    assert!(again.body.contains("There is no such session"), "{}", again.body);

    let page = "/admin/tokens/new";
    for (fields, status, field) in [
        (&[("name", ""), ("role", "viewer"), ("days", "")][..], 400, "name"),
        (&[("name", "dashboard"), ("days", "")], 400, "role"),
        (&[("name", "dashboard"), ("role", "viewer"), ("days", "soon")], 422, "days"),
        (&[("name", "dashboard"), ("role", "viewer"), ("days", "9999")], 400, "days"),
    ] {
        let refused = admin.send(page, page, fields).await;
        assert_eq!(refused.status, status, "{fields:?}");
        assert!(refused.body.contains(&format!("href=\"#{field}\"")), "{fields:?} {}", refused.body);
    }
    let fields = [("name", "dashboard"), ("role", "support"), ("days", "30")];
    let made = admin.send(page, page, &fields).await;
    let text = secret(&made.body);
    assert!(text.starts_with("slm_"));
    let list = admin.get("/admin/tokens").await.body;
    assert!(list.contains("dashboard") && list.contains("Valid") && !list.contains(&text), "{list}");
    let ask = "/admin/tokens/revoke?name=dashboard";
    let revoked = admin.send(ask, "/admin/tokens/revoke", &[("name", "dashboard")]).await;
    assert_eq!(revoked.location, "/admin/tokens?done=token-revoked");
    assert!(admin.get(&revoked.location).await.body.contains("Revoked"));
    let twice = admin.send(ask, "/admin/tokens/revoke", &[("name", "dashboard")]).await;
    assert_eq!(twice.status, 404);
}

#[tokio::test]
async fn the_audit_log_is_searched_verified_and_exported() {
    let served = served().await;
    let admin = served.browser(Role::Admin).await;
    let payload = "<script>alert(1)</script>%_*";
    add(&admin, payload, "viewer").await;
    let found = admin.get("/admin/audit?subject=%25_*").await.body;
    assert!(found.contains("CreateUser") && !found.contains(payload), "{found}");
    let nothing = admin.get("/admin/audit?subject=%25&actor=_&call=*").await.body;
    assert!(nothing.contains("Nothing found."), "{nothing}");
    let long = admin.get(&format!("/admin/audit?subject={}", "x".repeat(500))).await;
    assert_eq!(long.status, 400);
    assert!(
        long.body.contains("has at most 200 characters") && long.body.contains("autofocus"),
        "{}",
        long.body
    );
    let odd = admin.get("/admin/audit?from=yesterday&to=99999-99-99&page=rubbish").await;
    assert_eq!(odd.status, 400, "a page of nowhere");
    assert_eq!(admin.get("/admin/audit?from=0001-01-01&to=9999-12-31").await.status, 200);
    let day = admin.get("/admin/audit?from=2020-01-01&to=2020-01-02").await.body;
    assert!(day.contains("Nothing found."));

    let verified = admin.send("/admin/audit", "/admin/audit/verify", &[]).await;
    assert_eq!(verified.status, 200);
    assert!(verified.body.contains("The audit log is whole."), "{}", verified.body);
    let csv = admin.get("/admin/audit.csv?call=CreateUser").await;
    assert_eq!(csv.header("content-disposition"), "attachment; filename=\"audit.csv\"");
    assert!(csv.body.starts_with("at,actor,") && csv.body.lines().count() == 2, "{}", csv.body);
    let json = admin.get("/admin/audit.jsonl?call=CreateUser").await;
    assert!(json.body.starts_with("{\"actor\":\"user:ann-admin\""), "{}", json.body);
    let calls = calls(&served).await;
    for call in ["ListAudit", "VerifyAudit", "ExportAudit"] {
        assert!(calls.iter().any(|(told, _, outcome)| told == call && outcome == "OK"), "{call}");
    }
    assert!(calls.contains(&("ListAudit".into(), String::new(), "AUDIT_FILTER_INVALID".into())));
}

#[tokio::test]
async fn settings_and_roles_are_read() {
    let served = served().await;
    let admin = served.browser(Role::Admin).await;
    let settings = admin.get("/admin/settings").await.body;
    for text in ["renewal.pre_expiry_days", "<td>default</td>", "id=\"h-store\""] {
        assert!(settings.contains(text), "{text} in {settings}");
    }
    assert!(!settings.contains(PASSWORD));
    assert!(admin.get("/admin/roles").await.body.contains("manage people, sessions and tokens"));
    assert!(calls(&served).await.contains(&("GetSettings".into(), String::new(), "OK".into())));
}

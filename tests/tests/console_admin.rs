//! An administrator's month in the browser: users, sessions, tokens, webhooks, the audit log and the settings, without a shell,
//! each step with its line in the audit log; and every page of it in both themes, judged by axe, from 320 to 2560 pixels.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::time::Duration;

use tests::{Browser, Console, Key, wait_for};

const OWN: &str = "a password of my own";
/// Parts of the URLs of webhooks that are as good as secrets.
const FIRST: &str = "T0001/B0001";
const SECOND: &str = "T0002/B0002";
const LIMIT: Duration = Duration::from_mins(1);

/// What is shown once on the page.
async fn secret(browser: &Browser) -> String {
    browser.see("It is shown only here, and only now.").await;
    let text = browser.script("return document.querySelector('#secret').textContent", vec![]).await;
    text.as_str().expect("a text").to_owned()
}

/// Ticks one of the boxes of a page by its value.
async fn tick(browser: &Browser, value: &str) {
    let script = "const box = document.querySelector(`input[name=role][value=${arguments[0]}]`);
        box.click(); return box.checked";
    browser.script(script, vec![value.into()]).await;
}

async fn call_of_lines(browser: &Browser) -> BTreeSet<String> {
    let script =
        "return [...document.querySelectorAll('main tbody tr')].map((row) => row.cells[2].textContent)";
    let calls = browser.script(script, vec![]).await;
    let calls = calls.as_array().expect("a list").iter();
    calls.map(|call| call.as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_an_administrator_needs_no_shell() {
    let console = Console::start().await;
    let admin = console.signed_in("admin").await;
    admin.click("link", "Admin").await;
    admin.find("heading", "Users").await;

    // A colleague comes.
    admin.click("link", "Add a user").await;
    admin.fill("Name", "mei").await;
    tick(&admin, "support").await;
    admin.click("button", "Add the user").await;
    let temporary = secret(&admin).await;
    admin.click("button", "Copy the temporary password").await;
    wait_for("the password in the clipboard", LIMIT, || async {
        let copied = admin.clipboard().await;
        if copied == temporary { Ok(()) } else { Err(copied) }
    })
    .await;
    let mei = Browser::start().await;
    mei.goto(&console.address("/overview")).await;
    mei.send_sign_in("mei", &temporary).await;
    mei.see("Your password is temporary.").await;
    mei.fill("Password", &temporary).await;
    mei.fill("New password", OWN).await;
    mei.fill("New password again", OWN).await;
    mei.click("button", "Change the password and sign in").await;
    mei.find("heading", "Overview").await;

    // The roles change, and count at once.
    admin.click("link", "Back to users").await;
    admin.click("link", "mei").await;
    tick(&admin, "key-reader").await;
    admin.click("button", "Save the roles").await;
    admin.see("The roles are saved.").await;
    mei.reload().await;
    mei.see("support,key-reader").await;

    // A session ends that was left open.
    admin.click("link", "Sessions").await;
    admin.find("heading", "Sessions").await;
    let row = admin.row("mei").await;
    let buttons = admin.names_in(&row, "button").await;
    admin.click_in(&row, "button", &buttons[0]).await;
    admin.see("The session has ended.").await;
    mei.reload().await;
    mei.find("heading", "Sign in").await;

    let secret = a_webhook_is_made_moved_and_deleted(&admin).await;
    let token = a_program_gets_a_token_and_loses_it(&console, &admin).await;
    the_colleague_leaves(&console, &admin, &mei).await;
    the_books_are_read(&console, &admin, &[&temporary, &token, OWN, &secret, FIRST, SECOND]).await;
}

/// Returns the endpoint's secret.
async fn a_webhook_is_made_moved_and_deleted(admin: &Browser) -> String {
    admin.click("link", "Webhooks").await;
    admin.fill("Name", "ops").await;
    admin.fill("URL, https", &format!("https://hooks.example.com/{FIRST}")).await;
    admin.click("button", "Create endpoint").await;
    admin.see("It is shown once").await;
    let script = "return document.querySelector('#h-secret').parentElement.querySelector('code').textContent";
    let secret = admin.script(script, vec![]).await.as_str().expect("a text").to_owned();
    admin.script("document.querySelector('details').open = true", vec![]).await;
    admin.fill("New URL, https (empty: it stays)", &format!("https://moved.example.com/{SECOND}")).await;
    admin.click("button", "Save the change of ops").await;
    admin.see("The endpoint is changed.").await;
    admin.see("https://moved.example.com/…").await;
    let text = admin.text().await;
    assert!(![FIRST, SECOND, &secret].iter().any(|secret| text.contains(*secret)), "{text}");
    admin.click("button", "Switch off ops").await;
    admin.see("The endpoint is switched off.").await;
    admin.click("button", "Delete ops").await;
    admin.see("The endpoint is deleted.").await;
    admin.click("link", "Admin").await;
    secret
}

async fn a_program_gets_a_token_and_loses_it(console: &Console, admin: &Browser) -> String {
    admin.click("link", "Tokens").await;
    admin.click("link", "Create a token").await;
    admin.fill("Name", "dashboard").await;
    tick(admin, "viewer").await;
    admin.fill("Days until it ends", "30").await;
    admin.click("button", "Create the token").await;
    let token = secret(admin).await;
    assert_eq!(console.manager.run(&["domain", "list"], &token).code, 0);
    admin.click("link", "Back to tokens").await;
    admin.click("link", "Revoke dashboard").await;
    admin.click("button", "Revoke the token dashboard").await;
    admin.see("The token is revoked.").await;
    let refused = console.manager.run(&["domain", "list"], &token);
    assert_eq!(refused.code, 1, "{refused:?}");
    token
}

async fn the_colleague_leaves(console: &Console, admin: &Browser, mei: &Browser) {
    admin.click("link", "Users").await;
    admin.click("link", "mei").await;
    admin.click("checkbox", "Yes, disable mei").await;
    admin.click("button", "Disable mei").await;
    admin.see("The user is disabled").await;
    mei.goto(&console.address("/sign-in")).await;
    mei.send_sign_in("mei", OWN).await;
    mei.see("Name or password is not right.").await;

    // The name is free again.
    admin.click("link", "Users").await;
    admin.click("link", "mei").await;
    admin.click("checkbox", "Yes, delete mei").await;
    admin.click("button", "Delete mei").await;
    admin.see("The user is deleted").await;
    assert!(!admin.names("link").await.contains(&"mei".to_owned()));

    // No administrator locks themselves out.
    admin.click("link", "Users").await;
    admin.click("link", "admin").await;
    admin.see("This is your own account").await;
    let is_harmless = |name: &String| !name.starts_with("Disable") && !name.starts_with("Delete");
    assert!(admin.names("button").await.iter().all(is_harmless));
}

/// The audit log is searched, verified and exported, and the settings are read.
async fn the_books_are_read(console: &Console, admin: &Browser, secrets: &[&str]) {
    admin.click("link", "Settings").await;
    admin.see("renewal.pre_expiry_days").await;
    admin.see(console.manager.config().to_str().expect("a path in UTF-8")).await;
    admin.click("link", "Roles").await;
    admin.see("manage people, sessions and tokens").await;
    admin.click("link", "Audit log").await;
    admin.fill("Subject has", "%").await;
    admin.click("button", "Search").await;
    admin.see("Nothing found.").await;
    admin.paste("Subject has", &"*".repeat(240)).await;
    admin.click("button", "Search").await;
    admin.see("Subject has at most 200 characters").await;
    admin.fill("Subject has", "mei").await;
    admin.fill("Actor has", "user:admin").await;
    admin.click("button", "Search").await;
    admin.row_of_call("DisableUser").await;
    let calls = call_of_lines(admin).await;
    let expected = ["CreateUser", "SetUserRoles", "EndSession", "DisableUser", "DeleteUser"];
    assert!(expected.iter().all(|call| calls.contains(*call)), "{calls:?}");
    admin.click("link", "Export as CSV").await;
    let csv = read_to_string(admin.downloaded("audit.csv").await).expect("a file");
    assert!(csv.contains(",DisableUser,mei,OK,"), "{csv}");
    admin.click("link", "Clear").await;
    // Whatever was written is chained by now, or within a second.
    admin.click("button", "Verify the log").await;
    admin.see("The audit log is whole.").await;
    admin.click("link", "Back to the audit log").await;
    admin.click("link", "Export as JSON lines").await;
    let json = read_to_string(admin.downloaded("audit.jsonl").await).expect("a file");
    for call in [
        "ListUsers",
        "CreateUser",
        "ChangePassword",
        "SetUserRoles",
        "ListSessions",
        "EndSession",
        "ListTokens",
        "CreateToken",
        "RevokeToken",
        "DisableUser",
        "DeleteUser",
        "CreateEndpoint",
        "UpdateEndpoint",
        "DeleteEndpoint",
        "GetSettings",
        "ListAudit",
        "ExportAudit",
        "VerifyAudit",
    ] {
        assert!(json.contains(&format!("\"call\":\"{call}\"")), "{call} in {json}");
    }
    for secret in secrets {
        assert!(!json.contains(secret) && !console.manager.log().contains(secret), "{secret}");
    }
    admin.assert_only_refusals().await;
}

trait Audit {
    async fn row_of_call(&self, call: &str);
}

impl Audit for Browser {
    /// Waits until a line of that call is listed.
    async fn row_of_call(&self, call: &str) {
        wait_for(call, LIMIT, || async {
            let calls = call_of_lines(self).await;
            if calls.contains(call) { Ok(()) } else { Err(format!("{calls:?}")) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_the_administration_are_for_everybody() {
    let console = Console::start().await;
    let long = "a.person.with.quite.a.long.name@subsidiary.example.com";
    let file = console.manager.folder().join("password-of-long");
    std::fs::write(&file, Console::PASSWORD).expect("a file");
    let file = file.to_str().expect("a path in UTF-8");
    let made = console
        .manager
        .run(&["user", "create", "--name", long, "--role", "support", "--password-file", file], "");
    assert_eq!(made.code, 0, "{}", made.stderr);
    let browser = console.signed_in("admin").await;
    for (screen, path) in [
        ("admin-users", "/admin/users"),
        ("admin-user-new", "/admin/users/new"),
        ("admin-user", &*format!("/admin/users/user?name={}", long.replace('@', "%40"))),
        ("admin-user-own", "/admin/users/user?name=admin"),
        ("admin-sessions", "/admin/sessions?user=admin"),
        ("admin-tokens", "/admin/tokens"),
        ("admin-token-new", "/admin/tokens/new"),
        ("admin-token-revoke", "/admin/tokens/revoke?name=tests"),
        ("admin-roles", "/admin/roles"),
        ("admin-audit", "/admin/audit"),
        ("admin-settings", "/admin/settings"),
        ("webhooks", "/webhooks"),
        ("sign-in-new-password", "/sign-in?new=1"),
    ] {
        browser.goto(&console.address(path)).await;
        if path.starts_with("/admin") {
            browser.press(Key::Tab).await;
            assert_eq!(browser.focused().await, r#"link "Skip to content""#, "{screen}");
            browser.reload().await;
        }
        browser.look(screen).await;
    }
    browser.goto(&console.address("/admin/users/new")).await;
    browser.fill("Name", "admin").await;
    tick(&browser, "viewer").await;
    browser.click("button", "Add the user").await;
    browser.find("alert", "").await;
    browser.look("admin-user-refused").await;
    browser.goto(&console.address("/admin/audit")).await;
    browser.click("button", "Verify the log").await;
    browser.see("The audit log is whole.").await;
    browser.look("admin-verified").await;
    let viewer = console.signed_in("viewer").await;
    viewer.goto(&console.address("/admin")).await;
    viewer.find("heading", "Not allowed").await;
    viewer.see("that needs the role admin, and yours is viewer").await;
}

//! A night on call: an emergency shows wherever one looks, what ends soon is marked, the outcome of a recheck is seen, and
//! the list is worked through by keys.

use std::time::Duration;

use domain::Clock;
use rcgen::{CertificateParams, KeyPair};
use runtime::SystemClock;
use sandbox::{C4Domain, Refusal};
use tests::{Browser, Console, Key, Size, wait_for};

const NAME: &str = "shop.example.com";
const PAGE: &str = "/domains/shop.example.com";
const LIMIT: Duration = Duration::from_secs(30);

async fn titled(browser: &Browser, title: &str) {
    wait_for(&format!("the title {title}"), LIMIT, || async {
        let shown = browser.title().await;
        if shown == title { Ok(()) } else { Err(shown) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_shows_on_every_page_that_is_open() {
    let mut console = Console::start().await;
    console.live(&[NAME]).await;
    let mut open = Vec::new();
    for (page, title) in [("/", "Domains"), ("/overview", "Overview"), (PAGE, NAME)] {
        let browser = console.signed_in("support").await;
        browser.goto(&console.address(page)).await;
        titled(&browser, &format!("{title} · SSL Management")).await;
        assert!(!browser.text().await.contains("1 emergency"), "{page}");
        browser.mark().await;
        open.push((browser, title));
    }
    let unloved = "unloved.example.com";
    console.world.point_at_cdn(unloved);
    let refusal = Refusal::unprocessable("too long a chain");
    console.world.c4.control().refuse(Some(unloved), refusal);
    console.domain(&["add", unloved]);
    for (browser, title) in &open {
        titled(browser, &format!("(1!) {title} · SSL Management")).await;
        browser.see("1 emergency").await;
        assert!(browser.is_marked().await, "{title} was loaded again");
    }
    let (overview, _) = &open[1];
    overview.see("Upload failed: 1 domain").await;
    console.world.c4.control().accept(Some(unloved));
    console.domain(&["recheck", unloved]);
    for (browser, title) in &open {
        titled(browser, &format!("{title} · SSL Management")).await;
        browser.see_no_more("1 emergency").await;
        browser.assert_no_problems().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_soon_and_does_not_renew_by_itself_is_marked() {
    let mut console = Console::start().await;
    console.live(&["well.example.com"]).await;
    console.world.point_at_cdn(NAME);
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    // Whole days from now, so that the days left do not depend on the hour of the test.
    let ends = std::time::SystemTime::from(SystemClock.now()) + Duration::from_hours(5 * 24);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = ends.into();
    let key = KeyPair::generate().unwrap();
    let folder = console.manager.folder();
    let (certificate_file, key_file) = (folder.join("own.pem"), folder.join("own.key"));
    std::fs::write(&certificate_file, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let [certificate_file, key_file] = [&certificate_file, &key_file].map(|file| file.to_str().unwrap());
    console.domain(&["import", NAME, "--certificate", certificate_file, "--key", key_file]);
    let browser = console.signed_in("viewer").await;
    browser.see_in_row(NAME, "ends in 5 days").await;
    browser.see_in_row(NAME, "5 days left").await;
    let row = browser.row("well.example.com").await;
    assert!(!row.text().await.unwrap().contains("ends in"));
    // The row, the overview, the list behind its bar and the view count the same days.
    browser.goto(&console.address("/overview")).await;
    browser.click("link", "1 domain ends in 5 days").await;
    browser.at("from=5&days=6").await;
    browser.find("heading", "Domains").await;
    assert_eq!(browser.names("rowheader").await, [NAME]);
    browser.click("link", "Ends within 7 days").await;
    browser.at("from=0&days=7").await;
    browser.row(NAME).await;
    assert_eq!(browser.names("rowheader").await, [NAME]);
    browser.click("link", &format!("View {NAME}")).await;
    browser.see("5 days left").await;
    browser.see("ends in 5 days").await;
    browser.assert_no_problems().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_ends_in_hours_and_cannot_renew_comes_right_after_emergencies() {
    let mut console = Console::start().await;
    let ca = console.world.ca.control();
    ca.set_lifetime(Duration::from_mins(10 * 60 - 5));
    console.live(&[NAME]).await;
    ca.set_lifetime(Duration::from_hours(90 * 24));
    console.live(&["well.example.com"]).await;
    let (never, unloved) = ("never.example.com", "unloved.example.com");
    for name in [never, NAME] {
        console.world.point_at_cdn(name);
        console.world.dns.control().set_cname(name, "elsewhere.example.net");
    }
    console.world.point_at_cdn(unloved);
    console.world.c4.control().refuse(Some(unloved), Refusal::unprocessable("too long a chain"));
    console.domain(&["add", never]);
    console.domain(&["add", unloved]);
    console.domain(&["generate", NAME, "--force"]);
    console.manager.status(never, "Failure", LIMIT).await;
    console.manager.status(unloved, "Emergency", LIMIT).await;
    let browser = console.signed_in("viewer").await;
    browser.see_in_row(NAME, "Customer: DNS does not point to the CDN").await;
    browser.reload().await;
    browser.see_in_row(NAME, "ends in 9 h").await;
    assert_eq!(browser.names("rowheader").await, [unloved, NAME, never, "well.example.com"]);
    browser.find("link", "At risk 1").await;
    browser.assert_no_problems().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_rests_quietly_while_https_is_off_and_goes_on_once_it_is_on() {
    let mut console = Console::start().await;
    console.live(&[NAME]).await;
    let switch = |ports: &[u16]| {
        let cname = console.world.cdn_target().to_owned();
        console.world.c4.control().put_domain(NAME, C4Domain { ports: ports.to_vec(), cname });
        console.domain(&["generate", NAME, "--force"]);
    };
    let browser = console.signed_in("support").await;
    browser.goto(&console.address(PAGE)).await;
    browser.see("HTTPS works. Renews by itself").await;
    browser.mark().await;
    switch(&[80]);
    browser.see("HTTPS is switched off in the CDN dashboard").await;
    browser.see("Who must act\nNo one").await;
    browser.goto(&console.address("/")).await;
    browser.see_in_row(NAME, "HTTPS is switched off").await;
    for quiet in ["Emergency 0", "Expired 0", "Failure 0", "At risk 0"] {
        browser.find("link", quiet).await;
    }
    switch(&[80, 443]);
    browser.see_in_row(NAME, "Renews about").await;
    browser.assert_no_problems().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recheck_shows_what_it_found() {
    let console = Console::start().await;
    console.world.point_at_cdn(NAME);
    console.world.dns.control().set_cname(NAME, "elsewhere.example.net");
    console.domain(&["add", NAME]);
    let browser = console.signed_in("support").await;
    browser.goto(&console.address(PAGE)).await;
    browser.see("No certificate yet: DNS does not point to the CDN.").await;
    browser.see("Send the message below to the customer.").await;
    browser.press('r').await;
    browser.at("done=recheck").await;
    browser.find("heading", "Checks").await;
    browser.see("s ago: still").await;
    for step in ["C4 knows it, with ports 80 and 443", "DNS points to the CDN", "CAA permits our CA"] {
        browser.see(step).await;
    }
    browser.mark().await;
    console.world.point_at_cdn(NAME);
    console.domain(&["recheck", NAME]);
    browser.see("HTTPS works.").await;
    browser.see("Nothing. The certificate renews by itself.").await;
    assert!(browser.is_marked().await, "the page was loaded again");
    browser.assert_no_problems().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_worked_through_by_keys_and_fits_every_window() {
    let console = Console::start().await;
    let names: Vec<String> = (0..40).map(|index| format!("d{index:02}.example.com")).collect();
    console.manager.add_all(&names).await;
    let browser = console.signed_in("support").await;
    browser.goto(&console.address("/?order=name")).await;
    browser.row(&names[39]).await;

    browser.size(Size::Of(1440, 900)).await;
    let fit = "return [...document.querySelectorAll('#domains tbody tr')]
        .filter((row) => row.getBoundingClientRect().bottom <= innerHeight).length";
    let fitting = browser.script(fit, vec![]).await.as_u64().unwrap();
    assert!(fitting >= 20, "{fitting} rows fit on a laptop's screen");
    for (width, height) in [(320, 640), (390, 844), (640, 450), (834, 1112), (1280, 900), (2560, 1300)] {
        browser.size(Size::Of(width, height)).await;
        assert_eq!(browser.overflow().await, 0, "the list at {width} pixels");
    }
    browser.size(Size::Desktop).await;
    browser.script("scrollTo(0, document.body.scrollHeight)", vec![]).await;
    let sticks = "const top = (what) => Math.round(document.querySelector(what).getBoundingClientRect().top);
        return top('.tools') === 0 && top('#domains thead th') > 0 && top('#domains thead th') < 60";
    assert_eq!(browser.script(sticks, vec![]).await, true, "bulk bar and head stay in sight");
    browser.script("scrollTo(0, 0)", vec![]).await;

    for key in ['j', 'j', 'k', 'j'] {
        browser.press(key).await;
    }
    assert_eq!(browser.focused().await, format!("link \"{}\"", names[1]));
    browser.press('/').await;
    assert_eq!(browser.focused().await, r#"searchbox "Search domains""#);
    browser.press('j').await;
    assert_eq!(browser.value("Search domains").await, "j", "who types is left alone");
    browser.script("document.activeElement.blur()", vec![]).await;
    browser.press('?').await;
    browser.find("dialog", "Help").await;
    browser.see("The upload of key and certificate to C4 failed.").await;
    browser.assert_accessible("the help").await;
    browser.press(Key::Escape).await;
    browser.gone("dialog", "Help").await;

    let enabled = async |name: &str| {
        let script = "return [...document.querySelectorAll('#bulk button')]
            .find((button) => button.textContent === arguments[0]).matches(':enabled')";
        browser.script(script, vec![name.into()]).await == true
    };
    assert!(!enabled("Delete").await, "nothing is ticked");
    browser.click("checkbox", &format!("Select {}", names[2])).await;
    let last = browser.find("checkbox", &format!("Select {}", names[6])).await;
    let click = "arguments[0].dispatchEvent(new MouseEvent('click', { bubbles: true, shiftKey: true }))";
    browser.script(click, vec![last.to_json()]).await;
    browser.see("5 selected").await;
    assert!(enabled("Delete").await);
    browser.click("checkbox", "Select all on this page").await;
    browser.see("40 selected").await;
    browser.click("checkbox", "Select all on this page").await;
    browser.see("0 selected").await;

    browser.press('j').await;
    browser.press(Key::Enter).await;
    browser.at(&format!("/domains/{}", names[0])).await;
    browser.assert_no_problems().await;
}

/// A page at which somebody begins, and the number of clicks since.
struct Task<'a> {
    browser: &'a Browser,
    clicks: usize,
}

impl<'a> Task<'a> {
    async fn from_the_list(console: &Console, browser: &'a Browser) -> Self {
        browser.goto(&console.address("/")).await;
        browser.find("heading", "Domains").await;
        Self { browser, clicks: 0 }
    }

    async fn click(&mut self, role: &str, name: &str) {
        self.browser.click(role, name).await;
        self.clicks += 1;
    }

    fn took_at_most(&self, clicks: usize, task: &str) {
        assert!(self.clicks <= clicks, "{task} took {} clicks", self.clicks);
    }
}

/// What fits on the screen is in the test of the keys.
#[tokio::test(flavor = "multi_thread")]
async fn daily_questions_take_one_or_two_clicks() {
    let mut console = Console::start().await;
    console.world.point_at_cdn(NAME);
    console.world.dns.control().set_cname(NAME, "elsewhere.example.net");
    console.domain(&["add", NAME]);
    console.manager.status(NAME, "Failure", LIMIT).await;
    let browser = console.signed_in("support").await;

    let mut why = Task::from_the_list(&console, &browser).await;
    why.click("link", &format!("View {NAME}")).await;
    browser.see("No certificate yet: DNS does not point to the CDN.").await;
    browser.see("To switch on HTTPS for shop.example.com, set shop.example.com as CNAME").await;
    why.click("button", "Copy message").await;
    browser.see("Copied").await;
    why.took_at_most(2, "why a domain fails, and the message for the customer");

    let mut ending = Task::from_the_list(&console, &browser).await;
    ending.click("link", "Ends within 7 days").await;
    browser.see("0 domains").await;
    ending.took_at_most(1, "what ends within 7 days");

    let mut midnight = Task::from_the_list(&console, &browser).await;
    midnight.click("link", "Midnight").await;
    browser.find("heading", "Midnight").await;
    midnight.took_at_most(1, "the last midnight");

    let mut new = Task::from_the_list(&console, &browser).await;
    new.click("link", "New since yesterday").await;
    browser.at("new=1").await;
    browser.see("Needs a person since").await;
    assert_eq!(browser.names("rowheader").await, [NAME]);
    new.took_at_most(1, "what is new since yesterday");
    console.world.point_at_cdn(NAME);
    console.domain(&["recheck", NAME]);
    browser.see_in_row(NAME, "Success").await;
    browser.goto(&console.address("/?new=1")).await;
    browser.see("0 domains").await;
    browser.assert_no_problems().await;
}

//! How a page is looked at: theme, size, and pictures of it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Browser;

/// What the viewer prefers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
    /// The few colours of a high-contrast mode.
    ForcedColors,
}

/// How large the window is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Size {
    /// 1280 by 900.
    Desktop,
    /// 390 by 844.
    Phone,
    /// The desktop's window at 200%.
    Zoomed,
    /// So wide and so high.
    Of(u32, u32),
}

/// Widths of a small phone, a phone, a tablet and a laptop.
const WINDOWS: [(u32, u32); 4] = [(320, 568), (390, 844), (834, 1112), (1440, 900)];

impl Browser {
    /// Sets what the viewer prefers; the page follows at once.
    pub async fn theme(&self, theme: Theme) {
        let scheme = if theme == Theme::Dark { "dark" } else { "light" };
        let forced = if theme == Theme::ForcedColors { "active" } else { "none" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "forced-colors", "value": forced },
        ]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Sets the size of the window.
    pub async fn size(&self, size: Size) {
        let (width, height, scale) = match size {
            Size::Desktop => (1280, 900, 1),
            Size::Phone => (390, 844, 1),
            // What zoom is to a page: fewer pixels, each of them larger.
            Size::Zoomed => (640, 450, 2),
            Size::Of(width, height) => (width, height, 1),
        };
        let metrics = json!({
            "width": width,
            "height": height,
            "deviceScaleFactor": scale,
            "mobile": false,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// By how many pixels the page is wider than the window.
    pub async fn overflow(&self) -> i64 {
        let wider = "const page = document.scrollingElement; return page.scrollWidth - page.clientWidth";
        self.script(wider, vec![]).await.as_i64().expect("pixels")
    }

    /// The whole page as a picture: `target/screenshots/<name>.png`.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let metrics = self.devtools("Page.getLayoutMetrics", json!({})).await;
        self.picture(name, &metrics["cssContentSize"]).await
    }

    /// Checks that a page is accessible in each theme and fits every window, and leaves pictures of it in both themes:
    /// `<screen>-<width>-<light|dark>` and `<screen>-zoomed`.
    pub async fn look(&self, screen: &str) {
        for (theme, word) in [(Theme::Light, "light"), (Theme::Dark, "dark"), (Theme::ForcedColors, "forced")]
        {
            self.theme(theme).await;
            self.assert_accessible(&format!("{screen}, {word}")).await;
        }
        for (theme, word) in [(Theme::Dark, "dark"), (Theme::Light, "light")] {
            self.theme(theme).await;
            for (width, height) in WINDOWS {
                self.fits(screen, Size::Of(width, height)).await;
                self.screenshot(&format!("{screen}-{width}-{word}")).await;
            }
        }
        self.fits(screen, Size::Of(2560, 1200)).await;
        self.fits(screen, Size::Zoomed).await;
        self.screenshot(&format!("{screen}-zoomed")).await;
        self.fits(screen, Size::Phone).await;
        self.assert_accessible(&format!("{screen} on a phone")).await;
        self.size(Size::Desktop).await;
    }

    async fn fits(&self, screen: &str, size: Size) {
        self.size(size).await;
        assert_eq!(self.overflow().await, 0, "{screen} is wider than the window at {size:?}");
    }

    /// What the window shows as a picture, in the same folder.
    pub async fn window(&self, name: &str) -> PathBuf {
        let metrics = self.devtools("Page.getLayoutMetrics", json!({})).await;
        let view = &metrics["cssLayoutViewport"];
        self.picture(name, &json!({ "width": view["clientWidth"], "height": view["clientHeight"] })).await
    }

    async fn picture(&self, name: &str, content: &Value) -> PathBuf {
        let picture = json!({
            "captureBeyondViewport": true,
            "clip": {
                "x": 0,
                "y": 0,
                "width": content["width"],
                "height": content["height"],
                "scale": 1,
            },
        });
        let picture = self.devtools("Page.captureScreenshot", picture).await;
        let png = STANDARD.decode(picture["data"].as_str().unwrap_or_default()).expect("base64");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, png).expect("a file");
        path
    }

    /// What a computed style of an element is, by CSS selector: looks have no role.
    pub async fn style(&self, selector: &str, property: &str) -> String {
        let script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]";
        let arguments = vec![Value::from(selector), Value::from(property)];
        let value = self.script(script, arguments).await;
        value.as_str().unwrap_or_default().to_owned()
    }
}

//! The actions of a visitor in a browser: opens pages, clicks, types, and reads.

use std::path::PathBuf;

use base64::Engine as _;
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use super::browser::axe;
use super::chromium::ChromiumCommand;
use crate::world::wait_for;

/// The colour scheme that a visitor prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Dark text on a light ground.
    Light,
    /// Light text on a dark ground.
    Dark,
}

/// The width of a screen, in CSS pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// A desktop of 1280 pixels.
    Desktop,
    /// A phone of 390 pixels.
    Phone,
}

/// Whether pages may run scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scripts {
    /// They may.
    On,
    /// They may not.
    Off,
}

impl Scripts {
    /// Both modes, each with a name for its namespaces.
    pub const BOTH: [(Self, &str); 2] = [(Self::On, "scripts"), (Self::Off, "plain")];
}

/// A tab of a browser at a server.
pub struct Tab {
    client: Client,
    origin: String,
    downloads: PathBuf,
}

impl Tab {
    /// Returns the tab of a new browser with an empty folder for downloads, as a desktop in the light scheme with scripts.
    pub async fn new(client: Client, origin: &str, downloads: PathBuf) -> Self {
        let tab = Self { client, origin: origin.to_owned(), downloads };
        tab.on(Screen::Desktop).await;
        tab.in_theme(Theme::Light).await;
        tab
    }

    /// Ends the browser.
    pub async fn close(self) {
        self.client.close().await.expect("the browser ends");
    }

    async fn devtools(&self, method: &str, parameters: Value) -> Value {
        let command = ChromiumCommand::devtools(method, &parameters);
        self.client.issue_cmd(command).await.expect(method)
    }

    /// Changes the screen.
    pub async fn on(&self, screen: Screen) {
        let (width, height) = match screen {
            Screen::Desktop => (1280, 900),
            Screen::Phone => (390, 844),
        };
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Changes the preferred colour scheme.
    pub async fn in_theme(&self, theme: Theme) {
        let value = if theme == Theme::Dark { "dark" } else { "light" };
        let media = json!({"media": "", "features": [{"name": "prefers-color-scheme", "value": value}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Shows pages as on paper.
    pub async fn on_paper(&self) {
        self.devtools("Emulation.setEmulatedMedia", json!({"media": "print"})).await;
    }

    /// Allows or forbids scripts of pages that are opened after it.
    pub async fn with_scripts(&self, scripts: Scripts) {
        let off = json!({"value": scripts == Scripts::Off});
        self.devtools("Emulation.setScriptExecutionDisabled", off).await;
    }

    /// Opens a path of the server, or another URL.
    pub async fn open(&self, path: &str) {
        let url = if path.starts_with('/') { format!("{}{path}", self.origin) } else { path.to_owned() };
        self.client.goto(&url).await.expect("page");
    }

    /// Goes back to the page before.
    pub async fn back(&self) {
        self.client.back().await.expect("page");
    }

    /// Returns path and query of the page.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.expect("URL").to_string();
        url.strip_prefix(&self.origin).map_or(url.clone(), str::to_owned)
    }

    /// Returns the HTML of the page.
    pub async fn html(&self) -> String {
        self.client.source().await.expect("page")
    }

    /// Returns the visible text of the page.
    pub async fn text(&self) -> String {
        self.find("body").await.text().await.expect("text")
    }

    /// Returns all elements that a CSS selector matches now.
    pub async fn all(&self, selector: &str) -> Vec<Element> {
        self.client.find_all(Locator::Css(selector)).await.expect("selector")
    }

    /// Waits for the element that a CSS selector matches first.
    pub async fn find(&self, selector: &str) -> Element {
        self.await_element(Locator::Css(selector), selector).await
    }

    async fn await_element(&self, locator: Locator<'_>, what: &str) -> Element {
        let look = async || self.client.find(locator).await.ok();
        wait_for(&format!("{what} is on the page"), look).await
    }

    /// Waits for the element with this `data-testid`.
    pub async fn element(&self, id: &str) -> Element {
        self.find(&format!("[data-testid='{id}']")).await
    }

    /// Returns whether the page has an element with this `data-testid`.
    pub async fn has(&self, id: &str) -> bool {
        !self.all(&format!("[data-testid='{id}']")).await.is_empty()
    }

    /// Returns the text of the element with this `data-testid`.
    pub async fn reads(&self, id: &str) -> String {
        self.element(id).await.text().await.expect("text")
    }

    /// Opens a path again until the element with this `data-testid` holds a text.
    pub async fn open_until(&self, path: &str, id: &str, expected: &str) {
        wait_for(&format!("{id} of {path} shows {expected}"), async || {
            self.open(path).await;
            let selector = format!("[data-testid='{id}']");
            let found = self.client.find(Locator::Css(&selector)).await.ok()?;
            found.text().await.ok()?.contains(expected).then_some(())
        })
        .await;
    }

    /// Clicks the element with this `data-testid`.
    pub async fn click(&self, id: &str) {
        click(&self.element(id).await).await;
    }

    /// Clicks a link or a button by its text.
    pub async fn press(&self, text: &str) {
        let name = format!("normalize-space(.)={}", quoted(text));
        let path = format!("//a[{name}] | //button[{name}] | //summary[{name}]");
        click(&self.await_element(Locator::XPath(&path), text).await).await;
    }

    /// Clicks a button by its text, in the form whose address ends with a path.
    pub async fn press_within(&self, form: &str, text: &str) {
        let path = format!(
            "//form[contains(@action, {})]//button[normalize-space(.)={}]",
            quoted(&format!("/{form}")),
            quoted(text)
        );
        click(&self.await_element(Locator::XPath(&path), text).await).await;
    }

    /// Returns the amount of the first figure in large letters, without its unit.
    pub async fn figure(&self) -> String {
        let text = self.find("main .figure").await.text().await.expect("text");
        text.trim_end_matches(" credits").to_owned()
    }

    /// Clicks the link that a CSS selector matches, and returns the content of the file that is downloaded.
    pub async fn download(&self, selector: &str) -> String {
        click(&self.find(selector).await).await;
        let file = wait_for("the file is downloaded", async || {
            let files = std::fs::read_dir(&self.downloads).ok()?.filter_map(Result::ok);
            let files: Vec<PathBuf> = files.map(|file| file.path()).collect();
            // Until the file is complete, the browser has one with another name beside an empty one with its name.
            let [file] = files.as_slice() else { return None };
            let is_complete = !file.to_string_lossy().ends_with(".crdownload")
                && !file.to_string_lossy().contains("/.")
                && std::fs::metadata(file).ok()?.len() > 0;
            is_complete.then(|| file.clone())
        });
        let file = file.await;
        let content = std::fs::read_to_string(&file).expect("file");
        std::fs::remove_file(file).expect("file");
        content
    }

    /// Waits for the field with this label, within a form or on the page.
    pub async fn field(&self, label: &str) -> Element {
        let label_is = format!("//label[starts-with(normalize-space(.),{})]", quoted(label));
        let path = format!(
            "//*[self::input or self::select or self::textarea][@id={label_is}/@for] | {label_is}//*[self::input \
             or self::select or self::textarea]"
        );
        self.await_element(Locator::XPath(&path), label).await
    }

    /// Replaces the text of the field with this label.
    pub async fn fill(&self, label: &str, text: &str) {
        let field = self.field(label).await;
        field.clear().await.expect(label);
        field.send_keys(text).await.expect(label);
    }

    /// Returns the value of the field with this label.
    pub async fn value(&self, label: &str) -> String {
        self.field(label).await.prop("value").await.expect(label).unwrap_or_default()
    }

    /// Runs a script of the test, also on pages whose own scripts may not run.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect(script)
    }

    /// Moves the focus to the next element by the keyboard.
    pub async fn tabulate(&self) {
        let key = char::from(Key::Tab);
        let press = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: key })
            .then(KeyAction::Up { value: key });
        self.client.perform_actions(press).await.expect("key");
    }

    /// Returns the text of the first frame of the page.
    pub async fn framed_text(&self) -> String {
        self.find("iframe").await.enter_frame().await.expect("frame");
        let text = self.text().await;
        self.client.enter_parent_frame().await.expect("page");
        text
    }

    /// Opens the newest invoice from the list of invoices.
    pub async fn open_first_invoice(&self) {
        let row = self.element("invoice-row").await;
        row.find(Locator::Css("a")).await.expect("link").click().await.expect("clicked");
    }

    /// Takes a picture of the page from its top, at most `height` pixels high, in PNG.
    pub async fn picture(&self, height: u64) -> Vec<u8> {
        let size = self.run("return [innerWidth, document.documentElement.scrollHeight]").await;
        let height = size[1].as_u64().expect("height").min(height);
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": height, "scale": 1});
        let options = json!({"captureBeyondViewport": true, "clip": clip});
        let picture = self.devtools("Page.captureScreenshot", options).await;
        base64::engine::general_purpose::STANDARD
            .decode(picture["data"].as_str().expect("data"))
            .expect("base64")
    }

    /// Returns the errors and warnings that the browser has logged since the last call.
    pub async fn logged(&self) -> Vec<String> {
        let entries = self.log("browser").await.into_iter();
        let entries = entries.filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG");
        entries.map(|entry| format!("{} {}", entry["level"], entry["message"])).collect()
    }

    /// Returns the entries of a log of the browser since the last call.
    async fn log(&self, name: &str) -> Vec<Value> {
        let entries = self.client.issue_cmd(ChromiumCommand::log(name)).await.expect("log");
        entries.as_array().cloned().expect("entries")
    }

    /// Returns the URLs that pages have requested since the last call.
    pub async fn requested(&self) -> Vec<String> {
        let events = self.log("performance").await.into_iter();
        let events =
            events.filter_map(|entry| serde_json::from_str::<Value>(entry["message"].as_str()?).ok());
        let requests = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        let urls = requests
            .filter_map(|event| event.pointer("/message/params/request/url")?.as_str().map(str::to_owned));
        urls.filter(|url| !url.starts_with("chrome:") && !url.starts_with("data:")).collect()
    }

    /// Checks that the page logs no error, requests nothing from elsewhere, and is not wider than the screen.
    pub async fn is_clean(&self) {
        let path = self.path().await;
        let logged = self.logged().await;
        assert!(logged.is_empty(), "{path} logs {logged:#?}");
        let requested = self.requested().await;
        let foreign: Vec<_> =
            requested.iter().filter(|url| !url.starts_with(&format!("{}/", self.origin))).collect();
        assert!(foreign.is_empty(), "{path} requests {foreign:#?}");
        let wide = self.run(OVERFLOW).await;
        assert!(wide.is_null(), "{path} is wider than the screen: {wide:#}");
    }

    /// Checks the page with every rule of axe-core. The page must be opened with scripts.
    pub async fn is_accessible(&self) {
        let script = format!("{};{RUN_AXE}", axe());
        let violations = self.client.execute_async(&script, Vec::new()).await.expect("axe-core");
        assert_eq!(violations, json!([]), "{} violates rules: {violations:#}", self.path().await);
    }
}

/// Returns the widths if the page is wider than the screen, and the elements that reach beyond it.
const OVERFLOW: &str = "
    const root = document.documentElement;
    if (root.scrollWidth <= root.clientWidth) return null;
    const scrolls = element => element && (getComputedStyle(element).overflowX !== 'visible' || scrolls(element.parentElement));
    const wide = [...document.body.querySelectorAll('*')].filter(element =>
        element.getBoundingClientRect().right > root.clientWidth && !scrolls(element.parentElement));
    return [root.scrollWidth, root.clientWidth, ...wide.slice(0, 5).map(element => element.outerHTML.slice(0, 200))];";

/// Runs axe-core, and returns each violation with its elements.
const RUN_AXE: &str = "
    const done = arguments[0];
    axe.run().then(result => done(result.violations.map(violation => [
        violation.id, violation.help, ...violation.nodes.map(node => node.failureSummary + ' ' + node.html.slice(0, 300))
    ])), error => done(String(error)));";

async fn click(element: &Element) {
    element.click().await.expect("clicked");
}

/// Returns a text as a string of `XPath`.
fn quoted(text: &str) -> String {
    format!("concat('', '{}')", text.replace('\'', "', \"'\", '"))
}

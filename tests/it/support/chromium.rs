//! Debian's Chromium without a window, driven over the DevTools protocol: messages of JSON, each ended by a NUL, through a
//! pair of pipes. No port is opened for it, and nobody else can drive it.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{PATIENCE, process, until};

/// Chromium reads commands from descriptor 3 and writes to 4. Debian calls it by its own name, others do not.
const PIPES: &str = "exec 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null; \
     for name in chromium chromium-browser google-chrome; do \
     if command -v $name; then exec $name \"$@\"; fi; done; exit 127";

/// Nothing is asked of the world, nothing is remembered, and nothing depends on the machine's screen.
const FLAGS: [&str; 12] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--mute-audio",
    "--force-color-profile=srgb",
];

/// A browser; it ends with the last of its pages and this value.
#[derive(Clone)]
pub struct Chromium(Arc<Browser>);

struct Browser {
    child: Mutex<Child>,
    pipe: Mutex<ChildStdin>,
    asked: AtomicU64,
    answers: Mutex<HashMap<u64, oneshot::Sender<Json>>>,
    events: watch::Sender<Vec<Json>>,
    _profile: TempDir,
}

/// A page in it.
pub struct Page {
    browser: Chromium,
    session: String,
}

impl Chromium {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", PIPES, "sh"]).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.env("HOME", profile.path()).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = process::spawn(&mut command).unwrap();
        let (pipe, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let browser = Arc::new(Browser {
            child: Mutex::new(child),
            pipe: Mutex::new(pipe),
            asked: AtomicU64::new(0),
            answers: Mutex::default(),
            events: watch::Sender::default(),
            _profile: profile,
        });
        let listening = Arc::downgrade(&browser);
        std::thread::spawn(move || {
            for message in BufReader::new(out).split(0).map_while(Result::ok) {
                let Some(browser) = listening.upgrade() else { return };
                browser.heard(serde_json::from_slice(&message).unwrap());
            }
            // Whoever still waits for an answer learns that none will come.
            if let Some(browser) = listening.upgrade() {
                browser.answers.lock().unwrap().clear();
            }
        });
        Self(browser)
    }

    /// Opens a page of this size, as a machine or (below 500) as a phone.
    pub async fn open(&self, url: &str, (width, height): (u32, u32)) -> Page {
        let target = self.ask("", "Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.ask("", "Target.attachToTarget", attach).await["sessionId"].clone();
        let page = Page { browser: self.clone(), session: session.as_str().unwrap().to_owned() };
        for domain in ["Page", "Runtime", "Log", "DOM"] {
            page.ask(&format!("{domain}.enable"), json!({})).await;
        }
        page.resize((width, height)).await;
        page.ask("Page.navigate", json!({ "url": url })).await;
        let there = "location.href !== 'about:blank' && document.readyState === 'complete'";
        page.until("the page's document", there).await;
        page
    }

    async fn ask(&self, session: &str, method: &str, params: Json) -> Json {
        let browser = &self.0;
        let id = browser.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let (tell, told) = oneshot::channel();
        browser.answers.lock().unwrap().insert(id, tell);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !session.is_empty() {
            message["sessionId"] = session.into();
        }
        let mut text = message.to_string().into_bytes();
        text.push(0);
        let sent = browser.pipe.lock().unwrap().write_all(&text);
        sent.unwrap_or_else(|error| panic!("{method}: {error}; is the package chromium installed?"));
        let told = timeout(PATIENCE, told).await;
        let told = told.unwrap_or_else(|_| panic!("{method} {params}: no answer in {PATIENCE:?}"));
        let told = told.unwrap_or_else(|_| panic!("{method}: Chromium is gone; is its package installed?"));
        assert!(told.get("error").is_none(), "{method} {params}: {told}");
        told["result"].clone()
    }
}

impl Browser {
    fn heard(&self, message: Json) {
        match message["id"].as_u64() {
            Some(id) => {
                let asked = self.answers.lock().unwrap().remove(&id);
                asked.map(|asked| asked.send(message));
            }
            None => self.events.send_modify(|events| events.push(message)),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        // All of its processes, which are a group of their own.
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        let _ = child.wait();
    }
}

impl Page {
    async fn ask(&self, method: &str, params: Json) -> Json {
        self.browser.ask(&self.session, method, params).await
    }

    pub async fn resize(&self, (width, height): (u32, u32)) {
        let phone = width < 500;
        let scale = if phone { 2 } else { 1 };
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone });
        self.ask("Emulation.setDeviceMetricsOverride", metrics).await;
        self.ask("Emulation.setTouchEmulationEnabled", json!({ "enabled": phone })).await;
    }

    /// As the user's system would have it: `light` or `dark`.
    pub async fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.ask("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        let settled = "!document.getAnimations().some((one) => one instanceof CSSTransition)";
        self.until("the colours", settled).await;
    }

    /// The value of an expression, once it is settled; as if a user had touched the page just now.
    pub async fn eval(&self, script: &str) -> Json {
        let params = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let result = self.ask("Runtime.evaluate", params).await;
        assert!(result.get("exceptionDetails").is_none(), "{script}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page.
    pub async fn until(&self, what: &str, condition: &str) {
        let script = format!(
            "new Promise((done) => {{ const began = Date.now(); const look = () => {{ let is = false; \
             try {{ is = ({condition}); }} catch {{ is = false; }} \
             if (is || Date.now() - began > {}) done(Boolean(is)); else setTimeout(look, 25); }}; look(); }})",
            PATIENCE.as_millis() / 2
        );
        if self.eval(&script).await != true {
            self.screenshot("failure").await;
            let text = self.eval("document.body.innerText").await;
            panic!(
                "waited in vain for {what}: {condition}\n{}\n{:#?}",
                text.as_str().unwrap(),
                self.complaints()
            );
        }
    }

    /// The text of the first element that a selector finds.
    pub async fn text(&self, selector: &str) -> String {
        let script = format!("document.querySelector({}).innerText", Json::from(selector));
        self.eval(&script).await.as_str().unwrap().to_owned()
    }

    /// A click of the mouse in the middle of an element, which must be seen there.
    pub async fn click(&self, selector: &str) {
        let name = Json::from(selector);
        self.until(selector, &format!("document.querySelector({name})?.checkVisibility()")).await;
        let script = format!(
            "(() => {{ const one = document.querySelector({name}); one.scrollIntoView({{ block: 'center' }}); \
             const box = one.getBoundingClientRect(); const at = [box.x + box.width / 2, box.y + box.height / 2]; \
             const top = document.elementFromPoint(...at); return top && (one.contains(top) || top.contains(one)) ? at : null; }})()"
        );
        let at = self.eval(&script).await;
        assert!(at.is_array(), "{selector} is covered by something else");
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
            self.ask("Input.dispatchMouseEvent", params).await;
        }
    }

    /// Types into what has the focus.
    pub async fn write(&self, text: &str) {
        self.ask("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a key: `Tab`, `Enter` or ` `.
    pub async fn press(&self, key: &str) {
        let (code, number, text) = match key {
            "Tab" => ("Tab", 9, ""),
            "Enter" => ("Enter", 13, "\r"),
            " " => ("Space", 32, " "),
            "Escape" => ("Escape", 27, ""),
            other => panic!("{other} is not known"),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let params = json!({ "type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number, "text": text });
            self.ask("Input.dispatchKeyEvent", params).await;
        }
    }

    /// Presses Tab until an expression about the focus is true.
    pub async fn tab_to(&self, what: &str, condition: &str) {
        for _ in 0..60 {
            self.press("Tab").await;
            if self.eval(condition).await == true {
                return;
            }
        }
        panic!("Tab never reaches {what}");
    }

    /// Chooses a file in a file input.
    pub async fn choose_file(&self, selector: &str, path: &Path) {
        let document = self.ask("DOM.getDocument", json!({})).await;
        let found = json!({ "nodeId": document["root"]["nodeId"], "selector": selector });
        let node = self.ask("DOM.querySelector", found).await;
        self.ask("DOM.setFileInputFiles", json!({ "nodeId": node["nodeId"], "files": [path] })).await;
    }

    /// Keeps a picture of the whole page below `target/screenshots`.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let png = self.ask("Page.captureScreenshot", params).await;
        let png = data_encoding::BASE64.decode(png["data"].as_str().unwrap().as_bytes()).unwrap();
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("screenshots");
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join(format!("{name}.png"));
        std::fs::write(&path, png).unwrap();
        path
    }

    fn own(&self, events: &[Json]) -> Vec<Json> {
        events.iter().filter(|event| event["sessionId"] == self.session.as_str()).cloned().collect()
    }

    /// What the browser minded: exceptions, and errors in its log, violations of the page's policy among them. That a
    /// request was refused is the page's to tell, not an error of its.
    pub fn complaints(&self) -> Vec<String> {
        let events = self.own(&self.browser.0.events.borrow());
        let minded = |event: &&Json| match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => true,
            "Log.entryAdded" => {
                let entry = &event["params"]["entry"];
                entry["level"] == "error" && entry["source"] != "network"
            }
            "Runtime.consoleAPICalled" => event["params"]["type"] == "error",
            _ => false,
        };
        events.iter().filter(minded).map(|event| event["params"].to_string()).collect()
    }

    /// Fails if the browser minded anything.
    #[track_caller]
    pub fn is_calm(&self) {
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// Waits until the browser minds something that says this.
    pub async fn complaint(&self, text: &str) {
        let minded = |events: &Vec<Json>| {
            self.own(events).iter().any(|event| {
                event["method"] == "Log.entryAdded" && event["params"].to_string().contains(text)
            })
        };
        until(&self.browser.0.events, text, minded).await;
    }
}

//! Somebody who opens the page of a server of their own: what tests of the page begin and end with.

use super::{Chromium, Page, Sandbox, Serve, swarmcat::Invocation};

/// The screen of a machine.
pub const DESK: (u32, u32) = (1280, 900);
/// The screen of a phone.
pub const PHONE: (u32, u32) = (360, 740);

/// A browser that shows the page of a running server.
pub struct Visit {
    pub sandbox: Sandbox,
    pub serve: Serve,
    pub browser: Chromium,
    pub page: Page,
}

impl Visit {
    /// To a server that is started as `with` says.
    pub async fn to(with: impl FnOnce(Invocation) -> Invocation) -> Self {
        Self::within(Sandbox::new(), with).await
    }

    /// To a server that nobody will tell about torrents.
    pub async fn alone() -> Self {
        Self::to(|serve| serve.arg("--no-trackers")).await
    }

    /// As [`to`](Self::to), where something has been before.
    pub async fn within(sandbox: Sandbox, with: impl FnOnce(Invocation) -> Invocation) -> Self {
        let serve = Serve::start(with(sandbox.serve())).await;
        let browser = Chromium::start();
        let page = browser.open(&serve.url("/"), DESK).await;
        Self { sandbox, serve, browser, page }
    }

    /// The browser has minded nothing, and the server ends as it should.
    pub async fn end(self) {
        self.page.is_calm();
        self.serve.stop().await;
    }
}

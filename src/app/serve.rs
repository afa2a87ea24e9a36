//! `swarmcat serve`: the local proxy, from its sockets to its end.

use std::{io, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::runtime;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::signals;
use crate::{
    core::{Error, settings::Settings},
    http::{
        listen::{Listener, PORT},
        routes,
        serving::Serving,
        shelf::Shelf,
    },
    ui::screen::Screen,
};

/// File descriptors beside the connections': peers, tables, the log, libraries.
const OTHER_FILES: u64 = 256;

/// Serves until a signal; says on `screen` where.
pub fn run(serving: Serving, settings: Settings, screen: Option<&Screen>) -> Result<(), Error> {
    let stop = signals::install()?;
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(format!("cannot start a runtime: {error}")))?;
    let served = runtime.block_on(serve(serving, settings, screen, stop));
    // What a library still does on its threads must not hold up the end.
    runtime.shutdown_background();
    served
}

async fn serve(
    mut serving: Serving,
    mut settings: Settings,
    screen: Option<&Screen>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let listeners = listeners(&serving)?;
    serving.limits.connections = serving.limits.connections.min(connections());
    settings.swarm.public_only = !serving.policy.private_peers;
    if settings.swarm.lsd && settings.swarm.public_only {
        tracing::warn!(
            "--lsd finds peers in this network alone; they are dialled only with --allow-private-peers"
        );
    }
    let shelf = Shelf::new(settings);
    let tending = AbortOnDropHandle::new(tokio::spawn(shelf.tend()));
    let server = routes::server(shelf, serving.policy, serving.limits, &stop);
    if let Some(screen) = screen {
        listeners.iter().for_each(|listener| screen.say(&format!("listening on {}", listener.place())));
    }
    tell_systemd(NotifyState::Ready);
    let _alive =
        sd_notify::watchdog_enabled().map(|period| AbortOnDropHandle::new(tokio::spawn(watchdog(period))));
    let ending = async {
        stop.cancelled().await;
        tell_systemd(NotifyState::Stopping);
    };
    tokio::join!(server.run(listeners, stop.clone()), ending);
    // It holds the core as well, and only when the last one lets go is noted what has come of the torrents.
    tending.abort();
    let _ = tending.await;
    Err(Error::Cancelled)
}

/// The sockets that systemd hands over, else those that the settings name.
fn listeners(serving: &Serving) -> Result<Vec<Listener>, Error> {
    let inherited = Listener::inherited()?;
    if !inherited.is_empty() {
        serving.check(&inherited.iter().map(Listener::place).collect::<Vec<_>>())?;
        return Ok(inherited);
    }
    if serving.places.is_empty() {
        return Listener::bind_loopbacks(PORT);
    }
    serving.check(&serving.places.iter().collect::<Vec<_>>())?;
    Listener::bind(&serving.places)
}

/// How many connections the limit on open files allows, each with the file that it reads; the limit is raised as far
/// as it goes.
fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let each_two = files.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES) / 2);
    usize::try_from(each_two).unwrap_or(usize::MAX).max(16)
}

/// Without systemd nobody listens, and that is as good.
fn tell_systemd(state: NotifyState<'_>) {
    let told: io::Result<()> = sd_notify::notify(&[state]);
    if let Err(error) = told {
        tracing::debug!("systemd was not told: {error}");
    }
}

/// Twice as often as systemd wants to hear.
async fn watchdog(period: Duration) {
    let mut ticks = tokio::time::interval(period / 2);
    loop {
        ticks.tick().await;
        tell_systemd(NotifyState::Watchdog);
    }
}

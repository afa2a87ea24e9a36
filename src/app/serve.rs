//! `swarmcat serve`: the local proxy, from its sockets to its end.

use std::{io, time::Duration};

use sd_notify::NotifyState;
use tokio::runtime;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    files::{self, Shares},
    signals,
};
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
    share_files(&mut serving, &mut settings);
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

/// Lets in as many connections and peers as the limit on open files has room for.
fn share_files(serving: &mut Serving, settings: &mut Settings) {
    let (limit, wanted) = (files::limit(), serving.limits.connections);
    let Shares { connections, peers } = Shares::of(limit, settings.max_torrents, wanted);
    if connections < wanted {
        tracing::info!(
            "room for {connections} connections instead of {wanted}: the limit on open files is {limit}"
        );
    }
    serving.limits.connections = connections;
    settings.swarm.peers_in_all = peers;
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

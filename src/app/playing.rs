//! `stream --open`: one file and the subtitles beside it, served to one player, for as long as it plays.

use std::{
    convert::Infallible,
    ffi::OsString,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{process::Child, sync::watch};
use tokio_util::sync::CancellationToken;

use super::player::Player;
use crate::{
    core::{
        Error, Streamer,
        media::{FileSelector, Media},
        metainfo::Metainfo,
        reader::Opened,
        source::{Magnet, Source},
        status::Status,
        streamer::Request,
        subtitles,
    },
    http::{
        server::Counters,
        single::{self, Beside},
    },
};

/// Subtitles that a player is told of at most: a command line has its limits, and so has a list of languages.
const MOST_SUBTITLES: usize = 40;

/// How often the bytes that the player has taken are counted: as often as the screen follows.
const COUNT_EVERY: Duration = Duration::from_millis(250);

/// Plays `opened`, and returns when the player has ended and nothing of it is held any more; how many bytes the player took.
pub async fn play(
    player: &Player,
    args: &[String],
    opened: Opened,
    streamer: &Arc<Streamer>,
    source: &Source,
    status: &watch::Sender<Status>,
) -> Result<u64, Error> {
    let (address, listener) = listen()?;
    let token = single::token();
    let media = beside(opened.content().metainfo(), opened.media());
    let subtitles: Vec<String> =
        media.iter().map(|media| single::url_beside(address, &token, media)).collect();
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let mut child = player.start(&args, &single::url(address, &token, opened.media()), &subtitles)?;
    let source = again(source, opened.content().metainfo());
    let beside = Subtitles { streamer: streamer.clone(), source, media };
    let (counters, stop) = (Counters::default(), CancellationToken::new());
    let served = single::serve(listener, &token, opened, beside, counters.clone(), stop.clone());
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = end(&mut child, player) => ended,
        ended = &mut served => return Err(ended_early(ended)),
        never = count(&counters, status) => match never {},
    };
    // Whoever still reads would keep the torrent in use.
    stop.cancel();
    served.await.map_err(|error| ended_early(Err(error)))?;
    ended.map(|()| counters.sent.get())
}

/// Tells what was sent, for as long as it is polled.
async fn count(counters: &Counters, status: &watch::Sender<Status>) -> Infallible {
    let mut ticks = tokio::time::interval(COUNT_EVERY);
    loop {
        ticks.tick().await;
        status.send_modify(|status| status.delivered = counters.sent.get());
    }
}

fn ended_early(ended: io::Result<()>) -> Error {
    Error::Internal(match ended {
        Ok(()) => "the player's server ended early".into(),
        Err(error) => format!("serving the player: {error}"),
    })
}

fn listen() -> Result<(SocketAddr, TcpListener), Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| Ok((listener.local_addr()?, listener)))
        .map_err(|error| Error::Internal(format!("cannot listen on loopback: {error}")))
}

async fn end(child: &mut Child, player: &Player) -> Result<(), Error> {
    match child.wait().await {
        Ok(code) if code.success() => Ok(()),
        Ok(code) => Err(Error::Internal(format!("{} ended with {code}", player.program().display()))),
        Err(error) => Err(Error::Internal(format!("waiting for the player: {error}"))),
    }
}

/// The subtitles of `video` among a torrent's files.
fn beside(metainfo: &Metainfo, video: &Media) -> Vec<Media> {
    let files = metainfo.files.iter().filter(|file| !file.padding);
    let paths: Vec<(usize, String)> = files.clone().map(|file| (file.index, file.display_path())).collect();
    let videos = subtitles::pairs(paths.iter().map(|(index, path)| (*index, path.as_str())));
    let own = files.filter(|file| videos.get(&file.index) == Some(&video.index));
    own.take(MOST_SUBTITLES).map(|file| Media::new(metainfo.info_hash, file)).collect()
}

/// A source that can be used once more: standard input is read but once, and a web page is not asked for every file.
pub fn again(source: &Source, metainfo: &Metainfo) -> Source {
    match source {
        Source::Hash(_) | Source::Magnet(_) => source.clone(),
        Source::File(_) | Source::Url(_) | Source::Stdin => {
            let trackers = metainfo.trackers.clone();
            Source::Magnet(Magnet { trackers, ..Magnet::bare(metainfo.info_hash) })
        }
    }
}

/// Opened through the streamer, which fetches what is not there yet.
struct Subtitles {
    streamer: Arc<Streamer>,
    source: Source,
    media: Vec<Media>,
}

impl Beside for Subtitles {
    type Content = Opened;

    fn media(&self) -> &[Media] {
        &self.media
    }

    async fn open(&self, media: &Media) -> Result<Opened, Error> {
        let request = Request {
            selector: FileSelector::Index(media.index),
            // The film plays, so the torrent is alive.
            force: true,
            ..Request::of(self.source.clone())
        };
        Ok(self.streamer.open(request).await?.0)
    }
}

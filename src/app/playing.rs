//! `stream --open`: one file and the subtitles beside it, served to one player, for as long as it plays.

use std::{
    ffi::OsString,
    future,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
};

use tokio::process::Child;

use super::player::Player;
use crate::{
    core::{
        Error, Streamer,
        media::{FileSelector, Media},
        metainfo::Metainfo,
        reader::Opened,
        source::{Magnet, Source},
        streamer::Request,
        subtitles,
    },
    http::single::{self, Beside},
};

/// Subtitles that a player is told of at most: a command line has its limits, and so has a list of languages.
const MOST_SUBTITLES: usize = 40;

/// Plays `opened`, and returns when the player has ended.
pub async fn play(
    player: &Player,
    args: &[String],
    opened: Opened,
    streamer: &Arc<Streamer>,
    source: &Source,
) -> Result<(), Error> {
    let (address, listener) = listen()?;
    let token = single::token();
    let media = beside(opened.content().metainfo(), opened.media());
    let subtitles: Vec<String> =
        media.iter().map(|media| single::url_beside(address, &token, media)).collect();
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let mut child = player.start(&args, &single::url(address, &token, opened.media()), &subtitles)?;
    let source = again(source, opened.content().metainfo());
    let beside = Subtitles { streamer: streamer.clone(), source, media };
    let served = single::serve(listener, &token, opened, beside, future::pending());
    tokio::select! {
        ended = end(&mut child, player) => ended,
        ended = served => Err(Error::Internal(match ended {
            Ok(()) => "the player's server ended early".into(),
            Err(error) => format!("serving the player: {error}"),
        })),
    }
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

//! What is told of a torrent, from what the core knows of it.

use std::collections::BTreeSet;

use super::library::{FileReport, PeerCounts, SearchReport, TorrentReport, TorrentState};
use crate::core::{
    content::Content, media::Kind, metainfo::FileEntry, playhead::Playhead, reasons, source::InfoHash,
    status::Status, subtitles, torrents::Live,
};

/// A torrent that is open.
pub fn open(live: &Live) -> TorrentReport {
    let (content, status) = (&live.torrent.content, live.status.borrow());
    let metainfo = content.metainfo();
    let files = files(content);
    let wanted = live.wanted().borrow().clone();
    let state = match live.is_kept_going() {
        _ if is_complete(&files, &wanted) => TorrentState::Complete,
        true => TorrentState::Downloading,
        false => TorrentState::Paused,
    };
    TorrentReport {
        info_hash: metainfo.info_hash,
        name: Some(metainfo.name.clone()),
        state,
        verified: files.iter().map(|file| file.verified).sum(),
        length: Some(files.iter().map(|file| file.length).sum()),
        files,
        download_rate: status.download_rate,
        upload_rate: status.upload_rate,
        peers: peers(&status),
        peer_list: status.peers.to_vec(),
        search: search(&status),
        awaited: awaited(live),
        positions: Vec::new(),
        readers: live.torrent.audience.readers(),
        idle_seconds: live.torrent.audience.idle().as_secs(),
        piece_length: metainfo.piece_length,
        have: data_encoding::HEXLOWER.encode(&content.verified().to_bytes()),
    }
}

/// Whether all that is wanted is there. Where nothing is, a file that an earlier run left whole is what is read.
fn is_complete(files: &[FileReport], wanted: &BTreeSet<usize>) -> bool {
    let whole = |file: &FileReport| file.verified == file.length;
    match wanted.is_empty() {
        true => files.iter().any(|file| file.length > 0 && whole(file)),
        false => files.iter().filter(|file| wanted.contains(&file.index)).all(whole),
    }
}

fn files(content: &Content) -> Vec<FileReport> {
    let metainfo = content.metainfo();
    let own = || metainfo.files.iter().filter(|file| !file.padding);
    let paths: Vec<_> = own().map(|file| (file.index, file.display_path())).collect();
    let pairs = subtitles::pairs(paths.iter().map(|(index, path)| (*index, path.as_str())));
    let file = |(file, (index, path)): (&FileEntry, (usize, String))| FileReport {
        index,
        kind: Kind::of(&path),
        path,
        length: file.len,
        offset: file.offset,
        verified: content.verified_bytes(index),
        subtitles_of: pairs.get(&index).copied(),
    };
    own().zip(paths.clone()).map(file).collect()
}

fn peers(status: &Status) -> PeerCounts {
    PeerCounts {
        seen: status.peers_seen,
        connecting: status.peers_connecting,
        connected: status.peers_connected,
        unchoked: status.peers_unchoked,
        sending: status.peers_sending,
        doing: reasons::in_a_line(&status.peers),
    }
}

fn search(status: &Status) -> SearchReport {
    SearchReport { phase: status.phase, discovery: status.discovery }
}

/// The pieces that readers' next missing bytes are in.
fn awaited(live: &Live) -> Vec<u32> {
    let content = &live.torrent.content;
    let metainfo = content.metainfo();
    let piece = |head: &Playhead| Some(metainfo.piece_at(metainfo.files.get(head.file)?.offset + head.needs));
    let heads = live.torrent.playheads.snapshot();
    let mut pieces: Vec<u32> = heads.iter().filter_map(|(_, head)| piece(head)).collect();
    pieces.retain(|piece| !content.verified().contains(*piece));
    pieces.sort_unstable();
    pieces.dedup();
    pieces
}

/// A torrent of which no more is known than how the search for it goes.
pub fn searching(info_hash: InfoHash, status: &Status) -> TorrentReport {
    TorrentReport {
        info_hash,
        name: None,
        state: TorrentState::Searching,
        files: Vec::new(),
        verified: 0,
        length: None,
        download_rate: 0,
        upload_rate: 0,
        peers: peers(status),
        peer_list: status.peers.to_vec(),
        search: search(status),
        awaited: Vec::new(),
        positions: Vec::new(),
        readers: 0,
        idle_seconds: 0,
        piece_length: 0,
        have: String::new(),
    }
}

//! What an earlier run left of `-o FILE`: kept where it is right, and nobody's loss where it is not.

use std::time::Duration;

use serde_json::Value as Json;
use sha1::{Digest as _, Sha1};
use swarmcat::core::{
    Streamer,
    streamer::{RangeOf, Request},
};

use crate::support::{KIB, MIB, Peer, Sandbox, Signal, Torrent, bencode::Value, swarmcat::Invocation};

/// A film that shares its first piece with the file before it, and its last one with the file behind.
fn between_others() -> Torrent {
    let torrent = Torrent::multi("season").file("e01.mkv", 100 * KIB).file("e02.mkv", 4 * MIB + 100);
    torrent.file("e03.mkv", 70 * KIB).build()
}

/// The torrent is known, and its data is not there.
fn to_a_file(sandbox: &Sandbox, torrent: &Torrent) -> Invocation {
    sandbox.write("known.torrent", torrent.metainfo());
    sandbox.stream("known.torrent").args(["-o", "out"])
}

fn read(sandbox: &Sandbox, name: &str) -> Vec<u8> {
    std::fs::read(sandbox.path(name)).unwrap()
}

#[tokio::test]
async fn nobody_loses_a_part_to_a_torrent_that_cannot_be_had() {
    let torrent = between_others();
    let mut gone = Peer::serving(&torrent).await;
    gone.stop().await;
    let most = torrent.file(1)[..3 * MIB + 77].to_vec();
    let cases: [(&str, &[&str], Vec<u8>); 4] = [
        ("its own", &["-i", "1"], most.clone()),
        ("its own, of which less is wanted", &["-i", "1", "--range", "0-99999"], most.clone()),
        ("another file's", &["-i", "0"], most),
        ("anything", &["-i", "1"], vec![7; 8 * MIB]),
    ];
    for (case, args, part) in cases {
        let sandbox = Sandbox::new();
        sandbox.write("out.part", &part);
        let run = to_a_file(&sandbox, &torrent).args(args).peer(gone.addr());
        run.args(["--peer-timeout", "100ms"]).run().await.code(4);
        assert!(read(&sandbox, "out.part") == part, "{case}");
    }
    let sandbox = Sandbox::new();
    let run = to_a_file(&sandbox, &torrent).peer(gone.addr()).args(["--peer-timeout", "100ms"]);
    run.run().await.code(4);
    assert!(!sandbox.path("out.part").exists(), "one that this run began, and that is empty");
}

/// Goes on with `part`; how many bytes of the file were written in doing so.
async fn written_beside(part: &[u8], torrent: &Torrent, index: usize) -> usize {
    let peer = Peer::serving(torrent).await;
    let sandbox = Sandbox::new();
    sandbox.write("out.part", part);
    let run = to_a_file(&sandbox, torrent).args(["-i", &index.to_string(), "--progress", "json"]);
    let run = run.peer(peer.addr()).run().await.code(0);
    assert!(read(&sandbox, "out") == torrent.file(index), "{}", run.report());
    assert!(!sandbox.path("out.part").exists());
    let done: Json = serde_json::from_str(run.stderr.last().unwrap()).unwrap();
    done["delivered"].as_u64().unwrap() as usize
}

#[tokio::test]
async fn a_part_that_begins_within_a_piece_is_gone_on_with_and_only_what_is_not_known_is_taken() {
    let (torrent, len) = (between_others(), 4 * MIB + 100);
    let (piece, offset) = (torrent.piece_length(), 100 * KIB);
    let shared = piece - offset % piece;
    let end_of_whole_pieces = (offset + 3 * MIB) / piece * piece - offset;
    let written = written_beside(&torrent.file(1)[..3 * MIB], &torrent, 1).await;
    assert_eq!(written, shared + len - end_of_whole_pieces);
}

#[tokio::test]
async fn a_part_with_a_hole_is_filled_there_alone() {
    let torrent = Torrent::single("holes.bin", 4 * MIB).build();
    let mut part = torrent.content().to_vec();
    part[MIB..MIB + 10].fill(0);
    part[3 * MIB - 1] ^= 1;
    part.extend(b"and more than the file has");
    assert_eq!(written_beside(&part, &torrent, 0).await, 2 * torrent.piece_length());
}

#[tokio::test]
async fn a_part_that_is_whole_needs_nobody() {
    // What is shared with padding is known as well.
    let padded =
        Torrent::multi("padded").file("a.mkv", MIB + 7).padding(64 * KIB - 7).file("b.mkv", 9).build();
    for torrent in [Torrent::single("whole.bin", MIB + 7).build(), padded] {
        let sandbox = Sandbox::new();
        sandbox.write("out.part", torrent.file(0));
        to_a_file(&sandbox, &torrent).without_network().run().await.code(0);
        assert!(read(&sandbox, "out") == torrent.file(0));
    }
}

#[tokio::test]
async fn a_shared_piece_is_known_by_what_is_on_the_disk_of_the_neighbours() {
    let torrent = between_others();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    for index in ["0", "2"] {
        let neighbour = sandbox.stream(torrent.hex()).args(["-i", index]).peer(peer.addr());
        neighbour.run().await.code(0);
    }
    drop(peer);
    std::fs::remove_file(sandbox.data_file(&torrent, 1)).unwrap();
    sandbox.write("out.part", torrent.file(1));
    to_a_file(&sandbox, &torrent).args(["-i", "1"]).without_network().run().await.code(0);
    assert!(read(&sandbox, "out") == torrent.file(1));
}

#[tokio::test]
async fn a_part_of_another_torrent_is_not_taken_for_this_one_and_that_is_said() {
    let torrent = between_others();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    sandbox.write("out.part", &vec![7; 8 * MIB]);
    let run = to_a_file(&sandbox, &torrent).args(["-i", "1"]).peer(peer.addr()).run().await.code(0);
    run.says("out.part: nothing in it is known to be of e02.mkv");
    assert!(read(&sandbox, "out") == torrent.file(1));
}

/// A quarter of a terabyte of zeros, in a torrent that nobody has.
fn endless() -> (Vec<u8>, u64) {
    const PIECE: usize = 16 * MIB;
    const PIECES: usize = 1 << 14;
    let hash = Sha1::digest(vec![0; PIECE]);
    let info = Value::dict([
        ("length", Value::Int((PIECE * PIECES) as i64)),
        ("name", "endless.mkv".into()),
        ("piece length", Value::Int(PIECE as i64)),
        ("pieces", Value::bytes(hash.repeat(PIECES))),
    ]);
    (Value::dict([("info", info)]).encode(), (PIECE * PIECES) as u64)
}

#[tokio::test]
async fn a_long_part_is_told_to_be_checked_and_an_interrupt_is_obeyed_meanwhile() {
    let (metainfo, len) = endless();
    let sandbox = Sandbox::new();
    sandbox.write("endless.torrent", &metainfo);
    let part = sandbox.write("out.part", b"");
    // A hole takes no room.
    std::fs::File::options().write(true).open(&part).unwrap().set_len(len).unwrap();
    let run = sandbox.stream("endless.torrent").args(["-o", "out"]).spawn();
    run.wait_for_line("that the part is checked", |line| {
        line.contains("endless.mkv: checking what is there already") && line.contains("of 256.00 GiB")
    })
    .await;
    run.signal(Signal::INT);
    run.finish().await.code(130);
    assert_eq!(std::fs::metadata(part).unwrap().len(), len);
}

#[tokio::test]
async fn what_is_looked_through_on_the_disk_is_no_wait_for_the_swarm() {
    let torrent = Torrent::single("patient.bin", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let settings = sandbox.settings(peer.addr());
    let longer = settings.waits.timeout + Duration::from_secs(1);
    let range: RangeOf = Box::new(move |opened| {
        Box::pin(async move {
            tokio::time::pause();
            tokio::time::advance(longer).await;
            tokio::time::resume();
            Ok(0..opened.media().len)
        })
    });
    let request = Request { range, ..Request::of(torrent.hex().parse().unwrap()) };
    let (_, mut reader) = Streamer::new(settings).open(request).await.unwrap();
    assert!(reader.ready().await.unwrap() > 0 && sandbox.failed().is_empty());
}

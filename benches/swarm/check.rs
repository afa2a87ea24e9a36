//! Whether a swarm is what its plan says: a plain client takes from every peer at once, one connection each.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    plan::Plan,
    seeder::Trouble,
    swarm::{Content, Swarm},
};

const BLOCK: u32 = 16 * 1024;
/// Requests under way; enough for each rate and distance of the scenarios.
const DEPTH: u64 = 64;
/// The times at which what came is compared with what should have.
const MARKS: [f64; 5] = [0.5, 1.0, 2.0, 5.0, 10.0];

const CHOKE: u8 = 0;
const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;
const REQUEST: u8 = 6;
const PIECE: u8 = 7;

/// Prints for each peer what it has sent by each mark, as a share of what its rate allows until then.
pub fn measure(python: &Path, content: &Content, plan: &Plan) -> Result<(), Trouble> {
    let mut swarm = Swarm::start(python, content, plan)?;
    swarm.go()?;
    let started = Instant::now();
    let info_hash = data_encoding::HEXLOWER.decode(swarm.info_hash.as_bytes())?;
    let shares = thread::scope(|scope| {
        let info_hash = &info_hash;
        let leeches: Vec<_> = swarm
            .peers
            .iter()
            .map(|peer| scope.spawn(move || leech(*peer, info_hash, plan, started)))
            .collect();
        leeches.into_iter().map(|leech| leech.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    let marks: Vec<String> = MARKS.iter().map(|mark| format!("{mark:>6} s")).collect();
    println!(
        "  {:<16} {:>9} {:>7} {}  (sent, of what the rate allows)",
        "peer",
        "KB/s",
        "RTT ms",
        marks.join(" ")
    );
    for ((peer, addr), came) in plan.peers.iter().zip(&swarm.peers).zip(&shares) {
        let alone = Plan { peers: vec![peer.clone()], ..plan.clone() };
        println!(
            "  {:<16} {:>9} {:>7} {}{}",
            addr.ip().to_string(),
            peer.rate / 1000,
            peer.rtt.as_millis(),
            row(&alone, came),
            if peer.chokes.is_empty() { "" } else { "  chokes" }
        );
    }
    let sum = |mark: usize| shares.iter().map(|came| came.get(mark).copied().unwrap_or_default()).sum();
    println!("  {:<34} {}\n", "together", row(plan, &(0..MARKS.len()).map(sum).collect::<Vec<u64>>()));
    Ok(())
}

fn row(plan: &Plan, came: &[u64]) -> String {
    let share = |(mark, came): (&f64, &u64)| match plan.allowed(*mark) {
        allowed if allowed > 0.0 => format!("{:>8.2}", *came as f64 / allowed),
        _ => format!("{:>8}", "-"),
    };
    MARKS.iter().zip(came).map(share).collect::<Vec<_>>().join(" ")
}

/// Takes blocks from the start until the last mark; the payload that had come at each mark.
fn leech(peer: SocketAddr, info_hash: &[u8], plan: &Plan, started: Instant) -> Vec<u64> {
    let mut arrivals = Vec::new();
    let trouble = take(peer, info_hash, plan, started, &mut arrivals).err();
    if let Some(trouble) = trouble.filter(|trouble| trouble.kind() != io::ErrorKind::WouldBlock) {
        eprintln!("swarm: {peer}: {trouble}");
    }
    let until = |mark: &f64| arrivals.iter().filter(|(when, _)| when <= mark).map(|(_, len)| len).sum();
    MARKS.iter().map(until).collect()
}

fn take(
    peer: SocketAddr,
    info_hash: &[u8],
    plan: &Plan,
    started: Instant,
    arrivals: &mut Vec<(f64, u64)>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(peer)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs_f64(MARKS[MARKS.len() - 1])))?;
    stream.write_all(
        &[b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0", info_hash, b"-SB0001-takesfromall"].concat(),
    )?;
    stream.read_exact(&mut [0; 68])?;
    stream.write_all(&[0, 0, 0, 1, INTERESTED])?;
    let (mut choked, mut asked, mut pending) = (true, 0, 0_u64);
    while started.elapsed().as_secs_f64() < MARKS[MARKS.len() - 1] {
        let mut prefix = [0; 4];
        stream.read_exact(&mut prefix)?;
        let mut message = vec![0; u32::from_be_bytes(prefix) as usize];
        stream.read_exact(&mut message)?;
        match message.first() {
            Some(&CHOKE) => (choked, pending) = (true, 0),
            Some(&UNCHOKE) => choked = false,
            Some(&PIECE) => {
                // What was in the send buffer when the choke fell still comes.
                pending = pending.saturating_sub(1);
                arrivals.push((started.elapsed().as_secs_f64(), message.len() as u64 - 9));
            }
            _ => {}
        }
        while !choked && pending < DEPTH {
            stream.write_all(&request(asked, plan))?;
            (asked, pending) = (asked + 1, pending + 1);
        }
    }
    Ok(())
}

/// For this block of the file, round and round.
fn request(block: u64, plan: &Plan) -> Vec<u8> {
    let offset = block * u64::from(BLOCK) % plan.size;
    let words = [(offset / plan.piece) as u32, (offset % plan.piece) as u32, BLOCK];
    [&[0, 0, 0, 13, REQUEST][..], &words.map(u32::to_be_bytes).concat()].concat()
}

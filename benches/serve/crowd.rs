//! Many readers, each at the pace of a film.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval_at},
};

use crate::{seeder::Trouble, servers::World};

const PER_SECOND: usize = 64 * 1024;
const STEPS: u32 = 4;
const PART: usize = PER_SECOND / STEPS as usize;

/// `readers` of them for `seconds`.
pub fn measure(world: &World, readers: usize, seconds: Duration) -> Result<(), Trouble> {
    let server = world.swarmcat()?;
    let before = server.memory("VmRSS:")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bytes: Arc<[u8]> = world.bytes.as_slice().into();
    let began = Instant::now() + Duration::from_millis(100);
    let (mut firsts, mut errors) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let mut crowd = JoinSet::new();
        for number in 0..readers {
            let start =
                rand::rng().random_range(0..bytes.len() - PER_SECOND * (seconds.as_secs() as usize + 1));
            // All of them within the first second.
            let begins = began + Duration::from_secs(1) * number as u32 / readers as u32;
            let request = server.request(start as u64);
            crowd.spawn(reader(server.address, request, bytes.clone(), start, begins, seconds));
        }
        while let Some(ended) = crowd.join_next().await {
            match ended {
                Ok(Ok(first)) => firsts.push(first),
                Ok(Err(trouble)) => errors.push(trouble.to_string()),
                Err(error) => errors.push(error.to_string()),
            }
        }
    });
    firsts.sort();
    let at = |share: f64| {
        firsts.get(((firsts.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or_default()
    };
    println!("crowd: {readers} readers at {} KiB/s for {seconds:?}", PER_SECOND >> 10);
    println!("     {} errors {:?}", errors.len(), errors.first());
    println!("     first byte: median {:?}, p99 {:?}, longest {:?}", at(0.5), at(0.99), at(1.0));
    let (after, peak) = (server.memory("VmRSS:")?, server.memory("VmHWM:")?);
    println!("     resident: {} MiB before, {} after, {} at most", before >> 20, after >> 20, peak >> 20);
    Ok(())
}

/// Compares every byte; how long the first took, from when the connection was due.
async fn reader(
    address: std::net::SocketAddr,
    request: String,
    bytes: Arc<[u8]>,
    mut position: usize,
    begins: Instant,
    seconds: Duration,
) -> Result<Duration, Trouble> {
    tokio::time::sleep_until(begins.into()).await;
    let socket = tokio::net::TcpSocket::new_v4()?;
    // Little is on its way, so that the pace is the server's as well.
    socket.set_recv_buffer_size(PER_SECOND as u32)?;
    let mut stream: TcpStream = socket.connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 206") {
        return Err(String::from_utf8_lossy(&head).into());
    }
    let mut part = vec![0; PART];
    stream.read_exact(&mut part[..1]).await?;
    let first = begins.elapsed();
    let mut filled = 1;
    let mut due = interval_at(begins.into(), Duration::from_secs(1) / STEPS);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..seconds.as_secs() * u64::from(STEPS) {
        due.tick().await;
        stream.read_exact(&mut part[filled..]).await?;
        if part != bytes[position..position + PART] {
            return Err(format!("wrong bytes from {position} on").into());
        }
        (position, filled) = (position + PART, 0);
    }
    Ok(first)
}

//! How fast a torrent that cools down is refused.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval_at},
};

use crate::{
    seeder::Trouble,
    servers::{DEAD, Server, World},
    support::Spread,
};

const TURNS: usize = 3;
const PER_SECOND: u32 = 1000;
const CONNECTIONS: u32 = 20;

/// The rate beside that of `/health`, then the times at a fixed rate.
pub fn measure(world: &World, seconds: Duration) -> Result<(), Trouble> {
    let server = world.swarmcat()?;
    let dead = format!("/stream/proxy/{DEAD}");
    // The first request tries, and fails after its wait; from then on the torrent cools down.
    let _ = server.ask("GET", &dead, "");
    println!("refused: a torrent that cools down");
    let (mut refusals, mut healths) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        healths.push(wrk(&server, "/health", seconds)?);
        refusals.push(wrk(&server, &dead, seconds)?);
    }
    let (refusals, healths) = (Spread::of(refusals), Spread::of(healths));
    println!(
        "     /health {healths:.0} requests/s, refusals {refusals:.0}: {:.2}×",
        refusals.median / healths.median
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut times = runtime.block_on(at_a_fixed_rate(&server, &dead, seconds))?;
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "     {} refusals at {PER_SECOND}/s: median {:?}, p99 {:?}, longest {:?}",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

fn wrk(server: &Server, path: &str, seconds: Duration) -> Result<f64, Trouble> {
    let url = format!("http://{}{path}", server.address);
    let time = format!("{}s", seconds.as_secs());
    let output = Command::new("wrk").args(["-t1", "-c16", "-d", &time, &url]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(rate.ok_or_else(|| format!("wrk: {text}"))?.trim().parse()?)
}

/// How long after it was due each request had its answer.
async fn at_a_fixed_rate(server: &Server, path: &str, seconds: Duration) -> Result<Vec<Duration>, Trouble> {
    let step = Duration::from_secs(1) / PER_SECOND;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let began = Instant::now() + Duration::from_millis(100);
    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS {
        let stream = TcpStream::connect(server.address).await?;
        stream.set_nodelay(true)?;
        clients.spawn(client(stream, request.clone(), began + step * number, step * CONNECTIONS, seconds));
    }
    let mut times = Vec::new();
    while let Some(client) = clients.join_next().await {
        times.extend(client??);
    }
    Ok(times)
}

async fn client(
    mut stream: TcpStream,
    request: String,
    first: Instant,
    step: Duration,
    seconds: Duration,
) -> Result<Vec<Duration>, Trouble> {
    let (mut times, mut answer) = (Vec::new(), vec![0; 16 * 1024]);
    let mut due = interval_at(first.into(), step);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let late = Instant::now();
        let on_time = due.tick().await.into_std();
        if on_time > first + seconds {
            return Ok(times);
        }
        // What the answer before it was late by counts; what this client's own timer is late by does not.
        let began = if late > on_time { on_time } else { Instant::now() };
        stream.write_all(request.as_bytes()).await?;
        let mut len = stream.read(&mut answer).await?;
        while len > 0 && !answer[..len].ends_with(b"}") && !answer[..len].ends_with(b"}\n") {
            len += stream.read(&mut answer[len..]).await?;
        }
        if !answer.starts_with(b"HTTP/1.1 503") {
            return Err(format!("not a refusal: {}", String::from_utf8_lossy(&answer[..len])).into());
        }
        times.push(began.elapsed());
    }
}

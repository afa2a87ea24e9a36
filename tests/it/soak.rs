//! `serve` for an hour: forty viewers stay with one film while every minute another torrent comes, is watched by ten, and
//! goes; what the server takes and holds stays the same.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use rand::Rng;
use tokio::{
    sync::watch::{Receiver, Sender},
    task::JoinSet,
    time::Instant,
};

use crate::{
    support::{MIB, Peer, Row, Sandbox, Serve, Torrent, serve::path, viewer::watch},
    worker::names,
};

/// Who watches the film that stays, and who the one that comes and goes.
const STAYING: usize = 40;
const PASSING: usize = 10;
/// Torrents of a run; an hour's run has one a minute.
const ROUNDS: u32 = 60;
/// The allocator's caches and the runtime's threads are there after this part of a run.
const WARM: u32 = 6;
/// A trend can be told from noise in runs that are at least so long.
const TELLING: Duration = Duration::from_secs(600);

/// What the server holds at one moment; what its connections have is theirs: a task, a socket and the film.
struct Sample {
    minutes: f64,
    mebibytes: f64,
    connections: f64,
    files: f64,
    threads: f64,
    tasks: f64,
}

impl Sample {
    async fn take(serve: &Serve, began: Instant) -> Self {
        let connections = serve.metric("swarmcat_connections").await;
        let sample = Self {
            minutes: began.elapsed().as_secs_f64() / 60.0,
            mebibytes: serve.status("VmRSS:") / 1024.0,
            connections,
            files: serve.files() as f64 - 2.0 * connections,
            threads: serve.status("Threads:"),
            tasks: serve.metric("swarmcat_tasks").await - connections,
        };
        let Self { minutes, mebibytes, connections, files, threads, tasks } = sample;
        eprintln!(
            "{minutes:6.2} min  {mebibytes:7.2} MiB  {connections} connections, beside them {files} files, \
             {threads} threads, {tasks} tasks"
        );
        sample
    }
}

/// MiB in ten minutes: the straight line that fits best.
fn slope(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (middle, level) = (mean(|sample| sample.minutes), mean(|sample| sample.mebibytes));
    let sum = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>();
    let rise = sum(&|sample| (sample.minutes - middle) * (sample.mebibytes - level));
    10.0 * rise / sum(&|sample| (sample.minutes - middle).powi(2))
}

/// How much more the last quarter holds than the first, by their middle values.
fn growth(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let middle = |part: &[Sample]| {
        let mut values: Vec<_> = part.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let quarter = samples.len().div_ceil(4);
    middle(&samples[samples.len() - quarter..]) - middle(&samples[..quarter])
}

/// Watches until it is told to stop; how often it came back.
async fn stay(address: std::net::SocketAddr, film: Torrent, stop: Receiver<bool>) -> u32 {
    let mut times = 0;
    while !*stop.borrow() {
        let most = rand::rng().random_range(5..60);
        watch(address, &path(&film), &film, Instant::now(), most).await;
        times += 1;
    }
    times
}

/// Another film comes, is watched until the round is over, and goes.
async fn come_and_go(serve: &Serve, number: u64, over: Instant) {
    let film = Torrent::single(format!("film {number}.mkv"), 4 * MIB).seed(number + 1).build();
    let peer = Peer::serving(&film).await;
    let magnet = format!("magnet:?xt=urn:btih:{}%26x.pe={}", film.hex(), peer.addr());
    let target = format!("{}?magnet={magnet}", path(&film));
    let left = over.saturating_duration_since(Instant::now());
    let mut passing = JoinSet::new();
    for _ in 0..PASSING {
        let (address, target, film) = (serve.address, target.clone(), film.clone());
        let most = (left.as_secs() as usize).saturating_sub(5).max(1);
        passing.spawn(async move { watch(address, &target, &film, Instant::now(), most).await });
    }
    passing.join_all().await;
    tokio::time::sleep_until(over).await;
    let dropped = serve.ask("DELETE", &format!("/torrents/{}", film.hex()), "").await;
    assert!([200, 204].contains(&dropped.status), "{}", dropped.text());
}

/// A cleanup reports the one film that is in use, and nothing else is on the disk.
async fn clean_up(serve: &Serve, sandbox: &Sandbox, stays: &Torrent) {
    let report = serve.json("POST", "/admin/cleanup?older_than=0s").await;
    let kept = report["kept"].as_array().unwrap();
    assert!(kept.len() == 1 && kept[0]["info_hash"] == stays.hex(), "{report}");
    assert_eq!((&kept[0]["reason"], &report["removed"]), (&"in_use".into(), &serde_json::json!([])));
    assert_eq!(kept[0]["bytes"], allocated(&sandbox.torrent_dir(stays)), "the report's size is the disk's");
    let names = names(&sandbox.temp());
    let others = names.iter().filter(|name| !name.starts_with(".session") && !name.starts_with(&stays.hex()));
    assert_eq!(others.count(), 0, "{names:?}");
}

/// Bytes that a directory of files takes on the disk.
fn allocated(dir: &Path) -> u64 {
    let blocks = |path: &Path| fs::metadata(path).unwrap().blocks() * 512;
    blocks(dir) + fs::read_dir(dir).unwrap().map(|entry| blocks(&entry.unwrap().path())).sum::<u64>()
}

#[tokio::test]
#[ignore = "a measurement: cargo bench --bench trust"]
async fn an_hour_of_viewers_leaves_nothing_behind() {
    let mut row = Row::new("L8", 120);
    let sandbox = Sandbox::new();
    let stays = Torrent::single("film.mkv", 16 * MIB).build();
    let peer = Peer::serving(&stays).await;
    let serve = sandbox.serve().peer(peer.addr()).args(["--allow-private-peers"]);
    let serve = Serve::start(serve.args(["--starts-per-minute", "1000"])).await;
    assert!(serve.get(&path(&stays)).await.body == stays.content());
    let stop = Sender::new(false);
    let mut staying = JoinSet::new();
    for _ in 0..STAYING {
        staying.spawn(stay(serve.address, stays.clone(), stop.subscribe()));
    }
    let (began, length) = (Instant::now(), Duration::from_secs(row.times().into()));
    let mut samples = Vec::new();
    for round in 1..=ROUNDS {
        row.case(round, async {
            come_and_go(&serve, round.into(), began + length / ROUNDS * round).await;
            clean_up(&serve, &sandbox, &stays).await;
        })
        .await;
        samples.push(Sample::take(&serve, began).await);
    }
    stop.send_replace(true);
    while let Some(ended) = staying.join_next().await {
        row.case("a viewer that stayed", async { assert!(ended.unwrap() > 0) }).await;
    }
    judge(&mut row, &samples[(ROUNDS / WARM) as usize..], length).await;
    assert_eq!(serve.metric("swarmcat_panics_total").await, 0.0);
    serve.stop().await;
    row.end();
}

/// Memory by its trend, everything else by what there is of it.
async fn judge(row: &mut Row, samples: &[Sample], length: Duration) {
    let (rise, more) = (slope(samples), growth(samples, |sample| sample.mebibytes));
    row.saw(rise, "MiB in 10 min");
    row.case("memory", async {
        assert!(more <= 8.0 && (rise <= 1.0 || length < TELLING), "{rise} MiB in 10 minutes, {more} in all");
    })
    .await;
    type Part = (&'static str, fn(&Sample) -> f64, f64);
    let parts: [Part; 4] = [
        // Viewers that are coming and going at that moment.
        ("connections", |sample| sample.connections, 8.0),
        ("files", |sample| sample.files, 4.0),
        ("threads", |sample| sample.threads, 2.0),
        ("tasks", |sample| sample.tasks, 8.0),
    ];
    for (name, of, most) in parts {
        let more = growth(samples, of);
        row.case(name, async { assert!(more <= most, "{more} more {name}") }).await;
    }
}

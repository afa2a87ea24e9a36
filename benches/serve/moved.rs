//! Bytes a second of a finished file.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::{
    seeder::Trouble,
    servers::{Server, World},
    support::Spread,
};

/// Every server in turn, `runs` times at each number of readers.
pub fn measure(world: &World, at: &[usize], runs: usize, seconds: Duration) -> Result<(), Trouble> {
    let ours = world.swarmcat()?;
    let others = [world.nginx(), world.rqbit()]
        .into_iter()
        .filter_map(|server| server.inspect_err(|trouble| eprintln!("left out: {trouble}")).ok());
    let servers: Vec<Server> = std::iter::once(ours).chain(others).collect();
    println!("moved: a finished file of {} MiB, MiB/s, {runs} runs of {seconds:?}", world.bytes.len() >> 20);
    for &readers in at {
        let mut rates = vec![Vec::new(); servers.len()];
        for run in 0..runs {
            // Who comes first changes, so that nobody always follows the same neighbour.
            for turn in 0..servers.len() {
                let which = (run + turn) % servers.len();
                rates[which].push(rate(&servers[which], readers, seconds)?);
            }
        }
        for (server, theirs) in servers.iter().zip(&rates) {
            let rate = Spread::of(theirs.iter().copied());
            let times = Spread::of(rates[0].iter().zip(theirs).map(|(ours, theirs)| ours / theirs));
            println!("{readers:>4} readers  {:<16} {rate:>28.0}   swarmcat moves {times:.2}×", server.name);
        }
    }
    Ok(())
}

fn rate(server: &Server, readers: usize, seconds: Duration) -> Result<f64, Trouble> {
    let began = Instant::now();
    let until = began + seconds;
    let moved: Result<Vec<u64>, Trouble> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..readers).map(|_| scope.spawn(|| read_until(server, until))).collect();
        readers.into_iter().map(|reader| reader.join().map_err(|_| "a reader panicked")?).collect()
    });
    Ok(moved?.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64() / f64::from(1 << 20))
}

/// Fetches the file again and again over one connection after the other; how many bytes came.
fn read_until(server: &Server, until: Instant) -> Result<u64, Trouble> {
    let (mut buffer, mut moved) = (vec![0; 256 * 1024], 0);
    let request = server.request(0).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    while Instant::now() < until {
        let mut stream = TcpStream::connect(server.address)?;
        stream.write_all(request.as_bytes())?;
        while Instant::now() < until {
            match stream.read(&mut buffer)? {
                0 => break,
                read => moved += read as u64,
            }
        }
    }
    Ok(moved)
}

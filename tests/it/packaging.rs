//! What goes beside the program, and how others build on it: the package's files, the units, the embedded core.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use swarmcat::core::Streamer;

use crate::support::{MIB, Peer, Sandbox, Torrent};

#[path = "../../examples/embed.rs"]
mod embed;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn package() -> toml::Table {
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    manifest["package"].as_table().unwrap()["metadata"]["deb"].as_table().unwrap().clone()
}

#[test]
fn every_file_of_the_debian_package_is_there() {
    let package = package();
    let assets = package["assets"].as_array().unwrap().iter().map(|asset| asset[0].as_str().unwrap());
    for asset in assets.filter(|asset| !asset.starts_with("target/release/")) {
        let (directory, name) = asset.rsplit_once('/').unwrap_or((".", asset));
        let named = |entry: fs::DirEntry| entry.file_name().to_str() == Some(name);
        let found = match name.strip_prefix('*') {
            Some(end) => fs::read_dir(root(directory))
                .unwrap()
                .any(|entry| entry.unwrap().file_name().to_str().is_some_and(|name| name.ends_with(end))),
            None => fs::read_dir(root(directory)).unwrap().any(|entry| named(entry.unwrap())),
        };
        assert!(found, "{asset}");
    }
    for unit in package["systemd-units"].as_array().unwrap() {
        let (directory, name) = (unit["unit-scripts"].as_str().unwrap(), unit["unit-name"].as_str().unwrap());
        assert!(root(directory).join(format!("{name}.service")).exists(), "{name}");
    }
    for script in ["postinst", "prerm", "postrm"] {
        assert!(read(&format!("examples/debian/scripts/{script}")).contains("#DEBHELPER#"));
    }
}

#[test]
fn the_debian_changelog_begins_with_this_version() {
    let changelog = read(package()["changelog"].as_str().unwrap());
    let expected = format!("swarmcat ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&expected), "{changelog}");
}

/// The values of a key of a unit, in their order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn the_units_start_what_there_is_and_share_what_they_must() {
    let serve = read("examples/systemd/swarmcat.service");
    let cleanup = read("examples/systemd/cleanup/swarmcat-cleanup.service");
    for unit in [&serve, &cleanup] {
        let [command] = values(unit, "ExecStart")[..] else { panic!("one command: {unit}") };
        let parsed = swarmcat::cli::parse(command.split_whitespace().map(OsString::from));
        assert!(parsed.is_ok(), "{command}: {parsed:?}");
    }
    for key in
        ["User", "DynamicUser", "CacheDirectory", "StateDirectory", "UMask", "Environment", "EnvironmentFile"]
    {
        assert_eq!(values(&serve, key), values(&cleanup, key), "{key}");
        assert_eq!(values(&serve, key).len(), 1, "{key}");
    }
    assert!(read("examples/systemd/cleanup/swarmcat-cleanup.timer").contains("WantedBy=timers.target"));
}

#[test]
fn the_crontab_runs_what_there_is() {
    let lines = read("examples/cron/crontab");
    let commands = lines.lines().filter(|line| !line.starts_with('#')).map(|line| line.split("bin/").nth(1));
    let mut count = 0;
    for command in commands {
        let words = command.unwrap().split_whitespace().map(|word| word.trim_matches('"').into());
        let parsed = swarmcat::cli::parse(words.collect::<Vec<OsString>>());
        assert!(parsed.is_ok(), "{command:?}: {parsed:?}");
        count += 1;
    }
    assert_eq!(count, 2);
}

#[tokio::test]
async fn a_program_with_the_core_in_it_gets_every_byte_and_tells_how_it_goes() {
    let torrent = Torrent::single("embedded.mkv", 3 * MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let (mut out, told) = (Vec::new(), Mutex::new(Vec::new()));
    let tell = |line: &str| told.lock().unwrap().push(line.to_owned());
    let streamer = Streamer::new(sandbox.settings(peer.addr()));
    let source = torrent.hex().parse().unwrap();
    let len = embed::stream(&streamer, source, &mut out, tell).await.unwrap();
    assert!(len == 3 * MIB as u64 && out == torrent.content());
    let told = told.into_inner().unwrap();
    assert!(told.contains(&"embedded.mkv: 3145728 bytes".to_owned()), "{told:?}");
    assert!(told.len() > 1, "{told:?}");
}

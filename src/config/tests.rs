use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::*;

fn here(home: &TempDir) -> Directories {
    Directories { home: Some(home.path().into()), ..Directories::default() }
}

/// Settles with this text as `swarmcat.toml` in its usual place.
fn with_file(text: &str, given: Layer) -> Result<(Settings, Presentation), String> {
    let home = TempDir::new().unwrap();
    let directory = home.path().join(".config/swarmcat");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("swarmcat.toml"), text).unwrap();
    settle(given, None, &here(&home))
        .map(|(settings, presentation, _)| (settings, presentation))
        .map_err(|error| error.to_string().replace(home.path().to_str().unwrap(), "~"))
}

fn fault(text: &str) -> String {
    let fault = with_file(text, Layer::default()).unwrap_err();
    fault.strip_prefix("~/.config/swarmcat/swarmcat.toml, ").unwrap().to_owned()
}

#[test]
fn without_a_file_everything_has_its_default() {
    let home = TempDir::new().unwrap();
    let (settings, presentation, _) = settle(Layer::default(), None, &here(&home)).unwrap();
    assert_eq!(settings.temp_dir, PathBuf::from("temp"));
    assert_eq!(settings.state_dir, home.path().join(".local/state/swarmcat"));
    assert_eq!(settings.waits.timeout, Duration::from_secs(120));
    assert_eq!(settings.cooldown.no_peers, Duration::from_secs(300));
    assert!(settings.swarm.dht && settings.swarm.upload && settings.swarm.use_trackers);
    assert_eq!(presentation.progress, ProgressMode::Auto);
    assert_eq!(presentation.verbosity, 0);
}

#[test]
fn the_file_says_everything_that_can_be_said() {
    let text = r#"
        temp_dir = "/var/tmp/swarmcat"
        state_dir = "/var/lib/swarmcat"
        min_free = "2GiB"
        max_disk = "50GB"
        max_torrents = 7
        quiet = false
        verbose = 2
        log_format = "json"
        progress = "plain"
        [swarm]
        peers = ["192.0.2.7:6881", "[2001:db8::7]:6881"]
        trackers = ["udp://tracker.example:6969/announce"]
        use_trackers = true
        dht = false
        dht_bootstrap = ["router.example:6881"]
        lsd = true
        upload = false
        listen_port = 6881
        peer_limit = 30
        download_limit = "2MiB"
        upload_limit = 65536
        proxy = "socks5://127.0.0.1:1080"
        bind_device = "wg0"
        ipv4_only = true
        [waits]
        peer_timeout = "30s"
        timeout = "3m"
        stall_timeout = "1m 30s"
        max_retries = 2
        [cooldown]
        no_peers = "1m"
        timeout = "2m"
        connection_error = "3m"
        bad_torrent = "4m"
        backoff = 3
        max = "2h"
        scope = "client"
    "#;
    let (mut settings, presentation) = with_file(text, Layer::default()).unwrap();
    let trackers = std::mem::take(&mut settings.swarm.trackers);
    assert_eq!(trackers[0].as_str(), "udp://tracker.example:6969/announce");
    assert_eq!(settings.swarm.proxy.take().unwrap().as_str(), "socks5://127.0.0.1:1080");
    insta::assert_debug_snapshot!((settings, presentation), @r#"
    (
        Settings {
            temp_dir: "/var/tmp/swarmcat",
            state_dir: "/var/lib/swarmcat",
            swarm: SwarmSettings {
                peers: [
                    192.0.2.7:6881,
                    [2001:db8::7]:6881,
                ],
                trackers: [],
                fallback_trackers: [],
                use_trackers: true,
                dht: false,
                dht_bootstrap: [
                    "router.example:6881",
                ],
                lsd: true,
                upload: false,
                listen_port: 6881,
                peer_limit: 30,
                peers_in_all: 18446744073709551615,
                download_limit: Some(
                    2097152,
                ),
                upload_limit: Some(
                    65536,
                ),
                proxy: None,
                bind_device: Some(
                    "wg0",
                ),
                ipv4_only: true,
                anonymous: false,
                public_only: false,
            },
            waits: Waits {
                peer_timeout: 30s,
                timeout: 180s,
                stall_timeout: 90s,
                max_retries: 2,
            },
            cooldown: CooldownSettings {
                no_peers: 60s,
                timeout: 120s,
                connection_error: 180s,
                bad_torrent: 240s,
                backoff: 3,
                max: 7200s,
                scope: Client,
            },
            min_free: Some(
                2147483648,
            ),
            max_torrents: 7,
            max_disk: Some(
                50000000000,
            ),
            evict_idle: false,
            doing: "swarmcat stream",
        },
        Presentation {
            quiet: false,
            verbosity: 2,
            log_format: Json,
            progress: Plain,
        },
    )
    "#);
}

#[test]
fn what_is_given_beats_the_file_and_the_file_beats_the_default() {
    let file = "progress = \"json\"\n[swarm]\ndht = false\nlsd = true\n[waits]\ntimeout = \"3m\"";
    let given = Layer {
        swarm: SwarmLayer { dht: Some(true), ..SwarmLayer::default() },
        waits: WaitsLayer { timeout: Some(Duration::from_secs(7)), ..WaitsLayer::default() },
        ..Layer::default()
    };
    let (settings, presentation) = with_file(file, given).unwrap();
    assert!(settings.swarm.dht, "given");
    assert_eq!(settings.waits.timeout, Duration::from_secs(7), "given");
    assert!(settings.swarm.lsd, "from the file");
    assert_eq!(presentation.progress, ProgressMode::Json, "from the file");
    assert_eq!(settings.waits.peer_timeout, Duration::from_secs(60), "default");
}

#[test]
fn quiet_silences_progress_and_log_whatever_else_is_said() {
    let (_, presentation) =
        with_file("quiet = true\nverbose = 3\nprogress = \"bar\"", Layer::default()).unwrap();
    assert_eq!((presentation.progress, presentation.verbosity), (ProgressMode::None, 0));
}

#[test]
fn the_file_says_how_serve_serves() {
    let text = r#"
        [serve]
        listen = ["0.0.0.0:7000", "unix:/run/swarmcat.sock"]
        token = "0123456789abcdef"
        public_url = "https://tv.example/"
        allow_hosts = ["nas.local:8080"]
        allow_origins = ["https://player.example"]
        trusted_proxies = ["127.0.0.1"]
        allow_private_peers = true
        max_connections = 100
        starts_per_minute = 5
        reader_timeout = "1h"
        silence_timeout = "10s"
    "#;
    let serving = serving(text);
    assert_eq!(serving.places.len(), 2);
    let policy = &serving.policy;
    assert!(policy.token.is_some() && policy.private_peers && !serving.allow_public);
    assert!(policy.origins.have("https://player.example") && !policy.origins.have("https://other.example"));
    assert_eq!((policy.starts_per_minute, serving.limits.connections), (5, 100));
    assert_eq!(serving.limits.patience.usual, Duration::from_secs(3600));
    assert_eq!(serving.limits.silence, Duration::from_secs(10));
    let default = self::serving("");
    assert!(default.places.is_empty() && default.policy.token.is_none() && !default.policy.private_peers);
    insta::assert_snapshot!(fault("[serve]\ntoken = \"short\""), @r#"line 2: serve.token: expected at least 16 letters, digits, or any of - . _ ~ (try: openssl rand -hex 16)"#);
}

fn serving(text: &str) -> Serving {
    let home = TempDir::new().unwrap();
    let file = home.path().join("swarmcat.toml");
    fs::write(&file, text).unwrap();
    settle(Layer::default(), Some(&file), &here(&home)).unwrap().2
}

#[test]
fn nothing_is_open_to_the_network_by_accident() {
    let public = |more: &str| {
        let serving = serving(&format!("[serve]\nlisten = [\"127.0.0.1:1\", \"192.168.1.2:1\"]\n{more}"));
        serving.check(&serving.places.iter().collect::<Vec<_>>())
    };
    let told = public("").unwrap_err().to_string();
    assert!(told.contains("192.168.1.2:1") && told.contains("--allow-public"), "{told}");
    public("token = \"0123456789abcdef\"").unwrap();
    public("allow_public = true").unwrap();
}

#[test]
fn one_default_cooldown_speaks_for_every_kind_that_is_not_named() {
    let text = "[cooldown]\ndefault = \"5m\"\nbad_torrent = \"1h\"\nbackoff = 1";
    let cooldown = with_file(text, Layer::default()).unwrap().0.cooldown;
    let five = Duration::from_secs(300);
    assert_eq!([cooldown.no_peers, cooldown.timeout, cooldown.connection_error], [five; 3]);
    assert_eq!(cooldown.bad_torrent, Duration::from_secs(3600));
    assert_eq!(cooldown.backoff, 1);
}

#[test]
fn an_error_names_the_line_the_key_and_what_was_expected() {
    insta::assert_snapshot!(fault("verbose = 1\nsped = 2"), @"line 2: sped: unknown key `sped`, expected one of `temp_dir`, `state_dir`, `min_free`, `max_disk`, `max_torrents`, `quiet`, `verbose`, `log_format`, `progress`, `swarm`, `waits`, `serve`, `cooldown`");
    insta::assert_snapshot!(fault("\n[swarm]\ndht-bootstrap = []"), @"line 3: swarm.dht-bootstrap: unknown key `dht-bootstrap`, expected one of `peers`, `trackers`, `trackers_file`, `use_trackers`, `dht`, `dht_bootstrap`, `lsd`, `upload`, `listen_port`, `peer_limit`, `download_limit`, `upload_limit`, `proxy`, `bind_device`, `ipv4_only`, `private` (keys are spelt with _, not -)");
    insta::assert_snapshot!(fault("\n\n[waits]\ntimeout = \"soon\""), @r#"line 4: waits.timeout: "soon": expected a duration such as 90s, 5m or 1h"#);
    insta::assert_snapshot!(fault("[waits]\ntimeout = 60"), @r#"line 2: waits.timeout: "60": expected a duration such as 90s, 5m or 1h"#);
    insta::assert_snapshot!(fault("[waits]\nmax_retries = 0"), @r#"line 2: waits.max_retries: "0": expected a number of at least 1"#);
    insta::assert_snapshot!(fault("[swarm]\ndownload_limit = \"8KiB\""), @r#"line 2: swarm.download_limit: "8KiB": expected at least 16KiB a second, the size of one block; leave it out for no limit"#);
    insta::assert_snapshot!(fault("[swarm]\npeers = [\n  \"192.0.2.7:1\",\n  \"peer\"\n]"), @r#"line 2: swarm.peers[1]: "peer": expected an address and a port, such as 192.0.2.7:6881 or [2001:db8::7]:6881"#);
    insta::assert_snapshot!(fault("[swarm]\ndht = \"no\""), @"line 2: swarm.dht: invalid type: text, expected a boolean");
    insta::assert_snapshot!(fault("[swarm]\nlisten_port = 70000"), @r#"line 2: swarm.listen_port: "70000": expected a port from 0 (any free one) to 65535"#);
    insta::assert_snapshot!(fault("progress = \"loud\""), @r#"line 1: progress: "loud": expected one of auto, bar, plain, json, none"#);
    insta::assert_snapshot!(fault("temp_dir = \"a\"\ntemp_dir = \"b\""), @"line 2: temp_dir: duplicate key");
    insta::assert_snapshot!(fault("temp_dir = \"a"), @r#"line 1: temp_dir: invalid basic string, expected `"`"#);
    insta::assert_snapshot!(fault("[waits"), @"line 1: unclosed table, expected `]`");
    insta::assert_snapshot!(fault("swarm = \"none\""), @"line 1: swarm: invalid type: text, expected a table");
}

#[test]
fn paths_in_a_file_start_at_the_file_and_at_home() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("etc.toml");
    fs::write(&file, "temp_dir = \"scratch\"\nstate_dir = \"~/state\"").unwrap();
    let other_home = Directories { home: Some("/home/cat".into()), ..Directories::default() };
    let (settings, ..) = settle(Layer::default(), Some(&file), &other_home).unwrap();
    assert_eq!(settings.temp_dir, home.path().join("scratch"));
    assert_eq!(settings.state_dir, PathBuf::from("/home/cat/state"));
}

#[test]
fn a_named_file_must_be_there_and_the_usual_one_need_not() {
    let home = TempDir::new().unwrap();
    let missing = home.path().join("missing.toml");
    let error = settle(Layer::default(), Some(&missing), &here(&home)).unwrap_err();
    assert!(error.to_string().contains("missing.toml"), "{error}");
    assert!(settle(Layer::default(), None, &here(&home)).is_ok());
}

#[test]
fn without_a_home_the_state_directory_must_be_given() {
    let nowhere = Directories::default();
    let error = settle(Layer::default(), None, &nowhere).unwrap_err();
    assert!(error.to_string().contains("--state-dir"), "{error}");
    let given = Layer { state_dir: Some("/var/lib/swarmcat".into()), ..Layer::default() };
    assert!(settle(given, None, &nowhere).is_ok());
}

#[test]
fn xdg_directories_come_before_home() {
    let directories = Directories {
        home: Some("/home/cat".into()),
        config_home: Some("/xdg/config".into()),
        state_home: Some("/xdg/state".into()),
    };
    assert_eq!(directories.state().unwrap(), PathBuf::from("/xdg/state/swarmcat"));
    assert_eq!(directories.config_file().unwrap(), PathBuf::from("/xdg/config/swarmcat/swarmcat.toml"));
}

#[test]
fn a_trackers_file_has_comments_and_names_the_line_that_is_wrong() {
    let home = TempDir::new().unwrap();
    let list = home.path().join("trackers");
    let read = |text: &str| {
        fs::write(&list, text).unwrap();
        let swarm = SwarmLayer { trackers_file: Some(list.clone()), ..SwarmLayer::default() };
        settle(Layer { swarm, ..Layer::default() }, None, &here(&home))
    };
    let good = "# first tier\n\nudp://one.example:1/announce\n  http://two.example/announce  # slow\n";
    let trackers = read(good).unwrap().0.swarm.fallback_trackers;
    let trackers: Vec<_> = trackers.iter().map(url::Url::as_str).collect();
    assert_eq!(trackers, ["udp://one.example:1/announce", "http://two.example/announce"]);
    let error = read("# one\nudp://one.example/announce\n").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("udp://tracker.example:6969"), "{error}");
}

#[test]
fn values_are_strict() {
    assert_eq!(values::size("2GiB"), Ok(2 << 30));
    assert_eq!(values::size("2GB"), Ok(2_000_000_000));
    assert_eq!(values::size("1.5 MiB"), Ok(3 << 19));
    assert_eq!(values::size("0"), Ok(0));
    for bad in ["", "-1", "GiB", "2 apples", ".5", "1e3", "∞"] {
        assert!(values::size(bad).is_err(), "{bad:?}");
    }
    assert_eq!(values::rate("16KiB").unwrap().get(), values::MIN_RATE);
    for bad in ["0", "16383", "16KB", "4GiB", "fast"] {
        assert!(values::rate(bad).is_err(), "{bad:?}");
    }
    assert_eq!(values::duration("1h 30m"), Ok(Duration::from_secs(5400)));
    for bad in ["", "0s", "60", "-1s", "soon"] {
        assert!(values::duration(bad).is_err(), "{bad:?}");
    }
    for good in ["router.example:6881", "192.0.2.7:1", "[2001:db8::7]:6881"] {
        assert_eq!(values::host_port(good).as_deref(), Ok(good));
    }
    for bad in ["router.example", ":6881", "a:0", "a:b", "a:70000", "http://a:1", "2001:db8::7:6881", "a b:1"]
    {
        assert!(values::host_port(bad).is_err(), "{bad:?}");
    }
    for bad in ["192.0.2.7", "192.0.2.7:0", "peer.example:6881", "2001:db8::7:6881"] {
        assert!(values::peer(bad).is_err(), "{bad:?}");
    }
    for bad in ["tracker.example", "ftp://a/b", "udp://a/announce", "wss://a/"] {
        assert!(values::tracker(bad).is_err(), "{bad:?}");
    }
    for bad in ["127.0.0.1:1080", "http://127.0.0.1:1080", "socks5://127.0.0.1", "socks4://a:1"] {
        assert!(values::proxy(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "a/b", "sixteen-letters-x"] {
        assert!(values::device(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn no_error_shows_a_secret() {
    for text in [
        "[serve]\ntoken = \"hunter2\"",
        "[serve]\ntoken = hunter2",
        "[serve]\ntoken = \"hunter2",
        "serve.token = hunter2",
        "serve.token = \"hunter2",
        "serve.token=hunter2",
        "serve = { token = \"hunter2\", listen = [ }",
        "serve = \"hunter2\"",
        "[serve]\n\"token\" = hunter2",
        "[serve]\ntoken: hunter2",
        "[serve]\ntoken hunter2",
        "[serve]\nhunter2",
        "[serve] token = hunter2",
        "[serve]\ntoken = \"\"\"\nhunter2",
        "[serve]\ntoken = \"\"\"\nhunter2=",
        "[serve]\ntoken = [\"hunter2\"]",
        "[swarm]\ntrackers = \"http://t.example/hunter2\"",
        "[swarm]\ntrackers = [\n\"hunter2\" and\n]",
        "[swarm]\nproxy = \"ftp://user:hunter2@a:1\"",
        "[swarm]\ntrackers = [\"ftp://t.example/hunter2\"]",
        "[swarm]\ntrackers = [\n\"http://t.example/hunter2\" and\n]",
    ] {
        let fault = fault(text);
        assert!(!fault.contains("hunter2") && fault.starts_with("line "), "{fault}");
    }
    assert!(fault("[swarm]\npeers = [\"hunter2\"]").contains("hunter2"), "what is no secret is shown");
    let home = TempDir::new().unwrap();
    let list = home.path().join("trackers.txt");
    fs::write(&list, "ftp://t.example/hunter2").unwrap();
    let error = file::read_trackers(&list).unwrap_err().to_string();
    assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
}

use super::*;
use crate::{
    app::stream::{Choice, Output},
    config::ProgressMode,
};

fn parsed(line: &str) -> Result<Invocation, Told> {
    parse(["swarmcat"].into_iter().chain(line.split_whitespace()).map(OsString::from))
}

fn request(line: &str) -> StreamRequest {
    match parsed(line).unwrap().command {
        Command::Stream(request) => *request,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(line: &str) -> String {
    let told = parsed(line).expect_err(line);
    assert_eq!(told.0.exit_code(), 2, "{line}");
    told.0.to_string()
}

fn short_help(path: &[&str]) -> String {
    let mut command = command().term_width(100);
    command.build();
    let mut command = &mut command;
    for name in path {
        command = command.find_subcommand_mut(name).unwrap();
    }
    command.render_help().to_string()
}

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
}

#[test]
fn stream_takes_all_its_options() {
    let request = request("stream x -o film.mkv -i 3 --force --remove --range -500");
    assert_eq!(request.source, "x");
    assert_eq!(request.output, Output::File("film.mkv".into()));
    assert_eq!(request.choice, Choice::Index(3));
    assert_eq!(request.range.as_deref(), Some("-500"));
    assert!(request.force && request.remove && !request.list);
}

#[test]
fn a_dash_is_stdin_as_source_and_stdout_as_output() {
    let request = request("stream - -o -");
    assert_eq!((request.source.as_str(), request.output), ("-", Output::Stdout));
}

#[test]
fn what_follows_two_dashes_is_for_the_player() {
    let request = request("stream x --select *.mkv --open mpv -- --fullscreen -v");
    assert_eq!(request.choice, Choice::Glob("*.mkv".into()));
    assert_eq!(request.open.as_deref(), Some("mpv"));
    assert_eq!(request.player_args, ["--fullscreen", "-v"]);
}

#[test]
fn global_options_stand_before_or_after_the_sub_command() {
    for line in [
        "--no-dht --timeout 3m --peer 192.0.2.7:1 -vv --progress json stream x",
        "stream x --no-dht --timeout 3m --peer 192.0.2.7:1 -vv --progress json",
        "--no-dht -vv stream --peer 192.0.2.7:1 x --timeout 3m --progress json",
    ] {
        let layer = parsed(line).unwrap().layer;
        assert_eq!(layer.swarm.dht, Some(false), "{line}");
        assert_eq!(layer.waits.timeout, Some(Duration::from_secs(180)), "{line}");
        assert_eq!(layer.swarm.peers, Some(vec!["192.0.2.7:1".parse().unwrap()]), "{line}");
        assert_eq!(layer.verbose, Some(2), "{line}");
        assert_eq!(layer.progress, Some(ProgressMode::Json), "{line}");
    }
    for line in ["--temp-dir t failed --state-dir s list", "failed list --state-dir s --temp-dir t"] {
        let layer = parsed(line).unwrap().layer;
        assert_eq!(layer.temp_dir, Some("t".into()), "{line}");
        assert_eq!(layer.state_dir, Some("s".into()), "{line}");
    }
}

#[test]
fn what_is_not_given_is_left_to_the_file() {
    let layer = parsed("stream x").unwrap().layer;
    assert_eq!((layer.verbose, layer.quiet, layer.swarm.dht), (None, None, None));
    assert!(layer.swarm.peers.is_none() && layer.waits.max_retries.is_none());
}

#[test]
fn peers_and_trackers_are_repeated_or_separated_by_spaces() {
    let args = ["swarmcat", "stream", "x", "--peer", "192.0.2.7:1 192.0.2.8:2", "--peer", "192.0.2.9:3"];
    let peers = parse(args.map(OsString::from)).unwrap().layer.swarm.peers.unwrap();
    assert_eq!(peers.iter().map(|peer| peer.port()).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_list_counts_before_the_sub_command_and_after_it() {
    let ports = |line: &str| {
        let peers = parsed(line).unwrap().layer.swarm.peers;
        peers.map(|peers| peers.iter().map(|peer| peer.port()).collect::<Vec<_>>())
    };
    assert_eq!(ports("--peer 192.0.2.7:1 stream x --peer 192.0.2.8:2"), Some(vec![1, 2]));
    assert_eq!(
        ports("--peer 192.0.2.7:1 --peer 192.0.2.7:2 stream --peer 192.0.2.8:3 x"),
        Some(vec![1, 2, 3])
    );
    assert_eq!(ports("--peer 192.0.2.7:1 serve"), Some(vec![1]));
    assert_eq!(
        ports("--peer 192.0.2.7:1 failed --peer 192.0.2.7:2 list --peer 192.0.2.7:3"),
        Some(vec![1, 2, 3])
    );
    assert_eq!(ports("cleanup --peer 192.0.2.7:1"), Some(vec![1]));
    assert_eq!(ports("stream x"), None);
    let layer =
        parsed("--tracker http://a/ --dht-bootstrap a:1 stream x --tracker http://b/ --dht-bootstrap b:2");
    let swarm = layer.unwrap().layer.swarm;
    assert_eq!(swarm.trackers.unwrap().len(), 2);
    assert_eq!(swarm.dht_bootstrap.unwrap(), ["a:1", "b:2"]);
}

#[test]
fn info_hashes_are_read_as_everywhere() {
    let hex = "08ADA5A7A6183AAE1E09D831DF6748D566095A10";
    let hashes = match parsed(&format!("failed clear {hex}")).unwrap().command {
        Command::FailedClear { hashes } => hashes,
        other => panic!("{other:?}"),
    };
    assert_eq!(hashes, [hex.parse().unwrap()]);
    assert!(refused("failed clear film").contains("expected an info hash"));
}

#[test]
fn serve_listens_where_it_is_told_and_keeps_its_secret() {
    let line =
        "serve --listen 127.0.0.1:80 --listen unix:x --token 0123456789abcdef --allow-origin https://a:443";
    let invocation = parsed(line).unwrap();
    assert_eq!(invocation.command, Command::Serve);
    let serve = &invocation.layer.serve;
    assert_eq!(serve.listen.as_ref().unwrap().len(), 2);
    assert_eq!(serve.allow_origins.as_ref().unwrap(), &["https://a"]);
    assert!(!format!("{invocation:?}").contains("0123456789abcdef"));
    assert!(parsed("serve").unwrap().layer.serve.token.is_none());
}

#[test]
fn cleanup_waits_half_an_hour_unless_told_otherwise() {
    let of = |line: &str| match parsed(line).unwrap().command {
        Command::Cleanup { older_than, .. } => older_than,
        other => panic!("{other:?}"),
    };
    assert_eq!(of("cleanup"), Duration::from_secs(1800));
    assert_eq!(of("cleanup --older-than 0s"), Duration::ZERO);
}

#[test]
fn mistakes_are_usage_errors_that_say_what_was_expected() {
    for (line, expected) in [
        ("", "Usage"),
        ("steam x", "stream"),
        ("stream", "SOURCE"),
        ("stream x -i 1 --select y", "--select"),
        ("stream x -i -1", "-1"),
        ("stream x --select [", "not a glob"),
        ("stream x --json", "--list"),
        ("stream x -l -o y", "--output"),
        ("stream x --open mpv -o y", "--output"),
        ("stream x -- --fullscreen", "--open"),
        ("stream x --timeout 60", "90s"),
        ("stream x --timeout 0s", "90s"),
        ("stream x --download-limit 8KiB", "16KiB"),
        ("stream x --upload-limit 8GiB", "4GiB"),
        ("stream x --peer localhost:1", "192.0.2.7:6881"),
        ("stream x --tracker wss://a/", "announce"),
        ("stream x --proxy http://a:1", "socks5://"),
        ("stream x --dht-bootstrap router.example", "HOST:PORT"),
        ("stream x --progress loud", "plain"),
        ("stream x --max-retries 0", "at least 1"),
        ("stream x --listen-port 70000", "65535"),
        ("cleanup --older-than yesterday", "30m"),
        ("serve --listen localhost", "127.0.0.1:7000"),
        ("serve --token short", "at least 16"),
        ("serve --public-url tv.example", "https://tv.example/"),
        ("serve --allow-origin https://a.example/page", "https://player.example"),
        ("serve --allow-host a@b", "nas.local:8080"),
        ("serve --trust-proxy nginx", "127.0.0.1"),
        ("serve --max-connections 0", "at least 1"),
        ("steam --token x", "unrecognized"),
    ] {
        let told = refused(line);
        assert!(told.contains(expected), "{line}: {told}");
    }
}

#[test]
fn every_global_option_has_its_environment_variable() {
    for arg in command().get_arguments().filter(|arg| arg.is_global_set()) {
        let name = arg.get_long().unwrap().to_uppercase().replace('-', "_");
        let env = arg.get_env().unwrap_or_else(|| panic!("{name} has none"));
        assert_eq!(env.to_str(), Some(format!("SWARMCAT_{name}").as_str()));
    }
}

#[test]
fn the_swarm_options_are_listed_where_they_are_of_use() {
    assert!(short_help(&["stream"]).contains("--no-dht"));
    assert!(short_help(&["serve"]).contains("--no-dht"));
    for path in [&[][..], &["failed"], &["failed", "list"], &["failed", "clear"], &["cleanup"]] {
        assert!(!short_help(path).contains("--no-dht"), "{path:?}");
        assert!(short_help(path).contains("--temp-dir"), "{path:?}");
    }
}

#[test]
fn no_help_is_wider_than_a_page_or_shows_the_environment() {
    let mut command = command().term_width(100);
    let long = command.render_long_help().to_string();
    let stream = command.find_subcommand_mut("stream").unwrap().render_long_help().to_string();
    let serve = command.find_subcommand_mut("serve").unwrap().render_long_help().to_string();
    for help in [short_help(&["stream"]), long, stream, serve] {
        assert!(!help.contains("[env:"), "{help}");
        for line in help.lines() {
            assert!(line.chars().count() <= 110, "{line}");
        }
    }
}

#[test]
fn short_help_of_swarmcat() {
    insta::assert_snapshot!(short_help(&[]), @r"
    cat for swarms: an info hash in, bytes out

    Usage: swarmcat [OPTIONS] <COMMAND>

    Commands:
      stream   Stream one file of a torrent to stdout, a file or a player
      serve    Serve torrents over HTTP to players, TVs and scripts
      failed   Show or forget the torrents that failed recently
      cleanup  Remove what idle torrents left in the temp directory
      help     Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Global options:
          --config <FILE>      Read settings from this file
          --temp-dir <DIR>     Where torrents are kept while they are streamed [default: ./temp]
          --state-dir <DIR>    Where failures are remembered [default: the XDG state directory]
      -q, --quiet              Say nothing but errors
      -v, --verbose...         Log more: -v what is done, -vv how, -vvv everything
          --log-format <FORM>  Form of the log on stderr [default: text] [possible values: text, json]
          --progress <FORM>    Form of the progress on stderr [default: auto] [possible values: auto,
                               bar, plain, json, none]

    `swarmcat stream --help` lists the swarm options and shows examples.
    ");
}

#[test]
fn short_help_of_stream() {
    insta::assert_snapshot!(short_help(&["stream"]), @r"
    Stream one file of a torrent to stdout, a file or a player

    Usage: swarmcat stream [OPTIONS] <SOURCE> [-- <PLAYER_ARGS>...]

    Arguments:
      <SOURCE>          Info hash, magnet URI, .torrent path or URL, or - for a .torrent on stdin
      [PLAYER_ARGS]...  Arguments for the player, handed to it as they are

    Options:
      -o, --output <PATH>  Write to a file, by way of PATH.part; - is stdout
      -i, --index <N>      The file with this number, from 0, as -l prints it
      -s, --select <GLOB>  The file whose path matches, or that is this episode: S01E02
      -l, --list           List the files and exit
          --json           With -l: print JSON for scripts
          --range <A-B>    Only these bytes, as in HTTP: 0-499, 500-, -500
          --open <PLAYER>  Start a player (mpv, vlc, ... or auto) on a local URL of the stream
          --force          Try although the torrent failed recently
          --remove         Remove the torrent's data afterwards
      -h, --help           Print help (see more with '--help')

    Swarm options:
          --peer <ADDR:PORT>            Peer to dial whatever else is known (repeat for more)
          --tracker <URL>               Tracker to ask beside the source's own (repeat for more)
          --trackers-file <FILE>        Trackers for the later rounds, one URL a line
          --no-trackers                 Ask no tracker at all
          --no-dht                      Do not use the DHT
          --dht-bootstrap <HOST:PORT>   DHT node to start from instead of the well-known ones (repeat
                                        for more)
          --lsd                         Look for peers on the local network
          --no-upload                   Give nothing back to the swarm
          --listen-port <N>             TCP port for incoming peers [default: any free one]
          --peer-limit <N>              Connected peers at most [default: 128]
          --download-limit <SIZE>       Bytes a second down, 16KiB or more [default: no limit]
          --upload-limit <SIZE>         Bytes a second up, 16KiB or more [default: no limit]
          --proxy <socks5://HOST:PORT>  SOCKS5 proxy for peers and HTTP trackers; nothing goes around it
          --bind-device <DEVICE>        Network device to use, such as wg0
          --ipv4-only                   Never use IPv6
          --private                     No DHT, LSD, PEX, upload, way in or client name
          --min-free <SIZE>             Free disk to leave [default: 5 % of it, 256MiB to 4GiB]
          --max-disk <SIZE>             Disk that all torrents together may take [default: no limit]

    Waits:
          --peer-timeout <DURATION>   Give up when no peer was reached after [default: 60s]
          --timeout <DURATION>        Give up when no byte came after [default: 2m]
          --stall-timeout <DURATION>  Give up when the stream stands still for [default: 60s]
          --max-retries <N>           Rounds within the timeout, each with other trackers [default: 4]

    Global options:
          --config <FILE>      Read settings from this file
          --temp-dir <DIR>     Where torrents are kept while they are streamed [default: ./temp]
          --state-dir <DIR>    Where failures are remembered [default: the XDG state directory]
      -q, --quiet              Say nothing but errors
      -v, --verbose...         Log more: -v what is done, -vv how, -vvv everything
          --log-format <FORM>  Form of the log on stderr [default: text] [possible values: text, json]
          --progress <FORM>    Form of the progress on stderr [default: auto] [possible values: auto,
                               bar, plain, json, none]
    ");
}

#[test]
fn short_help_of_serve() {
    insta::assert_snapshot!(short_help(&["serve"]), @r"
    Serve torrents over HTTP to players, TVs and scripts

    Usage: swarmcat serve [OPTIONS]

    Options:
          --listen <ADDR:PORT>          Address or unix:PATH to listen at (repeat for more) [default:
                                        port 7000 of both loopbacks]
          --token <SECRET>              Secret that every request must show (Authorization: Bearer, or
                                        ?token=)
          --public-url <URL>            What this server is called from outside, behind a proxy
          --allow-host <HOST[:PORT]>    Further name of this server (repeat for more)
          --allow-origin <ORIGIN>       Site whose pages may use this server, or * (repeat for more)
          --trust-proxy <ADDR>          Proxy whose X-Forwarded-For is believed (repeat for more)
          --allow-public                Let other machines use it without a token
          --allow-private-peers         Let requests and the swarm lead into private networks
          --max-connections <N>         Connections at once [default: 4096, or what the limit on open
                                        files allows]
          --starts-per-minute <N>       Torrents that one address may start in a minute [default: 60]
          --reader-timeout <DURATION>   Let go of a reader that takes nothing for [default: 10m]
          --silence-timeout <DURATION>  Let go of a reader whose machine does not answer for [default:
                                        30s]
      -h, --help                        Print help (see more with '--help')

    Swarm options:
          --peer <ADDR:PORT>            Peer to dial whatever else is known (repeat for more)
          --tracker <URL>               Tracker to ask beside the source's own (repeat for more)
          --trackers-file <FILE>        Trackers for the later rounds, one URL a line
          --no-trackers                 Ask no tracker at all
          --no-dht                      Do not use the DHT
          --dht-bootstrap <HOST:PORT>   DHT node to start from instead of the well-known ones (repeat
                                        for more)
          --lsd                         Look for peers on the local network
          --no-upload                   Give nothing back to the swarm
          --listen-port <N>             TCP port for incoming peers [default: any free one]
          --peer-limit <N>              Connected peers at most [default: 128]
          --download-limit <SIZE>       Bytes a second down, 16KiB or more [default: no limit]
          --upload-limit <SIZE>         Bytes a second up, 16KiB or more [default: no limit]
          --proxy <socks5://HOST:PORT>  SOCKS5 proxy for peers and HTTP trackers; nothing goes around it
          --bind-device <DEVICE>        Network device to use, such as wg0
          --ipv4-only                   Never use IPv6
          --private                     No DHT, LSD, PEX, upload, way in or client name
          --min-free <SIZE>             Free disk to leave [default: 5 % of it, 256MiB to 4GiB]
          --max-disk <SIZE>             Disk that all torrents together may take [default: no limit]

    Waits:
          --peer-timeout <DURATION>   Give up when no peer was reached after [default: 60s]
          --timeout <DURATION>        Give up when no byte came after [default: 2m]
          --stall-timeout <DURATION>  Give up when the stream stands still for [default: 60s]
          --max-retries <N>           Rounds within the timeout, each with other trackers [default: 4]

    Global options:
          --config <FILE>      Read settings from this file
          --temp-dir <DIR>     Where torrents are kept while they are streamed [default: ./temp]
          --state-dir <DIR>    Where failures are remembered [default: the XDG state directory]
      -q, --quiet              Say nothing but errors
      -v, --verbose...         Log more: -v what is done, -vv how, -vvv everything
          --log-format <FORM>  Form of the log on stderr [default: text] [possible values: text, json]
          --progress <FORM>    Form of the progress on stderr [default: auto] [possible values: auto,
                               bar, plain, json, none]
    ");
}

#[test]
fn short_help_of_failed() {
    insta::assert_snapshot!(short_help(&["failed"]), @r"
    Show or forget the torrents that failed recently

    Usage: swarmcat failed [OPTIONS] <COMMAND>

    Commands:
      list   List the torrents that are cooling down
      clear  Forget failures, so that the torrents are tried again
      help   Print this message or the help of the given subcommand(s)

    Options:
      -h, --help  Print help (see more with '--help')

    Global options:
          --config <FILE>      Read settings from this file
          --temp-dir <DIR>     Where torrents are kept while they are streamed [default: ./temp]
          --state-dir <DIR>    Where failures are remembered [default: the XDG state directory]
      -q, --quiet              Say nothing but errors
      -v, --verbose...         Log more: -v what is done, -vv how, -vvv everything
          --log-format <FORM>  Form of the log on stderr [default: text] [possible values: text, json]
          --progress <FORM>    Form of the progress on stderr [default: auto] [possible values: auto,
                               bar, plain, json, none]
    ");
}

#[test]
fn short_help_of_failed_list() {
    insta::assert_snapshot!(short_help(&["failed", "list"]), @r"
    List the torrents that are cooling down

    Usage: swarmcat failed list [OPTIONS]

    Options:
          --all   Also those that may be tried again
          --json  Print JSON for scripts
      -h, --help  Print help

    Global options:
          --config <FILE>      Read settings from this file
          --temp-dir <DIR>     Where torrents are kept while they are streamed [default: ./temp]
          --state-dir <DIR>    Where failures are remembered [default: the XDG state directory]
      -q, --quiet              Say nothing but errors
      -v, --verbose...         Log more: -v what is done, -vv how, -vvv everything
          --log-format <FORM>  Form of the log on stderr [default: text] [possible values: text, json]
          --progress <FORM>    Form of the progress on stderr [default: auto] [possible values: auto,
                               bar, plain, json, none]
    ");
}

#[test]
fn short_help_of_failed_clear() {
    insta::assert_snapshot!(short_help(&["failed", "clear"]), @r"
    Forget failures, so that the torrents are tried again

    Usage: swarmcat failed clear [OPTIONS] [HASH]...

    Arguments:
      [HASH]...  Info hashes; without any, every entry

    Options:
      -h, --help  Print help

    Global options:
          --config <FILE>      Read settings from this file
          --temp-dir <DIR>     Where torrents are kept while they are streamed [default: ./temp]
          --state-dir <DIR>    Where failures are remembered [default: the XDG state directory]
      -q, --quiet              Say nothing but errors
      -v, --verbose...         Log more: -v what is done, -vv how, -vvv everything
          --log-format <FORM>  Form of the log on stderr [default: text] [possible values: text, json]
          --progress <FORM>    Form of the progress on stderr [default: auto] [possible values: auto,
                               bar, plain, json, none]
    ");
}

#[test]
fn short_help_of_cleanup() {
    insta::assert_snapshot!(short_help(&["cleanup"]), @r"
    Remove what idle torrents left in the temp directory

    Usage: swarmcat cleanup [OPTIONS]

    Options:
          --older-than <DURATION>  Only what has been idle for this long [default: 30m]
      -n, --dry-run                Say what would go, and leave it
          --json                   Print JSON for scripts
      -h, --help                   Print help (see more with '--help')

    Global options:
          --config <FILE>      Read settings from this file
          --temp-dir <DIR>     Where torrents are kept while they are streamed [default: ./temp]
          --state-dir <DIR>    Where failures are remembered [default: the XDG state directory]
      -q, --quiet              Say nothing but errors
      -v, --verbose...         Log more: -v what is done, -vv how, -vvv everything
          --log-format <FORM>  Form of the log on stderr [default: text] [possible values: text, json]
          --progress <FORM>    Form of the progress on stderr [default: auto] [possible values: auto,
                               bar, plain, json, none]
    ");
}

#[test]
fn no_error_shows_a_secret() {
    for line in [
        "serve --token hunter2",
        "stream x --proxy http://user:hunter2@a:1",
        "stream x --tracker ftp://t.example/hunter2",
        "--tracker ftp://t.example/hunter2 stream x",
    ] {
        let error = refused(line);
        assert!(!error.contains("hunter2") && error.contains("not shown"), "{error}");
    }
    assert!(refused("stream x --peer hunter2").contains("hunter2"), "what is no secret is shown");
}

//! The arguments, as clap derives them, and their way to plain values.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use clap::{
    ArgAction, Args, Parser, Subcommand,
    builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser},
};
use url::Url;

use super::{Command, Invocation};
use crate::{
    app::stream::{Choice, Output, StreamRequest},
    config::{CooldownLayer, Layer, LogFormat, ProgressMode, ServeLayer, SwarmLayer, WaitsLayer, values},
    core::{Error, media::FileSelector, source::InfoHash},
    http::{
        guard::{self, HostName},
        listen::Place,
        token::Token,
    },
};

pub(super) const GLOBAL: &str = "Global options";
pub(super) const SWARM: &str = "Swarm options";
pub(super) const WAITS: &str = "Waits";

/// cat for swarms: an info hash in, bytes out
#[derive(Debug, Parser)]
#[command(
    name = "swarmcat",
    version,
    max_term_width = 100,
    args_override_self = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "`swarmcat stream --help` lists the swarm options and shows examples.",
    after_long_help = SETTINGS_HELP
)]
pub(super) struct Cli {
    #[command(subcommand)]
    command: Sub,
    #[command(flatten)]
    global: GlobalArgs,
    #[command(flatten)]
    swarm: SwarmArgs,
    #[command(flatten)]
    waits: WaitArgs,
}

const SETTINGS_HELP: &str = "\
Settings:
  Each option that is not a sub-command's own has an environment variable, SWARMCAT_ and its name
  (SWARMCAT_TEMP_DIR=/var/tmp/swarmcat, SWARMCAT_NO_DHT=1; several peers or trackers are separated
  by spaces), and a key in swarmcat.toml, which is read from --config, else from
  $XDG_CONFIG_HOME/swarmcat or ~/.config/swarmcat. A flag beats the environment, the environment
  beats the file.

    temp_dir = \"/var/tmp/swarmcat\"
    [swarm]
    dht = false
    trackers = [\"udp://tracker.example:6969/announce\"]
    [waits]
    timeout = \"3m\"
    [cooldown]
    default = \"5m\"
    backoff = 1

Exit codes:
  0 done                     5 timed out or stalled
  1 anything else            6 the source or the torrent is bad
  2 usage                    7 storage: disk full, read-only, I/O error
  3 cooling down             8 busy: another process holds it
  4 no peers                 9 offline; nothing was recorded
  130, 143 interrupted, terminated";

#[derive(Debug, Subcommand)]
enum Sub {
    Stream(StreamArgs),
    Serve(ServeArgs),
    /// Show or forget the torrents that failed recently
    #[command(subcommand, after_long_help = FAILED_HELP)]
    Failed(FailedSub),
    Cleanup(CleanupArgs),
}

const FAILED_HELP: &str = "\
A torrent that failed is refused at once until its cooldown is over: five minutes for one without peers, an hour
at most. Every process of a state directory shares the table.

Examples:
  swarmcat failed list
  swarmcat failed list --all --json | jq -r '.[].info_hash'
  swarmcat failed clear 08ada5a7a6183aae1e09d831df6748d566095a10
  swarmcat failed clear";

#[derive(Debug, Subcommand)]
enum FailedSub {
    /// List the torrents that are cooling down
    List {
        /// Also those that may be tried again
        #[arg(long)]
        all: bool,
        /// Print JSON for scripts
        #[arg(long)]
        json: bool,
    },
    /// Forget failures, so that the torrents are tried again
    Clear {
        /// Info hashes; without any, every entry
        #[arg(value_name = "HASH", value_parser = info_hash)]
        hashes: Vec<InfoHash>,
    },
}

/// Remove what idle torrents left in the temp directory
#[derive(Debug, Args)]
#[command(after_long_help = "\
A torrent that any process streams is never touched. Expired entries of the failed-torrent table go, too.

Examples:
  swarmcat cleanup --dry-run
  swarmcat --temp-dir /var/tmp/swarmcat cleanup --older-than 2h

From cron, which knows neither your working directory nor your PATH:
  */15 * * * * $HOME/.cargo/bin/swarmcat -q --temp-dir $HOME/swarmcat/temp cleanup")]
struct CleanupArgs {
    /// Only what has been idle for this long
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = values::duration_or_zero)]
    older_than: Duration,
    /// Say what would go, and leave it
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Stream one file of a torrent to stdout, a file or a player
#[derive(Debug, Args)]
#[command(after_long_help = "\
Without -i or --select, it is the largest file that can be played (video before audio), else the largest.
With --open or -o at a terminal, you are asked when several files can be played.

Examples:
  swarmcat stream 08ada5a7a6183aae1e09d831df6748d566095a10 | mpv -
  swarmcat stream 'magnet:?xt=urn:btih:...' -o film.mkv
  swarmcat stream series.torrent -l
  swarmcat stream series.torrent --select S01E02 --open auto
  swarmcat stream film.torrent --select '*/extras/*.mkv' --open vlc -- --fullscreen
  swarmcat stream film.torrent --range 0-1048575 | file -
  curl -s https://example.org/film.torrent | swarmcat stream - | ffprobe -

Players:
  --open mpv, vlc, iina, ffplay, mplayer, auto for the first of them that is installed, or any program
  that takes a URL. mpv, VLC and IINA are given the subtitles that lie beside the film. What follows
  -- is handed to the player. The stream ends when the player does.")]
struct StreamArgs {
    /// Info hash, magnet URI, .torrent path or URL, or - for a .torrent on stdin
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Write to a file, by way of PATH.part; - is stdout
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The file with this number, from 0, as -l prints it
    #[arg(short, long, value_name = "N", conflicts_with = "select")]
    index: Option<usize>,
    /// The file whose path matches, or that is this episode: S01E02
    #[arg(short, long, value_name = "GLOB", value_parser = pattern)]
    select: Option<String>,
    /// List the files and exit
    #[arg(short, long, conflicts_with_all = ["output", "range", "open"])]
    list: bool,
    /// With -l: print JSON for scripts
    #[arg(long, requires = "list")]
    json: bool,
    /// Only these bytes, as in HTTP: 0-499, 500-, -500
    #[arg(long, value_name = "A-B", allow_hyphen_values = true)]
    range: Option<String>,
    /// Start a player (mpv, vlc, ... or auto) on a local URL of the stream
    #[arg(long, value_name = "PLAYER", conflicts_with_all = ["output", "range"])]
    open: Option<String>,
    /// Try although the torrent failed recently
    #[arg(long)]
    force: bool,
    /// Remove the torrent's data afterwards
    #[arg(long)]
    remove: bool,
    /// Arguments for the player, handed to it as they are
    #[arg(last = true, requires = "open", value_name = "PLAYER_ARGS")]
    player_args: Vec<String>,
}

/// Serve torrents over HTTP to players, TVs and scripts
#[derive(Debug, Args)]
#[command(after_long_help = "\
Without --listen, it answers on port 7000 of this machine alone (or on the sockets that systemd passes in). To
be reached by others it wants a token, which is better kept in SWARMCAT_TOKEN or swarmcat.toml than typed.
Without one, --allow-host and --allow-public let any web page that is opened in the network start torrents here:
over plain http, browsers tell nobody but loopback where a page is from.

Examples:
  swarmcat serve
  mpv http://127.0.0.1:7000/stream/proxy/08ada5a7a6183aae1e09d831df6748d566095a10
  curl http://127.0.0.1:7000/admin/failed-torrents
  SWARMCAT_TOKEN=$(openssl rand -hex 16) swarmcat serve --listen 0.0.0.0:7000")]
struct ServeArgs {
    /// Address or unix:PATH to listen at (repeat for more) [default: port 7000 of both loopbacks]
    #[arg(long, env = "SWARMCAT_LISTEN", value_name = "ADDR:PORT", value_delimiter = ' ',
          value_parser = values::place)]
    listen: Option<Vec<Place>>,
    /// Secret that every request must show (Authorization: Bearer, or ?token=)
    #[arg(long, env = "SWARMCAT_TOKEN", hide_env_values = true, value_name = "SECRET", value_parser = Token::read)]
    token: Option<Token>,
    /// What this server is called from outside, behind a proxy
    #[arg(long, env = "SWARMCAT_PUBLIC_URL", value_name = "URL", value_parser = values::http_url)]
    public_url: Option<Url>,
    /// Further name of this server (repeat for more)
    #[arg(long, env = "SWARMCAT_ALLOW_HOST", value_name = "HOST[:PORT]", value_delimiter = ' ',
          value_parser = guard::host_name)]
    allow_host: Option<Vec<HostName>>,
    /// Site whose pages may use this server, or * (repeat for more)
    #[arg(long, env = "SWARMCAT_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ' ',
          value_parser = values::origin)]
    allow_origin: Option<Vec<String>>,
    /// Proxy whose X-Forwarded-For is believed (repeat for more)
    #[arg(long, env = "SWARMCAT_TRUST_PROXY", value_name = "ADDR", value_delimiter = ' ',
          value_parser = values::address)]
    trust_proxy: Option<Vec<IpAddr>>,
    /// Let other machines use it without a token
    #[arg(long, env = "SWARMCAT_ALLOW_PUBLIC", num_args = 0, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    allow_public: Option<bool>,
    /// Let requests and the swarm lead into private networks
    #[arg(long, env = "SWARMCAT_ALLOW_PRIVATE_PEERS", num_args = 0, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    allow_private_peers: Option<bool>,
    /// Connections at once [default: 4096, or what the limit on open files allows]
    #[arg(long, env = "SWARMCAT_MAX_CONNECTIONS", value_name = "N", value_parser = values::count)]
    max_connections: Option<NonZeroU32>,
    /// Torrents that one address may start in a minute [default: 60]
    #[arg(long, env = "SWARMCAT_STARTS_PER_MINUTE", value_name = "N", value_parser = values::count)]
    starts_per_minute: Option<NonZeroU32>,
    /// Let go of a reader that takes nothing for [default: 10m]
    #[arg(long, env = "SWARMCAT_READER_TIMEOUT", value_name = "DURATION", value_parser = values::duration)]
    reader_timeout: Option<Duration>,
    /// Let go of a reader whose machine does not answer for [default: 30s]
    #[arg(long, env = "SWARMCAT_SILENCE_TIMEOUT", value_name = "DURATION", value_parser = values::duration)]
    silence_timeout: Option<Duration>,
}

impl ServeArgs {
    fn into_layer(self) -> ServeLayer {
        ServeLayer {
            listen: self.listen,
            token: self.token,
            public_url: self.public_url,
            allow_hosts: self.allow_host,
            allow_origins: self.allow_origin,
            trusted_proxies: self.trust_proxy,
            allow_public: self.allow_public,
            allow_private_peers: self.allow_private_peers,
            max_connections: self.max_connections,
            starts_per_minute: self.starts_per_minute,
            reader_timeout: self.reader_timeout,
            silence_timeout: self.silence_timeout,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = GLOBAL)]
struct GlobalArgs {
    /// Read settings from this file
    #[arg(long, global = true, env = "SWARMCAT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where torrents are kept while they are streamed [default: ./temp]
    #[arg(long, global = true, env = "SWARMCAT_TEMP_DIR", value_name = "DIR")]
    temp_dir: Option<PathBuf>,
    /// Where failures are remembered [default: the XDG state directory]
    #[arg(long, global = true, env = "SWARMCAT_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(short, long, global = true, env = "SWARMCAT_QUIET", num_args = 0, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    quiet: Option<bool>,
    /// Log more: -v what is done, -vv how, -vvv everything
    #[arg(short, long, global = true, env = "SWARMCAT_VERBOSE", action = ArgAction::Count)]
    verbose: u8,
    /// Form of the log on stderr [default: text]
    #[arg(long, global = true, env = "SWARMCAT_LOG_FORMAT", value_name = "FORM", value_parser = log_format())]
    log_format: Option<LogFormat>,
    /// Form of the progress on stderr [default: auto]
    #[arg(long, global = true, env = "SWARMCAT_PROGRESS", value_name = "FORM", value_parser = progress())]
    progress: Option<ProgressMode>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = SWARM)]
struct SwarmArgs {
    /// Peer to dial whatever else is known (repeat for more)
    #[arg(long, global = true, env = "SWARMCAT_PEER", value_name = "ADDR:PORT", value_delimiter = ' ',
          value_parser = values::peer)]
    peer: Option<Vec<SocketAddr>>,
    /// Tracker to ask beside the source's own (repeat for more)
    #[arg(long, global = true, env = "SWARMCAT_TRACKER", value_name = "URL", value_delimiter = ' ',
          value_parser = values::tracker)]
    tracker: Option<Vec<Url>>,
    /// Trackers for the later rounds, one URL a line
    #[arg(long, global = true, env = "SWARMCAT_TRACKERS_FILE", value_name = "FILE")]
    trackers_file: Option<PathBuf>,
    /// Ask no tracker at all
    #[arg(long, global = true, env = "SWARMCAT_NO_TRACKERS", num_args = 0, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    no_trackers: Option<bool>,
    /// Do not use the DHT
    #[arg(long, global = true, env = "SWARMCAT_NO_DHT", num_args = 0, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    no_dht: Option<bool>,
    /// DHT node to start from instead of the well-known ones (repeat for more)
    #[arg(long, global = true, env = "SWARMCAT_DHT_BOOTSTRAP", value_name = "HOST:PORT", value_delimiter = ' ',
          value_parser = values::host_port)]
    dht_bootstrap: Option<Vec<String>>,
    /// Look for peers on the local network
    #[arg(long, global = true, env = "SWARMCAT_LSD", num_args = 0, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    lsd: Option<bool>,
    /// Give nothing back to the swarm
    #[arg(long, global = true, env = "SWARMCAT_NO_UPLOAD", num_args = 0, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    no_upload: Option<bool>,
    /// TCP port for incoming peers [default: any free one]
    #[arg(long, global = true, env = "SWARMCAT_LISTEN_PORT", value_name = "N", value_parser = values::port)]
    listen_port: Option<u16>,
    /// Connected peers at most [default: 128]
    #[arg(long, global = true, env = "SWARMCAT_PEER_LIMIT", value_name = "N", value_parser = values::peer_limit)]
    peer_limit: Option<usize>,
    /// Bytes a second down, 16KiB or more [default: no limit]
    #[arg(long, global = true, env = "SWARMCAT_DOWNLOAD_LIMIT", value_name = "SIZE", value_parser = values::rate)]
    download_limit: Option<NonZeroU32>,
    /// Bytes a second up, 16KiB or more [default: no limit]
    #[arg(long, global = true, env = "SWARMCAT_UPLOAD_LIMIT", value_name = "SIZE", value_parser = values::rate)]
    upload_limit: Option<NonZeroU32>,
    /// SOCKS5 proxy for peers and HTTP trackers; nothing goes around it
    #[arg(long, global = true, env = "SWARMCAT_PROXY", value_name = "socks5://HOST:PORT", value_parser = values::proxy)]
    proxy: Option<Url>,
    /// Network device to use, such as wg0
    #[arg(long, global = true, env = "SWARMCAT_BIND_DEVICE", value_name = "DEVICE", value_parser = values::device)]
    bind_device: Option<String>,
    /// Never use IPv6
    #[arg(long, global = true, env = "SWARMCAT_IPV4_ONLY", num_args = 0, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    ipv4_only: Option<bool>,
    /// No DHT, LSD, PEX, upload, way in or client name
    #[arg(long, global = true, env = "SWARMCAT_PRIVATE", num_args = 0, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    private: Option<bool>,
    /// Free disk to leave [default: 5 % of it, 256MiB to 4GiB]
    #[arg(long, global = true, env = "SWARMCAT_MIN_FREE", value_name = "SIZE", value_parser = values::size)]
    min_free: Option<u64>,
    /// Disk that all torrents together may take [default: no limit]
    #[arg(long, global = true, env = "SWARMCAT_MAX_DISK", value_name = "SIZE", value_parser = values::size)]
    max_disk: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = WAITS)]
struct WaitArgs {
    /// Give up when no peer was reached after [default: 60s]
    #[arg(long, global = true, env = "SWARMCAT_PEER_TIMEOUT", value_name = "DURATION", value_parser = values::duration)]
    peer_timeout: Option<Duration>,
    /// Give up when no byte came after [default: 2m]
    #[arg(long, global = true, env = "SWARMCAT_TIMEOUT", value_name = "DURATION", value_parser = values::duration)]
    timeout: Option<Duration>,
    /// Give up when the stream stands still for [default: 60s]
    #[arg(long, global = true, env = "SWARMCAT_STALL_TIMEOUT", value_name = "DURATION", value_parser = values::duration)]
    stall_timeout: Option<Duration>,
    /// Rounds within the timeout, each with other trackers [default: 4]
    #[arg(long, global = true, env = "SWARMCAT_MAX_RETRIES", value_name = "N", value_parser = values::count)]
    max_retries: Option<NonZeroU32>,
}

fn pattern(text: &str) -> Result<String, Error> {
    FileSelector::pattern(text).map(|_| text.to_owned())
}

fn info_hash(text: &str) -> Result<InfoHash, String> {
    text.parse().map_err(|_| "expected an info hash: 40 hex or 32 base32 characters".into())
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(LogFormat::ALL.map(|(name, _)| name)).try_map(|name| LogFormat::read(&name))
}

fn progress() -> impl TypedValueParser<Value = ProgressMode> {
    PossibleValuesParser::new(ProgressMode::ALL.map(|(name, _)| name))
        .try_map(|name| ProgressMode::read(&name))
}

impl Cli {
    pub(super) fn into_plain(self) -> Invocation {
        let Cli { command, global, swarm, waits } = self;
        let (command, serve) = command.into_plain();
        Invocation {
            command,
            config: global.config,
            layer: Layer {
                temp_dir: global.temp_dir,
                state_dir: global.state_dir,
                min_free: swarm.min_free,
                max_disk: swarm.max_disk,
                max_torrents: None,
                quiet: global.quiet,
                verbose: Some(global.verbose),
                log_format: global.log_format,
                progress: global.progress,
                swarm: swarm.into_plain(),
                waits: waits.into_plain(),
                serve,
                cooldown: CooldownLayer::default(),
            },
        }
    }
}

impl SwarmArgs {
    fn into_plain(self) -> SwarmLayer {
        let not = |flag: bool| !flag;
        SwarmLayer {
            peers: self.peer,
            trackers: self.tracker,
            trackers_file: self.trackers_file,
            use_trackers: self.no_trackers.map(not),
            dht: self.no_dht.map(not),
            dht_bootstrap: self.dht_bootstrap,
            lsd: self.lsd,
            upload: self.no_upload.map(not),
            listen_port: self.listen_port,
            peer_limit: self.peer_limit,
            download_limit: self.download_limit,
            upload_limit: self.upload_limit,
            proxy: self.proxy,
            bind_device: self.bind_device,
            ipv4_only: self.ipv4_only,
            private: self.private,
        }
    }
}

impl WaitArgs {
    fn into_plain(self) -> WaitsLayer {
        WaitsLayer {
            peer_timeout: self.peer_timeout,
            timeout: self.timeout,
            stall_timeout: self.stall_timeout,
            max_retries: self.max_retries,
        }
    }
}

impl Sub {
    /// The command, and the settings that only it can be given.
    fn into_plain(self) -> (Command, ServeLayer) {
        let command = match self {
            Sub::Stream(args) => Command::Stream(Box::new(args.into_plain())),
            Sub::Serve(args) => return (Command::Serve, args.into_layer()),
            Sub::Failed(FailedSub::List { all, json }) => Command::FailedList { all, json },
            Sub::Failed(FailedSub::Clear { hashes }) => Command::FailedClear { hashes },
            Sub::Cleanup(CleanupArgs { older_than, dry_run, json }) => {
                Command::Cleanup { older_than, dry_run, json }
            }
        };
        (command, ServeLayer::default())
    }
}

impl StreamArgs {
    fn into_plain(self) -> StreamRequest {
        StreamRequest {
            source: self.source,
            output: match self.output {
                Some(path) if path.as_os_str() != "-" => Output::File(path),
                _ => Output::Stdout,
            },
            choice: match (self.index, self.select) {
                (Some(index), _) => Choice::Index(index),
                (None, Some(glob)) => Choice::Glob(glob),
                (None, None) => Choice::Auto,
            },
            list: self.list,
            json: self.json,
            range: self.range,
            open: self.open,
            player_args: self.player_args,
            force: self.force,
            remove: self.remove,
        }
    }
}

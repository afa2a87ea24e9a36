//! The command line as a process: settings from three places, exit codes, the upkeep commands.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value as Json;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::support::{Sandbox, Stdout, process};

const HASH: &str = "453475aec9bb4de3423649db8aa3cd2312538ca7";
const OTHER: &str = "08ada5a7a6183aae1e09d831df6748d566095a10";

/// A user's account: a home directory, and nothing in the environment that is not put there.
struct Account {
    home: TempDir,
    env: Vec<(&'static str, String)>,
}

impl Account {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let env = vec![("HOME", home.path().display().to_string())];
        Self { home, env }
    }

    fn with_env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    fn without_home(mut self) -> Self {
        self.env.retain(|(name, _)| *name != "HOME");
        self
    }

    /// Writes the configuration file in its usual place.
    fn configured(self, toml: &str) -> Self {
        let path = self.path(".config/swarmcat/swarmcat.toml");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, toml).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmcat"));
        command.args(line.split_whitespace()).env_clear().envs(self.env.iter().cloned());
        command.current_dir(self.home.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, line: &str) -> Output {
        process::output(&mut self.command(line))
    }

    /// The state directory that is used: a table is put into each, and only one of them is listed.
    fn listed_from(&self, line: &str) -> String {
        for name in ["flag", "env", "file", ".local/state/swarmcat", "xdg/swarmcat"] {
            let reason = name.replace('/', "-");
            put_table(&self.path(name), &[fresh(HASH, &reason)]);
        }
        let listed: Json = serde_json::from_str(&self.succeeds(line)).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
        listed[0]["reason"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn succeeds(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs what must be refused, and gives what is said about it.
    #[track_caller]
    fn refuses(&self, line: &str, code: i32) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(code), "{line}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "stdout is payload only");
        stderr(&output)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A failure of a minute ago that cools down for four more.
fn fresh(hash: &str, reason: &str) -> String {
    entry(hash, reason, -Duration::MINUTE)
}

/// A failure of yesterday, whose cooldown is over.
fn over(hash: &str, reason: &str) -> String {
    entry(hash, reason, -Duration::DAY)
}

fn entry(hash: &str, reason: &str, failed: Duration) -> String {
    let failed = OffsetDateTime::now_utc() + failed;
    let [failed_at, retry_at] =
        [failed, failed + 5 * Duration::MINUTE].map(|at| at.format(&Rfc3339).unwrap());
    format!(
        "[[failed]]\ninfo_hash = \"{hash}\"\nkind = \"no_peers\"\nreason = \"{reason}\"\n\
         failed_at = {failed_at}\nretry_at = {retry_at}\nattempts = 1\n"
    )
}

fn put_table(state_dir: &std::path::Path, entries: &[String]) {
    fs::create_dir_all(state_dir).unwrap();
    fs::write(state_dir.join("failed.toml"), format!("version = 1\n{}", entries.concat())).unwrap();
}

#[test]
fn an_unknown_key_in_the_file_is_named_with_its_line() {
    let account = Account::new().configured("verbose = 1\n\n[swarm]\ndth = false\n");
    let told = account.refuses("failed list", 2);
    assert!(told.contains("swarmcat.toml, line 4: swarm.dth: unknown key `dth`"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn a_file_is_named_by_flag_or_environment_and_must_be_there() {
    let account = Account::new().with_env("SWARMCAT_CONFIG", "missing.toml");
    assert!(account.refuses("failed list", 2).contains("missing.toml"));
    fs::write(account.path("mine.toml"), "sped = 1").unwrap();
    assert!(account.refuses("failed list --config mine.toml", 2).contains("mine.toml, line 1: sped"));
    assert!(account.refuses("--config mine.toml failed list", 2).contains("mine.toml, line 1: sped"));
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let list = "failed list --json";
    let account = Account::new();
    assert_eq!(account.listed_from(list), ".local-state-swarmcat");
    let xdg = account.path("xdg").display().to_string();
    let account = account.with_env("XDG_STATE_HOME", &xdg);
    assert_eq!(account.listed_from(list), "xdg-swarmcat");
    let file = format!("state_dir = {:?}", account.path("file"));
    let account = account.configured(&file);
    assert_eq!(account.listed_from(list), "file");
    let account = account.with_env("SWARMCAT_STATE_DIR", "env");
    assert_eq!(account.listed_from(list), "env");
    assert_eq!(account.listed_from("failed list --json --state-dir flag"), "flag");
    assert_eq!(account.listed_from("--state-dir flag failed list --json"), "flag");
}

#[test]
fn a_switch_in_the_environment_is_a_yes_or_no() {
    let account = Account::new().with_env("SWARMCAT_NO_DHT", "perhaps");
    assert!(account.refuses("failed list", 2).contains("--no-dht"));
    for word in ["1", "yes", "true", "off", "no"] {
        Account::new().with_env("SWARMCAT_NO_DHT", word).succeeds("failed list");
    }
}

#[test]
fn bad_values_are_usage_errors_wherever_they_stand() {
    let account = Account::new();
    assert!(account.refuses("stream x --timeout soon", 2).contains("90s"));
    assert!(account.refuses("stream x --download-limit 1KiB", 2).contains("16KiB"));
    let account = account.with_env("SWARMCAT_TIMEOUT", "soon");
    assert!(account.refuses("failed list", 2).contains("90s"));
    let account = Account::new().configured("[waits]\ntimeout = \"soon\"");
    assert!(
        account.refuses("failed list", 2).contains("line 2: waits.timeout: \"soon\": expected a duration")
    );
}

#[test]
fn without_a_home_the_state_directory_must_be_given() {
    let account = Account::new().without_home();
    assert!(account.refuses("failed list", 2).contains("--state-dir"));
    assert_eq!(account.succeeds("failed list --json --state-dir s").trim(), "[]");
}

#[test]
fn help_and_version_are_payload_and_success() {
    let account = Account::new().without_home();
    assert!(account.succeeds("--help").contains("Exit codes:"));
    assert!(account.succeeds("stream --help").contains("Examples:"));
    assert_eq!(account.succeeds("--version").trim(), format!("swarmcat {}", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_terminal_is_refused_before_anything_starts() {
    let sandbox = Sandbox::new();
    let refused = sandbox.stream(HASH).stdout(Stdout::Terminal).run().await.code(2);
    let refused = refused.says("swarmcat: standard output is a terminal").says("hint: ").says("-o FILE");
    assert!(refused.stdout.is_empty(), "{}", refused.report());
    assert!(fs::read_dir(sandbox.temp()).unwrap().next().is_none(), "nothing was started");
}

#[tokio::test]
async fn the_failed_list_reaches_a_terminal_without_a_control_character() {
    let sandbox = Sandbox::new();
    let hostile = r"no \u001b[31mpeers\u0007 \u202e\u0000\r\n";
    put_table(&sandbox.state(), &[fresh(HASH, hostile)]);
    for arguments in [&["failed", "list"][..], &["failed", "list", "--json"]] {
        let listed = sandbox.swarmcat(arguments).stdout(Stdout::Terminal).run().await.code(0);
        // The terminal itself turns each line feed into two characters.
        let text = listed.stdout_text().replace("\r\n", "\n");
        assert!(text.contains(HASH), "{text:?}");
        let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(harmful), "{text:?}");
    }
}

#[test]
fn what_cools_down_is_listed_and_what_is_over_only_with_all() {
    let account = Account::new();
    let entries = [fresh(HASH, "no peers found after 60s"), over(OTHER, "long ago")];
    put_table(&account.path("s"), &entries);
    let table = account.succeeds("failed list --state-dir s");
    assert!(table.contains(HASH) && table.contains("no peers found after 60s"), "{table}");
    assert!(!table.contains(OTHER), "{table}");
    let all = account.succeeds("failed list --all --state-dir s");
    assert!(all.contains(HASH) && all.contains(OTHER), "{all}");
    let json: Json =
        serde_json::from_str(&account.succeeds("failed list --all --json --state-dir s")).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2, "{json}");
    assert_eq!(json[0]["kind"], "no_peers");
}

#[test]
fn clearing_a_hash_forgets_it_and_an_unknown_one_is_no_failure() {
    let account = Account::new();
    put_table(&account.path("s"), &[fresh(HASH, "a"), fresh(OTHER, "b")]);
    let cleared = account.run(&format!("failed clear {} --state-dir s", HASH.to_uppercase()));
    assert_eq!((cleared.status.code(), cleared.stdout.len()), (Some(0), 0));
    assert!(stderr(&cleared).contains("forgot 1 failed torrent"), "{}", stderr(&cleared));
    let again = account.run(&format!("failed clear {HASH} --state-dir s"));
    assert_eq!(again.status.code(), Some(0));
    assert!(stderr(&again).contains(&format!("torrent {HASH} is not in the table")), "{}", stderr(&again));
    let left = account.succeeds("failed list --state-dir s");
    assert!(!left.contains(HASH) && left.contains(OTHER), "{left}");
    assert!(account.refuses("failed clear film.mkv --state-dir s", 2).contains("expected an info hash"));
}

#[test]
fn clearing_without_a_hash_forgets_everything() {
    let account = Account::new();
    put_table(&account.path("s"), &[fresh(HASH, "a"), fresh(OTHER, "b")]);
    let quiet = account.run("failed clear --quiet --state-dir s");
    assert_eq!((quiet.status.code(), stderr(&quiet)), (Some(0), String::new()));
    assert_eq!(account.succeeds("failed list --json --all --state-dir s").trim(), "[]");
    let again = account.run("failed clear --state-dir s");
    assert!(stderr(&again).contains("nothing to forget"), "{}", stderr(&again));
}

#[test]
fn cleanup_removes_what_is_ours_and_drops_what_is_over() {
    let account = Account::new();
    let entries = [fresh(HASH, "a"), over(OTHER, "b")];
    put_table(&account.path("s"), &entries);
    fs::create_dir_all(account.path("t").join(HASH)).unwrap();
    fs::write(account.path("t").join(HASH).join("0-film.mkv"), "not ours: there is no lock file").unwrap();
    let cleanup = "cleanup --older-than 0s --temp-dir t --state-dir s";
    let dry: Json = serde_json::from_str(&account.succeeds(&format!("{cleanup} --dry-run --json"))).unwrap();
    assert_eq!(
        (&dry["dry_run"], &dry["expired_failed_entries"]),
        (&Json::Bool(true), &Json::from(1)),
        "{dry}"
    );
    let wet: Json = serde_json::from_str(&account.succeeds(&format!("{cleanup} --json"))).unwrap();
    assert_eq!(wet["expired_failed_entries"], 1, "{wet}");
    assert_eq!(wet["kept"][0]["info_hash"], HASH, "{wet}");
    assert!(account.path("t").join(HASH).join("0-film.mkv").exists());
    assert!(!account.succeeds("failed list --all --state-dir s").contains(OTHER));
    let table = account.succeeds(cleanup);
    assert!(table.contains("kept 1"), "{table}");
    assert_eq!(account.succeeds(&format!("{cleanup} --quiet")), "");
}

#[test]
fn cleanup_of_nothing_is_done_at_once_and_makes_nothing() {
    let account = Account::new();
    let report: Json = serde_json::from_str(&account.succeeds("cleanup --json")).unwrap();
    assert_eq!(report["removed"], Json::Array(Vec::new()));
    assert!(!account.path("temp").exists());
    assert!(!account.path(".local").exists());
}

#[test]
fn a_reader_that_has_enough_is_no_failure_and_a_full_disk_is() {
    let account = Account::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = process::output(account.command("failed list").stdout(writer));
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = process::output(account.command("failed list").stdout(full));
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("swarmcat: writing standard output: "), "{}", stderr(&output));
}

#[test]
fn a_closed_standard_error_is_no_panic() {
    let account = Account::new().configured("sped = 1");
    let (reader, mut writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(writer.write_all(b"x").is_err(), "the pipe is closed");
    let status = process::output(account.command("failed list").stderr(writer)).status;
    assert_eq!(status.code(), Some(2));
}

#[test]
fn a_log_filter_that_is_none_is_refused() {
    let account = Account::new().with_env("SWARMCAT_LOG", "swarmcat=loud");
    assert!(account.refuses("failed list", 2).contains("SWARMCAT_LOG"));
    Account::new().with_env("SWARMCAT_LOG", "swarmcat=debug").succeeds("failed list");
}

#[test]
fn the_log_is_on_stderr_as_text_or_json_at_the_level_asked_for() {
    let cleanup = "cleanup --temp-dir t --state-dir s";
    let account = Account::new();
    let logged = |flags: &str| {
        put_table(&account.path("s"), &[over(OTHER, "b")]);
        stderr(&account.run(&format!("{cleanup} {flags}")))
    };
    assert_eq!(logged(""), "");
    assert_eq!(logged("-v"), "", "it is a debug line");
    assert!(logged("-vv").contains("Cleaned up 1 failed torrent entries"), "{}", logged("-vv"));
    let json = logged("-vv --log-format json");
    let line: Json = json.lines().map(|line| serde_json::from_str(line).unwrap()).next_back().unwrap();
    assert_eq!(line["level"], "DEBUG", "{line}");
}

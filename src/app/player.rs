//! Starts a media player on a URL, for `stream --open`. Never through a shell: the player gets a list of
//! arguments, and the URL among them is one that we made.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::fs::{Access, access};
use tokio::process::{Child, Command};

use crate::core::Error;

/// A player by name: where it may be found, what makes it play one URL, stay off the terminal that shows our
/// progress, and end when the film does, and how it is told of subtitles.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    name: &'static str,
    programs: &'static [&'static str],
    args: &'static [&'static str],
    subtitles: Subtitles,
}

/// How a player is told of subtitles at other URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subtitles {
    /// It takes none.
    None,
    /// An option for each.
    Option(&'static str),
    /// One option behind the film's URL, with `#` between what it lists; no URL of ours has one.
    Slaves,
}

/// In the order in which `auto` tries them.
const KNOWN: &[Known] = &[
    Known {
        name: "mpv",
        programs: &["mpv"],
        args: &["--quiet", "--no-input-terminal", "--msg-level=all=warn"],
        subtitles: Subtitles::Option("--sub-file="),
    },
    Known {
        name: "vlc",
        programs: &["vlc", "cvlc", "/Applications/VLC.app/Contents/MacOS/VLC"],
        args: &["--quiet", "--play-and-exit"],
        subtitles: Subtitles::Slaves,
    },
    Known {
        name: "iina",
        programs: &["iina", "iina-cli", "/Applications/IINA.app/Contents/MacOS/iina-cli"],
        args: &["--keep-running", "--no-stdin"],
        subtitles: Subtitles::Option("--mpv-sub-file="),
    },
    Known {
        name: "ffplay",
        programs: &["ffplay"],
        args: &["-hide_banner", "-loglevel", "warning", "-nostats", "-autoexit"],
        subtitles: Subtitles::None,
    },
    Known {
        name: "mplayer",
        programs: &["mplayer"],
        args: &["-really-quiet", "-noconsolecontrols"],
        subtitles: Subtitles::None,
    },
];

/// Any other program.
const UNKNOWN: Known = Known { name: "", programs: &[], args: &[], subtitles: Subtitles::None };

/// A player that is there to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Player {
    program: PathBuf,
    known: &'static Known,
}

impl Player {
    /// Finds `wanted`: a known player's name, `auto` for the first known one, any other program's name, or a
    /// path. Names are looked for in `PATH`.
    pub fn find(wanted: &str) -> Result<Self, Error> {
        Self::find_in(wanted, env::var_os("PATH").as_deref().unwrap_or_default())
    }

    fn find_in(wanted: &str, path: &OsStr) -> Result<Self, Error> {
        let candidates: Vec<(&str, &'static Known)> = match wanted {
            "auto" => KNOWN.iter().flat_map(Known::candidates).collect(),
            name => match KNOWN.iter().find(|known| known.name == name) {
                Some(known) => known.candidates().collect(),
                None => vec![(name, Known::by_program(name))],
            },
        };
        let found = candidates
            .iter()
            .find_map(|(program, known)| Some(Self { program: locate(program, path)?, known }));
        found.ok_or_else(|| missing(wanted, candidates.iter().map(|(program, _)| *program)))
    }

    /// What will be started.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Starts it on `url`, with `extra` arguments before that. Its output is kept out of ours, except for
    /// what it says on stderr. It is killed when the child is dropped: without us there is nothing to play.
    pub fn start(&self, extra: &[OsString], url: &str, subtitles: &[String]) -> Result<Child, Error> {
        self.command(extra, url, subtitles).spawn().map_err(|source| {
            Error::Usage(format!("cannot start the player {}: {source}", self.program.display()))
        })
    }

    fn command(&self, extra: &[OsString], url: &str, subtitles: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.known.args);
        match self.known.subtitles {
            Subtitles::Option(option) => {
                command.args(subtitles.iter().map(|url| format!("{option}{url}"))).args(extra).arg(url);
            }
            Subtitles::Slaves if !subtitles.is_empty() => {
                command.args(extra).arg(url).arg(format!(":input-slave={}", subtitles.join("#")));
            }
            Subtitles::Slaves | Subtitles::None => {
                command.args(extra).arg(url);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        command
    }
}

impl Known {
    fn candidates(&'static self) -> impl Iterator<Item = (&'static str, &'static Known)> {
        self.programs.iter().map(move |program| (*program, self))
    }

    /// The player that a program's name or path is, wherever it lies.
    fn by_program(program: &str) -> &'static Self {
        let name = |path: &str| Path::new(path).file_name().map(OsStr::to_owned);
        let is = |known: &&Known| known.programs.iter().any(|own| name(own) == name(program));
        KNOWN.iter().find(is).unwrap_or(&UNKNOWN)
    }
}

/// The file behind a program's name or path, if it can be executed.
fn locate(program: &str, path: &OsStr) -> Option<PathBuf> {
    let runs = |file: &PathBuf| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(runs);
    }
    let absolute = |dir: &PathBuf| dir.is_absolute();
    env::split_paths(path).filter(absolute).map(|dir| dir.join(program)).find(runs)
}

fn missing<'a>(wanted: &str, tried: impl Iterator<Item = &'a str>) -> Error {
    let tried: Vec<&str> = tried.collect();
    Error::Usage(if wanted.contains('/') {
        format!("the player {wanted} is not a program that can be started")
    } else {
        format!(
            "no player {wanted:?} found (looked in PATH for {}); install one, or give --open its path",
            tried.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A directory with these programs in it, each a link to the shell.
    fn programs(names: &[&str]) -> TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in names {
            symlink("/bin/sh", dir.path().join(name)).expect("a link");
        }
        dir
    }

    fn find(wanted: &str, dir: &TempDir) -> Result<Player, Error> {
        Player::find_in(wanted, dir.path().as_os_str())
    }

    fn arguments(player: &Player, extra: &[&str], subtitles: &[&str]) -> Vec<String> {
        let extra: Vec<OsString> = extra.iter().map(OsString::from).collect();
        let subtitles: Vec<String> = subtitles.iter().map(ToString::to_string).collect();
        let command = player.command(&extra, "http://127.0.0.1:1/t/a.mkv", &subtitles);
        command.as_std().get_args().map(|arg| arg.to_str().expect("text").to_owned()).collect()
    }

    #[test]
    fn auto_takes_the_first_known_player_that_is_there() {
        let dir = programs(&["mplayer", "ffplay", "cvlc", "sh"]);
        assert_eq!(find("auto", &dir).expect("found").program(), dir.path().join("cvlc"));
        let dir = programs(&["mplayer", "mpv"]);
        assert_eq!(find("auto", &dir).expect("found").program(), dir.path().join("mpv"));
    }

    #[test]
    fn the_url_comes_last_after_the_extra_arguments() {
        let dir = programs(&["mpv", "vlc", "cvlc", "iina", "ffplay", "mplayer", "celluloid"]);
        for name in ["mpv", "vlc", "cvlc", "iina", "ffplay", "mplayer", "celluloid"] {
            let player = find(name, &dir).expect("found");
            assert_eq!(player.program(), dir.path().join(name));
            let arguments = arguments(&player, &["--volume", "50; rm -rf $HOME"], &[]);
            let tail = &arguments[arguments.len() - 3..];
            assert_eq!(tail, ["--volume", "50; rm -rf $HOME", "http://127.0.0.1:1/t/a.mkv"]);
        }
        assert_eq!(arguments(&find("celluloid", &dir).expect("found"), &[], &[]).len(), 1);
    }

    #[test]
    fn each_player_is_told_of_subtitles_in_its_own_way() {
        let dir = programs(&["mpv", "vlc", "iina", "ffplay", "mplayer", "celluloid"]);
        let told =
            |name: &str| arguments(&find(name, &dir).expect("found"), &["-x"], &["http://s/1", "http://s/2"]);
        let mpv = told("mpv");
        assert_eq!(
            mpv[mpv.len() - 4..mpv.len() - 1],
            ["--sub-file=http://s/1", "--sub-file=http://s/2", "-x"]
        );
        let vlc = told("vlc");
        assert_eq!(
            vlc[vlc.len() - 2..],
            ["http://127.0.0.1:1/t/a.mkv", ":input-slave=http://s/1#http://s/2"]
        );
        assert!(told("iina").contains(&"--mpv-sub-file=http://s/2".to_owned()));
        for name in ["ffplay", "mplayer", "celluloid"] {
            assert!(!told(name).iter().any(|arg| arg.contains("http://s/")), "{name}");
        }
    }

    #[test]
    fn a_known_player_is_known_wherever_it_lies() {
        let dir = programs(&["cvlc", "mpv", "player"]);
        for (program, first) in [("cvlc", Some("--quiet")), ("mpv", Some("--quiet")), ("player", None)] {
            let path = dir.path().join(program);
            let player = find(path.to_str().expect("text"), &dir).expect("found");
            assert_eq!(player.program(), path);
            assert_eq!(
                arguments(&player, &[], &[]).first().map(String::as_str).filter(|arg| arg.starts_with('-')),
                first
            );
        }
        assert_eq!(
            arguments(&find("cvlc", &dir).expect("found"), &[], &[])[..2],
            ["--quiet", "--play-and-exit"]
        );
    }

    #[test]
    fn what_cannot_be_executed_is_not_a_player() {
        let dir = programs(&[]);
        std::fs::write(dir.path().join("mpv"), "no program").expect("a file");
        std::fs::create_dir(dir.path().join("vlc")).expect("a directory");
        assert!(find("mpv", &dir).is_err() && find("vlc", &dir).is_err());
        let file = dir.path().join("mpv");
        let told = find(file.to_str().expect("text"), &dir).expect_err("no program").to_string();
        assert!(told.ends_with("mpv is not a program that can be started"), "{told}");
    }

    #[test]
    fn a_missing_player_says_what_was_looked_for() {
        let dir = programs(&["unrelated"]);
        let told = find("auto", &dir).expect_err("none").to_string();
        for name in ["mpv", "vlc", "cvlc", "iina", "ffplay", "mplayer"] {
            assert!(told.contains(name), "{told}");
        }
        let told = find("celluloid", &dir).expect_err("none").to_string();
        assert!(told.contains("celluloid") && !told.contains("mpv"), "{told}");
    }

    #[test]
    fn a_relative_entry_of_path_is_never_searched() {
        assert!(Player::find_in("Cargo.toml", OsStr::new(".")).is_err());
        assert_eq!(locate("sh", OsStr::new("bin:.:")), None);
    }

    #[tokio::test]
    async fn a_started_player_gets_the_url_and_its_end_is_seen() {
        let dir = programs(&["player"]);
        let player = find(dir.path().join("player").to_str().expect("text"), &dir).expect("found");
        let script = format!("printf %s \"$0\" > {}/url; exit 7", dir.path().display());
        let mut child =
            player.start(&["-c".into(), script.into()], "http://127.0.0.1:1/a b", &[]).expect("started");
        assert_eq!(child.wait().await.expect("ended").code(), Some(7));
        let url = std::fs::read_to_string(dir.path().join("url")).expect("written");
        assert_eq!(url, "http://127.0.0.1:1/a b");
    }
}

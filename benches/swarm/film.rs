//! Real films, and players that show one frame of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{scenario::Player, seeder::Trouble};

/// Seconds of the picture that the film repeats: making one that is as long takes longer than copying.
const LOOP: &str = "8";
/// What a film of two hours has in 2 GB.
const BIT_RATE: &str = "2M";
/// Where the index begins, in the containers that are made here.
const INDEX: [(&str, &[u8]); 2] = [("mp4", b"moov"), ("mkv", &[0x1c, 0x53, 0xbb, 0x6b])];
/// The index of a film made here is not larger.
const LARGEST_INDEX: usize = 2 << 20;

/// A film of about so many bytes, as ffmpeg makes it when not told otherwise: with the index at the end.
pub fn make(dir: &Path, container: &str, size: u64) -> Result<PathBuf, Trouble> {
    let (seed, film) = (dir.with_extension("seed.mkv"), dir.join(format!("film.{container}")));
    let mut command = ffmpeg();
    command.args(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25,noise=alls=40:allf=t"]);
    command.args(["-f", "lavfi", "-i", "sine", "-t", LOOP, "-c:v", "mpeg4", "-b:v", BIT_RATE]);
    ran(command.args(["-maxrate", BIT_RATE, "-bufsize", BIT_RATE, "-c:a", "aac"]).arg(&seed))?;
    let mut command = ffmpeg();
    command.args(["-stream_loop", "-1", "-i"]).arg(&seed).args(["-c", "copy", "-fs"]);
    ran(command.arg(size.to_string()).arg(&film))?;
    fs::remove_file(seed)?;
    Ok(film)
}

/// Plays until there is a frame; the frame's digest. Fails when there is none.
pub fn first_frame(player: Player, source: &str, second: u32) -> Result<String, Trouble> {
    let from = second.to_string();
    let mut command = match player {
        Player::Ffmpeg => {
            let mut command = ffmpeg();
            command.args(["-ss", &from, "-i", source, "-map", "0:v:0", "-frames:v", "1"]);
            command.args(["-f", "framemd5", "-"]);
            command
        }
        Player::Mpv => {
            let mut command = Command::new("mpv");
            command.args([
                "--no-config",
                "--really-quiet",
                "--no-audio",
                "--frames=1",
                "--network-timeout=0",
            ]);
            command.args(["--o=-", "--of=framemd5", "--ovc=rawvideo"]);
            command.arg(format!("--start={from}")).arg(source);
            command
        }
    };
    let output = ran(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let frame = text.lines().find(|line| !line.starts_with('#'));
    let digest = frame.and_then(|line| line.rsplit(',').next()).ok_or("the player showed no frame")?;
    Ok(digest.trim().to_owned())
}

/// Bytes of the pieces without which there is no frame: the first, those of the index, and for a later start one more.
pub fn needed(film: &Path, piece: u64, second: u32) -> Result<u64, Trouble> {
    let bytes = fs::read(film)?;
    let tail = &bytes[bytes.len().saturating_sub(LARGEST_INDEX)..];
    let container = film.extension().unwrap_or_default();
    let mark = INDEX.iter().find(|(name, _)| *name == container).ok_or("an unknown container")?.1;
    let at =
        tail.windows(mark.len()).position(|window| window == mark).ok_or("the index is not at the end")?;
    let len = bytes.len() as u64;
    let index = (len - tail.len() as u64 + at as u64) / piece * piece;
    Ok(piece + (len - index) + if second > 0 { piece } else { 0 })
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]);
    command
}

fn ran(command: &mut Command) -> Result<Output, Trouble> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(output)
}

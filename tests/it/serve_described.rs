//! `serve` and its own description, as schemathesis sees them: it makes requests of every form that `/openapi.json`
//! describes, and of forms that it forbids, and looks whether each is answered as it says.
//!
//! What it is told of requests beside the description is in `serve_described/`.

use std::{fs, path::Path, time::Duration};

use serde_json::Value as Json;

use crate::support::{
    Aria2, KIB, Row, Sandbox, Serve, Torrent,
    serve::{fetched, program_within, succeeds},
};

/// For the first byte of a torrent; whoever asks for what nobody has waits so long.
const TRIED: Duration = Duration::from_secs(1);
/// For an answer beyond that.
const SLACK: Duration = Duration::from_secs(1);
/// Where the seed is, in a network where nobody else is.
const SEED: u16 = 6881;

/// A film, its subtitles, and something that is neither.
fn show() -> Torrent {
    let line = |at: usize| format!("{}\n00:00:{at:02},000 --> 00:00:{at:02},900\nLine {at}.\n\n", at + 1);
    let subtitles: String = (0..60).map(line).collect();
    let film = 300 * KIB;
    let show = Torrent::multi("show").file("film.mkv", film).file("film.srt", subtitles.len());
    let notes = "nothing to play\n";
    let bytes = [&vec![7; film], subtitles.as_bytes(), notes.as_bytes()].concat();
    show.file("notes.txt", notes.len()).bytes(bytes).piece_length(16 * KIB).build()
}

/// A server that leads wherever a request says, in a network with nobody in it but one seed.
async fn serving(sandbox: &mut Sandbox) -> Serve {
    // What failed is soon tried again, so that most requests get further than that.
    sandbox.configure("[cooldown]\ndefault = \"2s\"\nbackoff = 1\n");
    let tried = format!("{TRIED:?}");
    let waits = ["--peer-timeout", &tried, "--timeout", &tried, "--stall-timeout", &tried];
    let free = ["--no-trackers", "--allow-private-peers", "--starts-per-minute", "1000000"];
    let serve = sandbox.serve().args(waits).args(free).peer(([127, 0, 0, 1], SEED).into());
    Serve::start(serve.in_own_network()).await
}

/// Lets schemathesis make so many requests of every operation, beside those that it derives from the description; what it
/// reports, event by event.
async fn schemathesis(serve: &Serve, sandbox: &Sandbox, torrent: &Torrent, requests: u32) -> Vec<Json> {
    /// For a request of each of two dozen operations, most of which are answered at once.
    const EACH: Duration = Duration::from_secs(24);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/serve_described");
    let settings = include_str!("serve_described/schemathesis.toml").replace("INFO_HASH", &torrent.hex());
    let settings = sandbox.write("schemathesis.toml", settings.as_bytes()).display().to_string();
    let report = sandbox.path("report.ndjson").display().to_string();
    let (hooks, torrent) = (format!("PYTHONPATH={}", beside.display()), format!("TORRENT={}", torrent.hex()));
    let set = ["env", &hooks, &torrent, "SCHEMATHESIS_HOOKS=hooks", "PYTHONDONTWRITEBYTECODE=1"];
    let (program, url) = (fetched("schemathesis", "schemathesis"), serve.url("/openapi.json"));
    let run = [&program, "--no-color", "--config-file", &settings, "run", &url, "--checks", "all"];
    let how = ["--max-examples", &requests.to_string(), "--report-ndjson-path", &report];
    let line = serve.run.inside(set.into_iter().chain(run).chain(how));
    let line: Vec<_> = line.iter().map(String::as_str).collect();
    let limit = Duration::from_secs(600) + EACH * requests;
    let (_, out, told) = program_within(limit, sandbox.root(), &line).await;
    let text = fs::read_to_string(&report);
    let text = text.unwrap_or_else(|_| panic!("no report: {told}{}", String::from_utf8_lossy(&out)));
    text.lines().map(|event| serde_json::from_str(event).unwrap()).collect()
}

/// One request, its answer, and what was looked for in it.
fn judge(row: &mut Row, request: &Json, checks: &[Json]) {
    let (asked, answer) = (&request["request"], &request["response"]);
    let took = answer["elapsed"].as_f64().map_or(Duration::ZERO, Duration::from_secs_f64);
    row.took(took);
    let measures = row.measures();
    let name = format!("{} {}", asked["method"].as_str().unwrap(), asked["uri"].as_str().unwrap());
    row.blocking_case(name, || {
        assert!(answer.is_object(), "no answer");
        let failed = checks.iter().filter(|check| check["status"] != "success");
        let objections: Vec<_> = failed.map(|check| &check["failure_info"]["failure"]["message"]).collect();
        assert!(objections.is_empty(), "{}: {objections:?}", answer["status_code"]);
        assert!(!measures || took < TRIED + SLACK, "answered after {took:?}");
    });
}

#[tokio::test]
#[ignore = "schemathesis is fetched for it: cargo bench --bench trust -- B6c"]
async fn every_answer_is_one_that_the_description_has() {
    let mut row = Row::new("B6c", 5);
    let (torrent, mut sandbox) = (show(), Sandbox::new());
    let serve = serving(&mut sandbox).await;
    let _seed = Aria2::seeding_beside(&serve.run, &torrent, SEED);
    let events = schemathesis(&serve, &sandbox, &torrent, row.times()).await;
    for event in &events {
        let recorder = &event["ScenarioFinished"]["recorder"];
        for (id, request) in recorder["interactions"].as_object().into_iter().flatten() {
            judge(&mut row, request, recorder["checks"][id].as_array().map_or(&[], Vec::as_slice));
        }
    }
    let ended = events.last().is_some_and(|event| event["EngineFinished"]["stop_reason"] == "completed");
    let troubles: Vec<_> = events.iter().filter_map(|event| event.get("NonFatalError")).collect();
    row.blocking_case("schemathesis comes to its end", || {
        assert!(ended && troubles.is_empty(), "{troubles:?}")
    });
    let metrics = serve.run.inside(["curl", "-sf", &serve.url("/metrics")]);
    let metrics = succeeds(sandbox.root(), &metrics.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let metrics = String::from_utf8(metrics).unwrap();
    row.blocking_case("no panic", || assert!(metrics.contains("swarmcat_panics_total 0\n"), "{metrics}"));
    serve.stop().await;
    row.end();
}

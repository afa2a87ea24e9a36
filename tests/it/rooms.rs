//! Who may know what: each library stays in the room that the design gives it, and the core knows no edge.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A source file: its path under `src/`, and its code without comments.
struct Source {
    path: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let code = without_comments(&fs::read_to_string(&path).unwrap());
                sources.push(Source { path: path.strip_prefix(&root).unwrap().display().to_string(), code });
            }
        }
    }
    assert!(sources.len() > 10, "the sources were found");
    sources
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

/// Whether `code` speaks of the crate or module `name`: `name::…`, `use name`, `name_more::…`, but not text that
/// happens to contain it.
fn mentions(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let word: String = code[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let after = &code[at + word.len()..];
        let starts = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '"');
        let family = word == name || word.starts_with(&format!("{name}_"));
        starts
            && family
            && (after.starts_with("::") || (after.starts_with(';') && code[..at].ends_with("use ")))
    })
}

fn offenders(forbidden: &str, is_its_room: impl Fn(&str) -> bool) -> Vec<String> {
    let outside = sources().into_iter().filter(|source| !is_its_room(&source.path));
    outside.filter(|source| mentions(&source.code, forbidden)).map(|source| source.path).collect()
}

#[test]
fn libraries_stay_in_their_rooms() {
    type Room = fn(&str) -> bool;
    let rooms: [(&str, Room); 9] = [
        ("librqbit", |path| path.starts_with("core/swarm/")),
        ("clap", |path| path == "cli.rs" || path.starts_with("cli/")),
        ("warp", |path| path.starts_with("http/")),
        ("hyper", |path| path.starts_with("http/")),
        ("indicatif", |path| path.starts_with("ui/")),
        ("dialoguer", |path| path.starts_with("ui/")),
        ("toml", |path| path == "core/store.rs" || path == "config.rs" || path.starts_with("config/")),
        ("color_eyre", |path| path == "main.rs" || path == "app.rs" || path.starts_with("app/")),
        ("eyre", |path| path == "main.rs" || path == "app.rs" || path.starts_with("app/")),
    ];
    for (library, room) in rooms {
        assert_eq!(offenders(library, room), [""; 0], "{library} is known outside of its room");
    }
}

#[test]
fn the_core_knows_no_edge() {
    for edge in ["crate::http", "crate::ui", "crate::app", "crate::cli", "crate::config", "warp", "clap"] {
        assert_eq!(offenders(edge, |path| !path.starts_with("core/")), [""; 0], "the core knows {edge}");
    }
}

#[test]
fn http_knows_neither_the_swarm_nor_the_command_line() {
    for other in ["crate::core::swarm", "crate::cli", "crate::config", "crate::app"] {
        assert_eq!(offenders(other, |path| !path.starts_with("http/")), [""; 0], "http knows {other}");
    }
}

#[test]
fn the_command_line_waits_for_nothing() {
    for source in sources().iter().filter(|source| source.path.starts_with("cli")) {
        for word in ["async ", ".await", "tokio", "std::fs", "std::net::Tcp"] {
            assert!(!source.code.contains(word), "{} says {word:?}", source.path);
        }
    }
}

/// The name and the length of every function, by the layout that `cargo fmt` gives: a function ends with the brace
/// that is indented as its first line is.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let starts = lines.iter().enumerate().filter(|(_, line)| {
        let words = line.trim_start().split("fn ").next().unwrap_or_default();
        let qualifiers = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe"];
        line.contains("fn ") && words.split_whitespace().all(|word| qualifiers.contains(&word))
    });
    starts
        .filter_map(|(start, line)| {
            let end = (start..lines.len()).find(|&at| {
                indent(lines[at]) == indent(line) && (lines[at].ends_with('}') || lines[at].ends_with(';'))
            })?;
            Some((line.trim().to_owned(), end - start + 1))
        })
        .collect()
}

#[test]
fn no_function_is_longer_than_sixty_lines() {
    let mut count = 0;
    // Tests may be long: a table of cases is no burden.
    for source in sources().iter().filter(|source| !source.path.ends_with("tests.rs")) {
        let code = source.code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (function, length) in functions(code) {
            assert!(length <= 60, "{}: {function} has {length} lines", source.path);
            count += 1;
        }
    }
    assert!(count > 100, "the functions were found");
}

#[test]
fn the_rules_notice_what_they_forbid() {
    for code in ["use librqbit;", "librqbit::Session", "use librqbit_core::Id20;", "(librqbit_dht::x)"] {
        assert!(mentions(code, "librqbit"), "{code}");
    }
    for code in ["\"librqbit=debug\"", "my_librqbit::x", "librqbits::x", "let librqbit = 1;"] {
        assert!(!mentions(code, "librqbit"), "{code}");
    }
    let code = "impl A {\n    pub async fn a() {\n        b();\n    }\n}\nfn c(\n    d: e,\n) {\n}\n";
    let found = functions(code);
    assert_eq!(found.iter().map(|(_, length)| *length).collect::<Vec<_>>(), [3, 4]);
}

/// What the README's table of threats says which tests stop: what stands between backticks in its last column, and for
/// the fuzz targets what stands in brackets after it.
fn named_tests() -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let table = readme.split("| is stopped by (test) |").nth(1).unwrap().split("\n\n").next().unwrap();
    let cells = table.lines().filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let quoted = |cell: &str| -> Vec<String> {
        let mut named: Vec<_> = cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let targets = cell.split("`fuzzing` (").nth(1).and_then(|rest| rest.split(')').next());
        named.extend(
            targets.into_iter().flat_map(|list| list.split(", ")).map(|name| format!("fuzzing::{name}")),
        );
        named
    };
    cells.flat_map(quoted).collect()
}

/// Whether there is such a test: a file of `tests/it`, tests in one by their names' beginning, a module of the library with
/// tests of its own, or a fuzz target.
fn is_a_test(name: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |path: String| fs::read_to_string(root.join(path)).ok();
    let (module, test) = name.split_once("::").unwrap_or((name, ""));
    if module == "fuzzing" && !test.is_empty() {
        return swarmcat::fuzzing::TARGETS.iter().any(|(target, _)| *target == test);
    }
    let begins = format!("fn {}", test.trim_end_matches('…'));
    let in_file = |file: String| {
        file.split("#[test]").chain(file.split("#[tokio::test]")).skip(1).any(|text| {
            let declared = text.lines().find(|line| line.contains("fn ")).unwrap_or_default();
            declared.contains(&begins)
        })
    };
    if text(format!("tests/it/{module}.rs")).is_some_and(in_file) {
        return true;
    }
    let path = name.replace("::", "/");
    let tests =
        |path: &str| [format!("src/{path}.rs"), format!("src/{path}/tests.rs")].into_iter().filter_map(text);
    let has_tests = |file: &String| file.contains("#[test]") || file.contains("#[tokio::test]");
    let of_module = tests(&path).any(|file| has_tests(&file));
    of_module
        || path
            .rsplit_once('/')
            .is_some_and(|(path, test)| tests(path).any(|file| file.contains(&format!("fn {test}("))))
}

#[test]
fn every_test_that_the_threat_table_names_exists() {
    let named = named_tests();
    assert!(named.len() > 40, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !is_a_test(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for made_up in
        ["hostile::no_such_test_…", "no_such_file", "http::nothing", "fuzzing::nothing", "cli::nothing"]
    {
        assert!(!is_a_test(made_up), "{made_up}");
    }
}

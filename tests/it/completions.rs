//! The committed completions and manual pages are those of the command line as it is.

use std::{collections::BTreeMap, fs, path::Path};

#[path = "../../examples/completions.rs"]
mod example;

/// The files of a directory and of the one for manual pages in it.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let of = |directory: &Path| {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_file()).collect::<Vec<_>>()
    };
    let paths = of(directory).into_iter().chain(of(&directory.join("man")));
    let name = |path: &Path| path.strip_prefix(directory).unwrap().display().to_string();
    paths.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn the_committed_completions_and_manual_pages_are_fresh() {
    let fresh = tempfile::tempdir().unwrap();
    example::write_to(fresh.path()).unwrap();
    let committed = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("completions"));
    let fresh = files(fresh.path());
    assert_eq!(committed.keys().collect::<Vec<_>>(), fresh.keys().collect::<Vec<_>>());
    for (name, text) in fresh {
        assert!(committed[&name] == text, "completions/{name} is stale: run `cargo completions`");
    }
}

#[test]
fn every_command_has_a_manual_page_with_its_examples() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions/man");
    let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    for name in ["swarmcat-stream.1", "swarmcat-serve.1", "swarmcat-failed.1", "swarmcat-cleanup.1"] {
        assert!(page(name).contains(".SH EXAMPLES"), "{name}");
        assert!(page("swarmcat.1").contains(&name.replace('-', "\\-").replace(".1", "(1)")), "{name}");
    }
    assert!(page("swarmcat.1").contains(".SH \"EXIT CODES\""));
    assert_eq!(fs::read_dir(&pages).unwrap().count(), 7);
}

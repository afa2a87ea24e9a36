//! The committed completions are those of the command line as it is.

use std::{collections::BTreeMap, fs, path::Path};

#[path = "../../examples/completions.rs"]
mod example;

fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn the_committed_completions_are_fresh() {
    let fresh = tempfile::tempdir().unwrap();
    example::write_to(fresh.path()).unwrap();
    let committed = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("completions"));
    let fresh = files(fresh.path());
    assert_eq!(committed.keys().collect::<Vec<_>>(), fresh.keys().collect::<Vec<_>>());
    for (name, text) in fresh {
        assert!(committed[&name] == text, "completions/{name} is stale: run `cargo completions`");
    }
}

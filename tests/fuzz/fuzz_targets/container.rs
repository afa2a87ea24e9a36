#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| swarmcat::fuzzing::run("container", data));

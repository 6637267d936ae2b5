//! Configuration files of gateway and runner.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gateway::properties::config(bytes);
    runner::properties::config(bytes);
});

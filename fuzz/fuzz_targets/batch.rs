//! Batches of tasks.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    shell::properties::batch(bytes);
});

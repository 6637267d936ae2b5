//! Certificates of nodes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    keys::properties::certificates(bytes);
});

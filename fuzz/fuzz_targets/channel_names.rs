//! Names of streams.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tunnel::properties::channel_names(bytes);
});

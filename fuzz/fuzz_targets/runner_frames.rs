//! What runners and gateways say.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tunnel::properties::runner_frames(bytes);
});

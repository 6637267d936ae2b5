//! A task's output on its way.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tunnel::properties::output_frames(bytes);
});

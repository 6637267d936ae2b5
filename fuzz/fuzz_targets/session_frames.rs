//! What a session in a box says.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tunnel::properties::session_frames(bytes);
});

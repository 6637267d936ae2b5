//! What guests and runners say.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tunnel::properties::guest_frames(bytes);
});

//! Lines that people type.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    shell::properties::command_line(bytes);
});

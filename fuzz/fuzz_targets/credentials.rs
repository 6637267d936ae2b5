//! Login names, tokens, names and key lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gateway::properties::logins(bytes);
    keys::properties::tokens(bytes);
    keys::properties::names(bytes);
    keys::properties::key_lines(bytes);
});

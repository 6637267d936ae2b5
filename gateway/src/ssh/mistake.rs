//! A mistake on purpose, to show that it ends one connection and no other. In debug builds alone, and only
//! where the environment asks for it.

/// Panics if `RIVER_MISTAKE` is this line.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "that is what it is for")]
pub(super) fn here(line: &[u8]) {
    let wanted = std::env::var_os("RIVER_MISTAKE");
    if wanted.is_some_and(|wanted| wanted.as_encoded_bytes() == line) {
        panic!("asked for: {}", line.escape_ascii());
    }
}

#[cfg(not(debug_assertions))]
pub(super) fn here(_: &[u8]) {}

//! Variables of a client that come along into a box. Pure.

/// Variables of one session.
pub(super) const MOST: usize = 64;
/// Longest name and value together, in bytes.
const LONGEST: usize = 4096;
/// As usual servers take (sshd_config(5), AcceptEnv), and what editors and git say of themselves.
const NAMES: [&str; 6] = ["LANG", "LANGUAGE", "COLORTERM", "NO_COLOR", "TZ", "EDITOR"];
const PREFIXES: [&str; 3] = ["LC_", "GIT_", "VSCODE_"];

/// Nothing that decides which programs and libraries are loaded.
pub(super) fn allowed(name: &str, value: &str) -> bool {
    let known = NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    known && plain && name.len() + value.len() <= LONGEST && !value.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn what_decides_which_programs_run_stays_outside() {
        assert!(allowed("LC_ALL", "C.UTF-8") && allowed("TZ", "Europe/Berlin"));
        for name in ["PATH", "LD_PRELOAD", "BASH_ENV", "LC_=x", "HOME", ""] {
            assert!(!allowed(name, "x"), "{name}");
        }
        assert!(!allowed("LANG", &"x".repeat(5000)));
    }
}

//! What must hold for any configuration file.

use crate::config::Config;

/// A file is a configuration that can be used, or its line is named.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Config::parse(&text) {
        Ok(config) => {
            assert!(config.gateway.contains(':') && config.state_dir.is_absolute());
            assert!(config.mounts.iter().all(|path| path.is_absolute()));
            let _ = config.role();
        }
        Err(why) => {
            let line = why
                .strip_prefix("line ")
                .and_then(|rest| rest.split(':').next());
            let line = line.and_then(|number| number.parse::<usize>().ok());
            assert!(
                line.is_some_and(|line| line <= 1 + text.matches('\n').count()),
                "{why}"
            );
            assert!(!why.contains('\n'), "{why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::TEMPLATE;

    proptest! {
        #[test]
        fn any_file_is_a_configuration_or_its_line_is_named(bytes: Vec<u8>) {
            config(&bytes);
        }

        #[test]
        fn so_is_any_of_known_keys(lines in prop::collection::vec((
            prop::sample::select(vec![
                "gateway", "state_dir", "engine", "cores", "memory_mib", "guest", "mounts", "open_to",
                "first_uid", "grace", "keep_stops", "output_cap_mib", "other", "[table]", "# ", "é",
            ]),
            prop::sample::select(vec![
                "1", "0", "-5", "99999999999999999999", "\"/x\"", "\"é\"", "\"h:1\"", "\"\"\"", "[", "{",
                "[1, 2, 1]", "[\"/a\", \"b\"]", "\"process\"", "\"user\"", "true", "1e9",
            ]),
        ), 0..6)) {
            let lines = lines.iter().map(|(key, value)| format!("{key} = {value}"));
            let lines: Vec<String> = ["gateway = \"h:1\"".to_owned()].into_iter().chain(lines).collect();
            config(lines.join("\n").as_bytes());
        }

        #[test]
        fn so_is_a_bent_template(at: prop::sample::Index, byte: u8, plain: bool) {
            let text = if plain { TEMPLATE.replace("# ", "") } else { TEMPLATE.to_owned() };
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            config(&bytes);
        }
    }
}

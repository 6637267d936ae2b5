//! What must hold for any configuration file and any login name.

use crate::config::Config;
use crate::ssh::destination::Destination;

/// A file is a configuration that says the same when it is shown and read again, or its line is named.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Config::parse(&text) {
        Ok(config) => {
            let again = Config::parse(&config.show()).map(|again| again.show());
            assert_eq!(again, Ok(config.show()));
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

/// A login name always leads somewhere, and to the same place each time.
pub fn logins(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Destination::of(&text) {
        Destination::Task(id) => assert!(text.starts_with("task-") && id.0 > 0),
        Destination::Vps(id) => assert!(text.starts_with("vps-") && id.0 > 0),
        Destination::Invite(code) => assert_eq!(code.len(), text.len() - "invite-".len()),
        Destination::Join => assert_eq!(text, "join"),
        Destination::Node => assert_eq!(text, "node"),
        Destination::Shell => {}
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
            logins(&bytes);
        }

        #[test]
        fn so_is_any_of_known_keys(lines in prop::collection::vec((
            prop::sample::select(vec![
                "listen", "state_dir", "login_grace", "lost_after", "keep_output_days", "keep_ended",
                "address", "ssh_config_file", "other", "[table]", "# ", "é",
            ]),
            prop::sample::select(vec![
                "1", "0", "-5", "99999999999999999999", "\"/x\"", "\"é\"", "\"\\u001b\"", "\"\"\"", "[", "{",
                "\"0.0.0.0:1\"", "\"[::1]:22\"", "true", "1e9", "'\\'", "\"a\\\"b\"",
            ]),
        ), 0..6)) {
            let lines: Vec<String> = lines.iter().map(|(key, value)| format!("{key} = {value}")).collect();
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

        #[test]
        fn a_login_of_known_parts_leads_where_it_says(
            first in prop::sample::select(vec!["task-", "vps-", "invite-", "node", "join", ""]),
            rest in "[0-9a-zA-Z.@:/-]{0,24}"
        ) {
            logins(format!("{first}{rest}").as_bytes());
        }
    }
}

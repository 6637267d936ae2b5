//! One TOML file, parsed and checked: a wrong key or value is named with its line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use tunnel::log::Form;

use crate::programs::Programs;
use crate::sandbox::Folders;

/// Seconds in 30 days.
const MOST_LOST_AFTER: u64 = 30 * 86_400;
/// Days in 100 years.
const MOST_DAYS: u64 = 36_500;
/// Seconds: a place at the door is held as long.
const MOST_GRACE: u64 = 120;
/// Some 2 KB each.
const MOST_ENDED: usize = 1_000_000;

/// What an operator can set. Every field has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub listen: SocketAddr,
    pub state_dir: PathBuf,
    /// Seconds that a connection may take to sign in, and a join or an enrolment in all.
    pub login_grace: u64,
    /// Seconds a node may be silent before its tasks are given up; 10 at least.
    pub lost_after: u64,
    /// Days that output of ended tasks is kept.
    pub keep_output_days: u64,
    /// Days that ended tasks are listed; from 1.
    pub keep_tasks_days: u64,
    /// Ended tasks kept in memory.
    pub keep_ended: usize,
    /// Host name or address by which people reach this gateway; empty: this machine's name.
    pub address: String,
    /// A file that gets a `Host` line for each box, renewed when boxes change; empty: none.
    pub ssh_config_file: PathBuf,
    /// Installation with the programs of nodes, or a folder with both; empty: the one of this gateway.
    pub runner_dir: PathBuf,
    /// Lines for people, or a JSON object each.
    pub log: Form,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 2222)),
            state_dir: PathBuf::from("/var/lib/river-gateway"),
            login_grace: 30,
            lost_after: 300,
            keep_output_days: 30,
            keep_tasks_days: 365,
            keep_ended: 1000,
            address: String::new(),
            ssh_config_file: PathBuf::new(),
            runner_dir: PathBuf::new(),
            log: Form::Text,
        }
    }
}

/// What `river-gateway init config` prints.
pub const TEMPLATE: &str = r#"# river-gateway. Every line shows the default; change what you need.

# Where people and runners connect.
# listen = "0.0.0.0:2222"

# Database, keys, output of ended tasks. Back up this folder (`river-gateway backup FILE`).
# state_dir = "/var/lib/river-gateway"

# Seconds that a connection may take to sign in. 1 to 120.
# login_grace = 30

# Seconds a node may be silent before its tasks are given up as lost. From 10.
# lost_after = 300

# Days that the output of ended tasks is kept. From 1.
# keep_output_days = 30

# Days that ended tasks are listed; then they leave the database. The audit log stays. From 1.
# keep_tasks_days = 365

# Ended tasks kept in memory for quick listings; older ones are read from the database.
# keep_ended = 1000

# Host name or address by which people reach this gateway, for `ssh config` and other lines to copy.
# Empty: this machine's name.
# address = ""

# A file that gets a Host line for each box, renewed when boxes change; for an Include in
# ~/.ssh/config. Empty: none.
# ssh_config_file = ""

# Where `node bootstrap` finds river-runner and river-guest: a folder with both, or a prefix with bin and lib/river.
# Empty: beside this program.
# runner_dir = ""

# Lines of the log, on standard error: "text" for people, "json" for programs, one object each.
# log = "text"
"#;

/// A systemd unit (systemd.service(5)), as packages ship it.
pub const SERVICE: &str = include_str!("../../packaging/river-gateway.service");
/// Ports below it are only for those with the right to them (capabilities(7), `CAP_NET_BIND_SERVICE`).
const FIRST_FREE_PORT: u16 = 1024;
/// Folder that the unit makes by itself.
const UNIT_STATE: &str = "/var/lib/river-gateway";

impl Config {
    /// # Errors
    /// File and line, what is wrong there, and what is allowed.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))
    }

    /// # Errors
    /// `line N: …`
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let before = text.as_bytes().iter().take(offset);
            let line = 1 + before.filter(|byte| **byte == b'\n').count();
            let said = error.message().lines().collect::<Vec<_>>().join(" ");
            format!("line {line}: {said}")
        })?;
        let wrong = |key: &str, allowed: &str| {
            let line = text.lines().position(|line| {
                let rest = line.trim_start().strip_prefix(key);
                rest.is_some_and(|rest| rest.trim_start().starts_with('='))
            });
            Err(format!(
                "line {}: {key} {allowed}",
                line.map_or(1, |at| at + 1)
            ))
        };
        if !(1..=MOST_GRACE).contains(&config.login_grace) {
            return wrong("login_grace", "is 1 to 120 seconds");
        }
        if !(10..=MOST_LOST_AFTER).contains(&config.lost_after) {
            return wrong("lost_after", "is 10 to 2592000 seconds (30 days)");
        }
        if !(1..=MOST_DAYS).contains(&config.keep_output_days) {
            return wrong("keep_output_days", "is 1 to 36500 days");
        }
        if !(1..=MOST_DAYS).contains(&config.keep_tasks_days) {
            return wrong("keep_tasks_days", "is 1 to 36500 days");
        }
        if config.keep_ended > MOST_ENDED {
            return wrong("keep_ended", "is 0 to 1000000 tasks");
        }
        if !config.state_dir.is_absolute() {
            return wrong("state_dir", "begins with /");
        }
        Ok(config)
    }

    /// By which people reach the gateway.
    #[must_use]
    pub fn host(&self) -> String {
        if !self.address.is_empty() {
            return self.address.clone();
        }
        let own = nix::sys::utsname::uname().map(|own| own.nodename().to_owned());
        own.unwrap_or_default().to_string_lossy().into_owned()
    }

    /// All that a gateway opens once it serves.
    #[must_use]
    pub fn folders(&self) -> Folders {
        let mut written = vec![self.state_dir.clone()];
        let beside = self.ssh_config_file.parent();
        // One that is not there is named by whoever wants to write there.
        written.extend(beside.filter(|dir| dir.is_dir()).map(Path::to_owned));
        Folders {
            written,
            read: self.programs().folders(),
        }
    }

    /// What nodes get from here.
    #[must_use]
    pub fn programs(&self) -> Programs {
        Programs::new(&self.runner_dir)
    }

    /// What `river-gateway init service` prints: the unit, with what this configuration needs beyond it.
    #[must_use]
    pub fn service(&self) -> String {
        let mut unit = SERVICE.to_owned();
        if self.listen.port() < FIRST_FREE_PORT {
            let port = "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n";
            unit = unit.replace("CapabilityBoundingSet=\n", port);
        }
        let written = self.folders().written;
        let others = written.iter().filter(|dir| *dir != Path::new(UNIT_STATE));
        let lines: String = others
            .map(|dir| format!("ReadWritePaths={}\n", dir.display()))
            .collect();
        unit.replace("ProtectHome=yes\n", &format!("ProtectHome=yes\n{lines}"))
    }

    /// The configuration in force, for `config show`: a file that means the same. There is no secret in it.
    #[must_use]
    pub fn show(&self) -> String {
        let text = |text: &str| toml::Value::from(text).to_string();
        let path = |path: &Path| text(&path.to_string_lossy());
        format!(
            "listen = {}\nstate_dir = {}\nlogin_grace = {}\nlost_after = {}\nkeep_output_days = {}\nkeep_tasks_days = {}\nkeep_ended = {}\n\
             address = {}\nssh_config_file = {}\nrunner_dir = {}\nlog = {}\n",
            text(&self.listen.to_string()),
            path(&self.state_dir),
            self.login_grace,
            self.lost_after,
            self.keep_output_days,
            self.keep_tasks_days,
            self.keep_ended,
            text(&self.address),
            path(&self.ssh_config_file),
            path(&self.runner_dir),
            text(self.log.name())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_named_with_its_line_and_what_is_allowed() {
        let error = Config::parse("# x\nlost_afer = 20\n").unwrap_err();
        assert!(
            error.starts_with("line 2:") && error.contains("lost_after"),
            "{error}"
        );
        let error = Config::parse("listen = \"nowhere\"\n").unwrap_err();
        assert!(error.starts_with("line 1:"), "{error}");
        assert_eq!(
            Config::parse("\n\nlost_after = 3\n").unwrap_err(),
            "line 3: lost_after is 10 to 2592000 seconds (30 days)"
        );
        let error = Config::parse("lost_after = 60\nkeep_output_days=9000000000000000000\n");
        assert_eq!(
            error.unwrap_err(),
            "line 2: keep_output_days is 1 to 36500 days"
        );
        let error = Config::parse("login_grace = 0\n").unwrap_err();
        assert_eq!(error, "line 1: login_grace is 1 to 120 seconds");
        let error = Config::parse("lost_after = 60\n\nlisten = [\n").unwrap_err();
        assert!(
            error.starts_with("line 3:") || error.starts_with("line 4:"),
            "{error}"
        );
    }

    /// Found by `properties::config`.
    #[test]
    fn what_is_shown_is_a_file_whatever_letters_are_in_it() {
        let text = "address = \"\\u001b\\\"\\\\\"\nssh_config_file = 'a\"b'\n";
        let config = Config::parse(text).unwrap();
        let again = Config::parse(&config.show()).unwrap();
        assert_eq!(again.address, "\u{1b}\"\\");
        assert_eq!(again.show(), config.show());
        assert_eq!(again.ssh_config_file, Path::new("a\"b"));
    }

    #[test]
    fn a_unit_has_what_its_configuration_needs_and_no_more() {
        assert_eq!(Config::default().service(), SERVICE);
        assert!(SERVICE.contains("\nCapabilityBoundingSet=\n") && !SERVICE.contains("Ambient"));
        let low = Config::parse("listen = \"0.0.0.0:22\"\nstate_dir = \"/srv/river\"").unwrap();
        let unit = low.service();
        for line in [
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
            "AmbientCapabilities=CAP_NET_BIND_SERVICE",
            "ReadWritePaths=/srv/river",
        ] {
            assert!(unit.lines().any(|one| one == line), "{line}\n{unit}");
        }
    }

    #[test]
    fn the_template_is_a_valid_file_also_uncommented() {
        assert!(Config::parse(TEMPLATE).is_ok());
        let lines = TEMPLATE.lines().filter(|line| line.contains(" = "));
        let text: Vec<&str> = lines.filter_map(|line| line.strip_prefix("# ")).collect();
        assert_eq!(
            Config::parse(&text.join("\n")).unwrap().show(),
            Config::default().show()
        );
    }
}

//! One TOML file, parsed and checked: a wrong key or value is named with its line.

use std::path::{Path, PathBuf};

use anyhow::Context;
use cluster::EngineKind;
use keys::Role;
use serde::Deserialize;
use tunnel::log::Form;

/// The guest's program.
const GUEST: &str = "river-guest";

/// How many cores, or which.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Cores {
    Count(u32),
    List(Vec<u32>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `host:port`.
    pub gateway: String,
    pub state_dir: PathBuf,
    pub engine: EngineKind,
    pub docker_socket: PathBuf,
    /// `None`: all of the machine's.
    pub cores: Option<Cores>,
    /// MiB; `None`: what the machine has.
    pub memory_mib: Option<u64>,
    /// `None`: /etc/machine-id.
    pub machine_id: Option<String>,
    /// `None`: the kernel's.
    pub boot_id: Option<String>,
    /// The static guest program.
    pub guest: PathBuf,
    /// For the default environment where no image is named.
    pub default_image: Option<String>,
    /// A static busybox, for the built-in default environment.
    pub busybox: PathBuf,
    /// Docker network of tasks.
    pub network: String,
    /// MiB kept of each of a task's stdout and stderr.
    pub output_cap_mib: u64,
    /// Folders that `--mount` may use, with everything below them.
    pub mounts: Vec<PathBuf>,
    /// Lowest role whose tasks run here; the `process` engine isolates nothing.
    pub open_to: Option<Role>,
    /// First of the user ids of `process` tasks under a runner that is root; 0: as the runner itself.
    pub first_uid: u32,
    /// Seconds between TERM and KILL.
    pub grace: u64,
    /// Snapshots kept of a box's stops; 0: none is made.
    pub keep_stops: usize,
    /// Lines for people, or a JSON object each.
    pub log: Form,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gateway: String::new(),
            state_dir: PathBuf::from("/var/lib/river-runner"),
            engine: EngineKind::Docker,
            docker_socket: PathBuf::from("/var/run/docker.sock"),
            cores: None,
            memory_mib: None,
            machine_id: None,
            boot_id: None,
            guest: installed_guest(),
            default_image: None,
            busybox: PathBuf::from("/bin/busybox"),
            network: "bridge".to_owned(),
            output_cap_mib: 4096,
            mounts: Vec::new(),
            open_to: None,
            // Above what useradd and containers hand out (login.defs(5), subuid(5)).
            first_uid: 2_000_000_000,
            grace: 10,
            keep_stops: 3,
            log: Form::Text,
        }
    }
}

/// Where an installation has the guest's program, as seen from its runner's: `PREFIX/lib/river/river-guest` beside
/// `PREFIX/bin/river-runner`, or both in one folder.
fn installed_guest() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.parent().unwrap_or(Path::new("/usr/local/bin"));
    let prefix = beside.parent().unwrap_or(Path::new("/usr/local"));
    let usual = prefix.join("lib/river").join(GUEST);
    let near = beside.join(GUEST);
    if !usual.is_file() && near.is_file() {
        near
    } else {
        usual
    }
}

/// What `river-runner init config` prints.
pub const TEMPLATE: &str = r#"# river-runner. Every line but the first shows the default; change what you need.

# The gateway, as host:port.
gateway = "gateway.example:2222"

# Certificate, and output of tasks until the gateway has it.
# state_dir = "/var/lib/river-runner"

# "docker", or "process": plain processes, isolated from nothing, for operators unless open_to = "user".
# engine = "docker"
# docker_socket = "/var/run/docker.sock"

# Tasks of "process" run as user ids from here on, one a task, if the runner is root; 0: as the runner.
# first_uid = 2000000000

# Cores offered: a number, or a list of core numbers. Memory offered, in MiB. Default: all.
# cores = [2, 3, 4, 5]
# memory_mib = 16384

# Folders that operators may --mount, with everything below.
# mounts = ["/data"]

# Image of tasks that name none. Default: a small one, made of busybox.
# default_image = "debian:12"

# MiB kept of each of a task's stdout and stderr; beyond it the middle goes, with a marked gap.
# output_cap_mib = 4096

# Seconds between TERM and KILL.
# grace = 10

# The program in each box, which is static. Default: of this installation, ../lib/river/river-guest or beside river-runner.
# guest = "/usr/local/lib/river/river-guest"

# Snapshots kept of a box's stops. 0: none is made.
# keep_stops = 3

# Lines of the log, on standard error: "text" for people, "json" for programs, one object each.
# log = "text"
"#;

/// What `river-runner init service` prints: a systemd unit (systemd.service(5)), as packages ship it.
pub const SERVICE: &str = include_str!("../../packaging/river-runner.service");

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
            let line = 1 + text[..offset.min(text.len())].matches('\n').count();
            let said = error.message().lines().collect::<Vec<_>>().join(" ");
            format!("line {line}: {said}")
        })?;
        let at = |key: &str| {
            text.lines()
                .position(|line| line.trim_start().starts_with(key))
                .map_or(1, |at| at + 1)
        };
        if config
            .gateway
            .rsplit_once(':')
            .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        {
            return Err(format!(
                "line {}: gateway is host:port, such as gateway.example:2222",
                at("gateway")
            ));
        }
        for (key, path) in [("state_dir", &config.state_dir), ("guest", &config.guest)] {
            if !path.is_absolute() {
                return Err(format!("line {}: {key} begins with /", at(key)));
            }
        }
        let count = match &config.cores {
            None => 1,
            Some(Cores::Count(count)) => *count as usize,
            Some(Cores::List(list)) => list
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len()
                .min(list.len()),
        };
        if !(1..=4096).contains(&count) {
            return Err(format!(
                "line {}: cores is 1 to 4096, or a list of core numbers",
                at("cores")
            ));
        }
        if config.memory_mib == Some(0) || config.output_cap_mib < 32 {
            return Err(format!(
                "line {}: memory_mib is from 1, output_cap_mib from 32",
                at("memory_mib")
            ));
        }
        if !matches!(config.first_uid, 0 | 1000..=4_294_000_000) {
            let line = at("first_uid");
            return Err(format!(
                "line {line}: first_uid is 0, or 1000 to 4294000000"
            ));
        }
        if config.mounts.iter().any(|path| !path.is_absolute()) {
            return Err(format!(
                "line {}: each of mounts begins with /",
                at("mounts")
            ));
        }
        Ok(config)
    }

    /// Whose tasks run here.
    #[must_use]
    pub fn role(&self) -> Role {
        let isolated = self.engine != EngineKind::Process;
        self.open_to
            .unwrap_or(if isolated { Role::User } else { Role::Operator })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_named_with_its_line_and_what_is_allowed() {
        let error = Config::parse("gateway = \"a:1\"\nengin = \"docker\"\n").unwrap_err();
        assert!(
            error.starts_with("line 2:") && error.contains("engine"),
            "{error}"
        );
        let error = Config::parse("gateway = \"a:1\"\nengine = \"podman\"\n").unwrap_err();
        assert!(
            error.starts_with("line 2:") && error.contains("docker"),
            "{error}"
        );
        assert!(
            Config::parse("gateway = \"here\"")
                .unwrap_err()
                .contains("host:port")
        );
        assert!(
            Config::parse("gateway = \"a:1\"\ncores = 0")
                .unwrap_err()
                .starts_with("line 2:")
        );
        let error = Config::parse("gateway = \"a:1\"\nfirst_uid = 5").unwrap_err();
        assert!(error.starts_with("line 2:"), "{error}");
        assert!(Config::parse(TEMPLATE).is_ok());
    }
}

//! What a box looks like from inside, read by the script below.

use std::collections::BTreeMap;

/// Writes one `name=value` a line to `$OUT/probe`, last by rename so that it is seen whole.
pub(crate) const SCRIPT: &str = r#"
{
  for key in CapEff CapBnd CapAmb NoNewPrivs Seccomp Cpus_allowed_list; do
    echo "$key=$(sed -n "s/^$key:[[:space:]]*//p" /proc/self/status)"
  done
  echo "nofile=$(ulimit -Hn)"
  echo "core=$(ulimit -Hc)"
  echo "pid=$$"
  echo "uid=$(id -u):$(id -g)"
  echo "pids=$(cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null)"
  echo "memory=$(cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null)"
  echo "shm=$(df -k /dev/shm | awk 'END { print $2 }')"
  for at in /.river/run /.river/out /.river/guest /data /ro; do
    echo "$at=$(awk -v at=$at '$5 == at { print $6 }' /proc/self/mountinfo)"
  done
  echo "sockets=$(find /run /var/run /.river -name '*.sock' 2>/dev/null | wc -l)"
  echo "hostname=$(hostname)"
} >"$OUT/.probe" 2>&1
mv "$OUT/.probe" "$OUT/probe"
"#;

/// The parsed probe.
pub(crate) struct Probe(BTreeMap<String, String>);

impl Probe {
    pub(crate) fn of(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self(
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.0
            .get(name)
            .unwrap_or_else(|| panic!("the probe has no {name}: {:?}", self.0))
    }

    /// Is the mount at `at` made with this option?
    pub(crate) fn mounted(&self, at: &str, option: &str) -> bool {
        self.get(at).split(',').any(|one| one == option)
    }
}

//! Which paths of the node a task may see. Default: none.

use std::path::{Path, PathBuf};

use cluster::Mount;

/// Never, whatever the configuration says: whoever has these has the node.
const NEVER: [&str; 8] = [
    "/proc",
    "/sys",
    "/run",
    "/var/run",
    "/dev",
    "/boot",
    "/etc",
    "/var/lib/docker",
];

/// The real path to mount, if it may be.
///
/// # Errors
/// One sentence: what, and why not.
pub fn allow(mount: &Mount, allowed: &[PathBuf], own: &[&Path]) -> Result<PathBuf, String> {
    let source = &mount.source;
    // Links are followed first: what counts is where they lead.
    let real = Path::new(source)
        .canonicalize()
        .map_err(|_| format!("--mount {source}: no such path on this node"))?;
    let within = |dir: &Path| real.starts_with(dir) || dir.starts_with(&real);
    let real_of = |dir: &Path| dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let forbidden = NEVER
        .iter()
        .any(|dir| within(Path::new(dir)) || within(&real_of(Path::new(dir))));
    if real == Path::new("/") || forbidden || own.iter().any(|dir| within(&real_of(dir))) {
        return Err(format!(
            "--mount {source}: this path is never given to a task"
        ));
    }
    if !allowed.iter().any(|dir| real.starts_with(real_of(dir))) {
        return Err(format!(
            "--mount {source}: not among the mounts that this node's configuration allows"
        ));
    }
    let target = Path::new(&mount.target);
    if target == Path::new("/")
        || target.starts_with("/.river")
        || target.starts_with("/proc")
        || target.starts_with("/sys")
    {
        return Err(format!(
            "--mount {source}:{}: nothing is mounted there",
            mount.target
        ));
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_and_never_the_keys_of_the_node() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink("/proc", data.join("door")).unwrap();
        std::os::unix::fs::symlink("/", data.join("root")).unwrap();
        let allowed = [data.clone()];
        let try_mount = |source: &Path, target: &str| {
            let mount = Mount {
                source: source.display().to_string(),
                target: target.into(),
                read_only: false,
            };
            allow(&mount, &allowed, &[])
        };
        assert!(try_mount(&data, "/data").is_ok());
        for bad in [
            "/",
            "/proc",
            "/run",
            "/var/run",
            "/etc/passwd",
            "/tmp",
            "/no/such",
        ] {
            assert!(try_mount(Path::new(bad), "/x").is_err(), "{bad}");
        }
        assert!(try_mount(&data.join("door"), "/x").is_err());
        assert!(try_mount(&data.join("root"), "/x").is_err());
        for target in ["/", "/.river/run", "/proc/x"] {
            assert!(try_mount(&data, target).is_err(), "{target}");
        }
        let mount = Mount {
            source: data.display().to_string(),
            target: "/x".into(),
            read_only: true,
        };
        assert!(
            allow(&mount, &[PathBuf::from("/")], &[&data]).is_err(),
            "the runner's own"
        );
    }
}

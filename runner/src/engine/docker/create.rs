//! An assignment becomes a container's settings. Pure.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, HostConfig, HostConfigLogConfig, ResourcesUlimits,
};
use tunnel::wire::guest::{GUEST_PATH, OUT_DIR, RUN_DIR};

use super::{LABEL_ATTEMPT, LABEL_NODE, Settings};
use crate::engine::BoxPlan;
use crate::facts::real_cores;

/// What the guest itself needs: to become the image's user, to end its processes, to write its files.
const RIGHTS: [&str; 5] = ["SETUID", "SETGID", "KILL", "CHOWN", "DAC_OVERRIDE"];
/// What a machine of one's own needs beside: its root installs packages and starts services.
const OWN_MACHINE: [&str; 9] = [
    "SETUID",
    "SETGID",
    "KILL",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "AUDIT_WRITE",
];
const PIDS: i64 = 1024;
const SHARED_MEMORY: i64 = 64 << 20;
/// Options of `/tmp` where the root cannot be written: counted as the box's memory.
const TMP: &str = "rw,nosuid,nodev,mode=1777,size=256m";

/// What may be other at a later start of a container than when it was made.
pub(super) fn limits(plan: &BoxPlan) -> ContainerUpdateBody {
    let memory = memory(plan);
    ContainerUpdateBody {
        cpuset_cpus: cores(plan),
        memory,
        memory_swap: memory,
        pids_limit: Some(PIDS),
        ..ContainerUpdateBody::default()
    }
}

/// In bytes; swap is not beyond it.
fn memory(plan: &BoxPlan) -> Option<i64> {
    let memory = plan.assignment.spec.memory;
    (memory > 0).then(|| i64::try_from(memory).unwrap_or(i64::MAX))
}

/// As cpuset(7) lists them; `None`: all of the node.
fn cores(plan: &BoxPlan) -> Option<String> {
    let cores: Vec<String> = real_cores(&plan.assignment.cores)
        .iter()
        .map(ToString::to_string)
        .collect();
    (!cores.is_empty()).then(|| cores.join(","))
}

pub(super) fn body(
    plan: &BoxPlan,
    settings: &Settings,
    image: &str,
    mounts: &[(PathBuf, String, bool)],
) -> ContainerCreateBody {
    let assignment = &plan.assignment;
    let spec = &assignment.spec;
    let mut binds = vec![
        format!("{}:{GUEST_PATH}:ro", plan.guest.display()),
        format!("{}:{RUN_DIR}:ro", plan.run.display()),
        format!("{}:{OUT_DIR}:rw", plan.out.display()),
    ];
    for (source, target, read_only) in mounts {
        let mode = if *read_only { "ro" } else { "rw" };
        binds.push(format!("{}:{target}:{mode}", source.display()));
    }
    let memory = memory(plan);
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
    let rights = |list: &[&str]| (!spec.privileged).then(|| words(list));
    let no_core_files = ResourcesUlimits {
        name: Some("core".to_owned()),
        soft: Some(0),
        hard: Some(0),
    };
    let host = HostConfig {
        binds: Some(binds),
        privileged: Some(spec.privileged),
        cap_drop: rights(&["ALL"]),
        cap_add: match spec.vps {
            Some(_) => rights(&OWN_MACHINE),
            None => rights(&RIGHTS),
        },
        security_opt: rights(&["no-new-privileges"]),
        readonly_rootfs: Some(spec.read_only),
        tmpfs: spec
            .read_only
            .then(|| HashMap::from([("/tmp".to_owned(), TMP.to_owned())])),
        pids_limit: Some(PIDS),
        memory,
        // Equal to the memory: none of it may be swapped beyond.
        memory_swap: memory,
        cpuset_cpus: cores(plan),
        // Not the number of open files: a daemon that may not raise its own limit would start nothing.
        // The guest lowers it.
        ulimits: Some(vec![no_core_files]),
        shm_size: Some(SHARED_MEMORY),
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        network_mode: Some(settings.network.clone()),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec![GUEST_PATH.to_owned()]),
        cmd: Some(words(&["run", RUN_DIR, OUT_DIR])),
        user: Some("0:0".to_owned()),
        working_dir: Some("/".to_owned()),
        hostname: Some(match (&spec.vps, &spec.name) {
            (Some(_), Some(name)) => name.as_str().to_owned(),
            (Some(_), None) => format!("vps-{}", assignment.attempt.task.0),
            (None, _) => format!("task-{}", assignment.attempt.task.0),
        }),
        labels: Some(HashMap::from([
            (LABEL_NODE.to_owned(), settings.machine_id.clone()),
            (LABEL_ATTEMPT.to_owned(), assignment.box_id().to_string()),
        ])),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cluster::{Assignment, AttemptId, TaskId, TaskSpec, Wanted};

    use super::*;

    #[test]
    fn a_task_gets_what_it_asked_for_and_no_rights() {
        let spec = TaskSpec {
            memory: 64 << 20,
            ..TaskSpec::of(vec!["true".into()])
        };
        let plan = BoxPlan {
            assignment: Assignment {
                attempt: AttemptId {
                    task: TaskId(7),
                    number: 2,
                },
                owner: "alice".parse().unwrap(),
                spec: Arc::new(spec),
                cores: vec![0],
                spooled: None,
                wanted: Wanted::Run,
                keeps_box: false,
            },
            guest: "/g".into(),
            run: "/s/a/7.2/run".into(),
            out: "/s/a/7.2/out".into(),
        };
        let settings = Settings {
            socket: "/s".into(),
            machine_id: "m".into(),
            default_image: None,
            busybox: "/b".into(),
            network: "bridge".into(),
            mounts: Vec::new(),
            own: Vec::new(),
        };
        let body = body(
            &plan,
            &settings,
            "x",
            &[("/data".into(), "/d".into(), true)],
        );
        let host = body.host_config.unwrap();
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges"]);
        assert_eq!(
            (host.memory, host.memory_swap),
            (Some(64 << 20), Some(64 << 20))
        );
        assert_eq!(
            (host.pids_limit, host.cpuset_cpus.as_deref()),
            (Some(1024), Some("0"))
        );
        assert_eq!(host.privileged, Some(false));
        let binds = host.binds.unwrap();
        assert!(
            binds.contains(&"/data:/d:ro".to_owned())
                && binds[0].ends_with(":ro")
                && binds[1].ends_with(":ro")
        );
        assert_eq!(
            body.entrypoint.unwrap(),
            [GUEST_PATH],
            "an image's own entrypoint is not put before"
        );
        assert_eq!(body.labels.unwrap()[LABEL_ATTEMPT], "7.2");
    }
}

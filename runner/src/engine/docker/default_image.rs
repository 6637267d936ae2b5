//! The default environment where no registry can be reached: a tree of busybox, imported.

use std::path::Path;

use bollard::Docker as Client;
use bollard::query_parameters::CreateImageOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt;

use super::{EngineError, image};

/// What Docker calls it.
pub(super) const NAME: &str = "river/base";

/// Busybox is one program under many names; these are the ones a task needs first.
const APPLETS: &str = "[ ash awk base64 basename cat chmod chown cksum clear cmp cp cut date dd df dirname du echo \
    env expr false find free grep groups gunzip gzip head hexdump hostname id install kill killall less ln ls \
    md5sum mkdir mkfifo mktemp more mv nc nproc od paste pgrep ping printenv printf ps pwd readlink realpath \
    reset rm rmdir sed seq sh sha1sum sha256sum sleep sort split stat stty sync tac tail tar tee test time \
    timeout top touch tr true truncate tty uname uniq uptime usleep vi watch wc wget which who whoami xargs xxd yes zcat";

/// # Errors
/// When there is no static busybox to make it of.
pub(super) async fn make(client: &Client, busybox: &Path) -> Result<(), EngineError> {
    let program = std::fs::read(busybox).map_err(|_| {
        EngineError::Task(format!(
            "the default environment cannot be made: {} is missing; install busybox-static on the node, or set default_image",
            busybox.display()
        ))
    })?;
    let tree = tree(&program)
        .map_err(|error| EngineError::Engine(format!("the default environment: {error}")))?;
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(NAME)
        .tag("latest")
        .build();
    let body = bollard::body_full(Bytes::from(tree));
    let mut import = Box::pin(client.create_image(Some(options), Some(body), None));
    while let Some(step) = import.next().await {
        step.map_err(|error| image::engine(&error))?;
    }
    Ok(())
}

fn tree(busybox: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let header = |kind: tar::EntryType, mode: u32, size: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size as u64);
        header
    };
    for (dir, mode) in [
        ("bin", 0o755),
        ("etc", 0o755),
        ("root", 0o700),
        ("tmp", 0o1777),
        ("usr", 0o755),
        ("usr/bin", 0o755),
    ] {
        tar.append_data(
            &mut header(tar::EntryType::Directory, mode, 0),
            dir,
            std::io::empty(),
        )?;
    }
    tar.append_data(
        &mut header(tar::EntryType::Regular, 0o755, busybox.len()),
        "bin/busybox",
        busybox,
    )?;
    for applet in APPLETS.split_whitespace() {
        tar.append_link(
            &mut header(tar::EntryType::Symlink, 0o777, 0),
            format!("bin/{applet}"),
            "busybox",
        )?;
    }
    let files: [(&str, &str); 2] = [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        ),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ];
    for (path, text) in files {
        tar.append_data(
            &mut header(tar::EntryType::Regular, 0o644, text.len()),
            path,
            text.as_bytes(),
        )?;
    }
    tar.into_inner()
}

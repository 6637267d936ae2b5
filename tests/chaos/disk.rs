//! Small disks: ext4 in a file, by a loop device; and what ails disks, done to a program by `strace`.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::wait::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::node::Node;
use crate::space::run;

/// How large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) mib: u32,
    pub(crate) files: u32,
}

/// A disk in a file.
pub(crate) struct Disk {
    image: PathBuf,
    at: PathBuf,
    /// Here, and not in a node.
    mounted: bool,
}

/// What is written to a disk until nothing more goes in.
const BALLAST: &str = "ballast";

impl Disk {
    pub(crate) fn new(image: PathBuf, at: PathBuf, size: Size) -> Self {
        std::fs::create_dir_all(&at).unwrap();
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(u64::from(size.mib) << 20).unwrap();
        let path = image.display().to_string();
        run(&[
            "mkfs.ext4",
            "-q",
            "-m",
            "0",
            "-N",
            &size.files.to_string(),
            &path,
        ]);
        Self {
            image,
            at,
            mounted: false,
        }
    }

    fn mounting(&self, mut command: Command) {
        command.args(["-o", "loop,errors=remount-ro"]);
        let status = command.arg(&self.image).arg(&self.at).status().unwrap();
        assert!(status.success(), "mount -o loop {}", self.image.display());
    }

    /// In this program's own mounts.
    pub(crate) fn mount(&mut self) {
        self.mounting(Command::new("mount"));
        self.mounted = true;
        std::fs::set_permissions(&self.at, std::fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// In a node's.
    pub(crate) fn mount_in(&self, space: &crate::space::Space) {
        self.mounting(space.inside("mount"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(&self.at).status();
        }
    }
}

/// Fills the disk of a folder, but for so many KiB. `shell`: one that sees it.
pub(crate) fn fill(mut shell: Command, folder: &Path, but_kib: u32) {
    let ballast = folder.join(BALLAST).display().to_string();
    let script = format!(
        "cat /dev/zero >> {ballast} 2> /dev/null; truncate -s -{but_kib}K {ballast}; sync {ballast}"
    );
    assert!(shell.args(["-c", &script]).status().unwrap().success());
}

/// Files without a byte, until no more can be made.
pub(crate) fn fill_with_files(mut shell: Command, folder: &Path) {
    let folder = folder.display();
    let script = format!("i=0; while : 2> /dev/null > {folder}/{BALLAST}.$i; do i=$((i+1)); done");
    let _ = shell.args(["-c", &script]).status().unwrap();
}

pub(crate) fn empty(mut shell: Command, folder: &Path) {
    let script = format!("rm -f {}/{BALLAST}*", folder.display());
    assert!(shell.args(["-c", &script]).status().unwrap().success());
}

/// The disk of a node finds an error in itself, and takes nothing from now on; `false`: this kernel cannot do that on
/// purpose.
pub(crate) fn breaks(node: &Node) -> bool {
    let at = node.state().display().to_string();
    let mut command = node.space.inside("findmnt");
    let found = command.args(["-no", "SOURCE", &at]).output().unwrap();
    let device = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let name = device.trim_start_matches("/dev/");
    let trigger = format!("/sys/fs/ext4/{name}/trigger_fs_error");
    std::fs::write(trigger, "1").is_ok()
}

/// A fault of a running program's disk, as long as this lives.
pub(crate) struct Ailing(Child);

impl Ailing {
    /// `what`: what `strace -e inject=fsync,fdatasync:` takes. `only`: calls on this file alone.
    pub(crate) fn new(pid: u32, what: &str, only: Option<&Path>) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &pid.to_string()]);
        command.args(["-e", "trace=fsync,fdatasync", "-e"]);
        command.arg(format!("inject=fsync,fdatasync:{what}"));
        if let Some(path) = only {
            command.arg("-P").arg(path);
        }
        command.args(["-o", "/dev/null"]);
        let mut strace = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is missing: apt-get install strace");
        // It says `Process N attached` once it has.
        let mut said = [0; 16];
        strace
            .stderr
            .as_mut()
            .unwrap()
            .read_exact(&mut said)
            .unwrap();
        let status = format!("/proc/{pid}/status");
        until("strace has it", || {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            !text.contains("TracerPid:\t0\n")
        });
        let mut stderr = strace.stderr.take().unwrap();
        // Not to be held up by a pipe that is full.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self(strace)
    }
}

impl Drop for Ailing {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

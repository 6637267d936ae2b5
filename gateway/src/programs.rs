//! The programs of a node, as they were installed beside this gateway: for those who make nodes.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use data_encoding::BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// What a node needs.
const NAMES: [&str; 2] = ["river-runner", "river-guest"];
/// Bytes of one program at most.
const LARGEST: u64 = 256 << 20;
/// Bytes of a line of base64 (RFC 2045, 6.8), before they are encoded.
const LINE: usize = 57;
/// Bytes that are handed on at once.
const PIECE: usize = 64 << 10;

/// Where they are looked for.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    folders: Vec<PathBuf>,
}

/// Read, and ready to be sent.
pub struct Packed {
    /// Tells this content from any other.
    pub name: String,
    /// KiB that they take unpacked.
    pub kib: u64,
    programs: Vec<(&'static str, String, Vec<u8>)>,
}

impl Programs {
    /// `dir`: an installation's prefix, or a folder with both; empty: the installation of this program.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let own = std::env::current_exe().unwrap_or_default();
        let prefix = match dir.as_os_str().is_empty() {
            true => own.ancestors().nth(2).unwrap_or(Path::new("/")),
            false => dir,
        };
        let usual = [prefix.join("bin"), prefix.join("lib/river")];
        let given = (!dir.as_os_str().is_empty()).then(|| dir.to_owned());
        Self {
            folders: given.into_iter().chain(usual).collect(),
        }
    }

    /// Those that are there.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let there = self.folders.iter().filter(|folder| folder.is_dir());
        there.cloned().collect()
    }

    /// Reads all of them: some ten MB.
    ///
    /// # Errors
    /// Which is missing, and where it was looked for.
    pub fn pack(&self, version: &str) -> anyhow::Result<Packed> {
        let programs: Vec<_> = NAMES
            .iter()
            .map(|name| {
                let bytes = self.read(name)?;
                Ok((*name, hex(&Sha256::digest(&bytes)), bytes))
            })
            .collect::<anyhow::Result<_>>()?;
        let sums: String = programs.iter().map(|(_, sum, _)| sum.as_str()).collect();
        let mut content = hex(&Sha256::digest(sums.as_bytes()));
        content.truncate(12);
        let bytes: usize = programs.iter().map(|(_, _, bytes)| bytes.len()).sum();
        Ok(Packed {
            name: format!("{version}-{content}"),
            kib: (bytes as u64).div_ceil(1024),
            programs,
        })
    }

    fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let mut paths = self.folders.iter().map(|folder| folder.join(name));
        let Some(path) = paths.find(|path| path.is_file()) else {
            let folders: Vec<String> = self
                .folders
                .iter()
                .map(|one| one.display().to_string())
                .collect();
            bail!("there is no {name} in {}", folders.join(", "));
        };
        let read = || {
            if std::fs::metadata(&path)?.len() > LARGEST {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            std::fs::read(&path)
        };
        read().with_context(|| format!("cannot read {}", path.display()))
    }
}

impl Packed {
    /// Lines of a shell script that unpack them: `program NAME SHA256` with the program, compressed, as its
    /// input. `take` gets them piece by piece, and says whether it wants more.
    pub fn script(self, take: impl FnMut(Bytes) -> bool) {
        let mut lines = Lines {
            take,
            bytes: Vec::with_capacity(LINE),
            text: String::new(),
        };
        for (name, sum, bytes) in self.programs {
            // Errors here mean that nobody takes any more.
            if lines.program(name, &sum, &bytes).is_err() {
                return;
            }
        }
        lines.hand_on();
    }
}

/// Bytes in, lines of base64 out.
struct Lines<F> {
    take: F,
    /// Not yet a line.
    bytes: Vec<u8>,
    text: String,
}

impl<F: FnMut(Bytes) -> bool> Lines<F> {
    fn program(&mut self, name: &str, sum: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.text
            .push_str(&format!("program {name} {sum} << 'RIVER_END'\n"));
        let mut packing = GzEncoder::new(&mut *self, Compression::default());
        packing.write_all(bytes)?;
        packing.finish()?;
        self.end_line();
        self.text.push_str("RIVER_END\n");
        Ok(())
    }

    fn end_line(&mut self) {
        if !self.bytes.is_empty() {
            BASE64.encode_append(&self.bytes, &mut self.text);
            self.text.push('\n');
            self.bytes.clear();
        }
    }

    fn hand_on(&mut self) -> bool {
        let text = std::mem::take(&mut self.text);
        (self.take)(text.into())
    }
}

impl<F: FnMut(Bytes) -> bool> Write for Lines<F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let some = bytes.len().min(LINE - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..some]);
        if self.bytes.len() == LINE {
            self.end_line();
        }
        if self.text.len() >= PIECE && !self.hand_on() {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        Ok(some)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_shell_unpacks_what_was_packed() {
        let dir = tempfile::tempdir().unwrap();
        let (bin, lib) = (dir.path().join("bin"), dir.path().join("lib/river"));
        std::fs::create_dir(&bin).unwrap();
        std::fs::create_dir_all(&lib).unwrap();
        let programs = Programs::new(dir.path());
        let error = programs.pack("1.2.3").err().unwrap().to_string();
        assert!(error.contains("no river-runner in"), "{error}");
        let runner: Vec<u8> = (0..300_000u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        std::fs::write(bin.join("river-runner"), &runner).unwrap();
        std::fs::write(lib.join("river-guest"), "guest").unwrap();
        let packed = programs.pack("1.2.3").unwrap();
        assert!(
            packed.name.starts_with("1.2.3-") && packed.name.len() == 18,
            "{}",
            packed.name
        );
        let mut script = b"program() { base64 -d | gzip -dc > \"out-$1\"; sha256sum \"out-$1\" | grep -q \"^$2\"; }\n".to_vec();
        let mut pieces = 0;
        packed.script(|piece| {
            pieces += 1;
            assert!(piece.len() < 2 * PIECE);
            script.extend_from_slice(&piece);
            true
        });
        assert!(pieces > 5);
        let mut shell = Command::new("sh")
            .args(["-e"])
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(&script).unwrap();
        assert!(shell.wait().unwrap().success());
        assert!(std::fs::read(dir.path().join("out-river-runner")).unwrap() == runner);
        assert_eq!(
            std::fs::read(dir.path().join("out-river-guest")).unwrap(),
            b"guest"
        );
    }

    #[test]
    fn nobody_who_left_is_packed_for() {
        let packed = Packed {
            name: String::new(),
            kib: 0,
            programs: vec![(
                "a",
                String::new(),
                (0..2_000_000u32).flat_map(u32::to_be_bytes).collect(),
            )],
        };
        let mut pieces = 0;
        packed.script(|_| {
            pieces += 1;
            false
        });
        assert_eq!(pieces, 1);
    }
}

//! Attributes of files, to and from the wire; and the long form of a listing.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nix::fcntl::AtFlags;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat};

use super::packet::{Reader, Short, Writer};

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const MODE: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;

/// What a client wants a file to have.
#[derive(Default)]
pub(super) struct Attributes {
    pub(super) size: Option<u64>,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<u32>,
    /// Access and modification, in seconds.
    pub(super) times: Option<(u32, u32)>,
}

pub(super) fn read(from: &mut Reader<'_>) -> Result<Attributes, Short> {
    let flags = from.u32()?;
    let mut found = Attributes::default();
    if flags & SIZE != 0 {
        found.size = Some(from.u64()?);
    }
    if flags & OWNER != 0 {
        found.owner = Some((from.u32()?, from.u32()?));
    }
    if flags & MODE != 0 {
        found.mode = Some(from.u32()? & 0o7777);
    }
    if flags & TIMES != 0 {
        found.times = Some((from.u32()?, from.u32()?));
    }
    if flags & EXTENDED != 0 {
        for _ in 0..from.u32()? {
            from.string()?;
            from.string()?;
        }
    }
    Ok(found)
}

pub(super) fn write(of: &Metadata, to: &mut Writer<'_>) {
    let seconds = |time: i64| u32::try_from(time).unwrap_or(0);
    to.u32(SIZE | OWNER | MODE | TIMES)
        .u64(of.size())
        .u32(of.uid())
        .u32(of.gid())
        .u32(of.mode())
        .u32(seconds(of.atime()))
        .u32(seconds(of.mtime()));
}

impl Attributes {
    /// To the file of this path; `follow`: to what a link leads to.
    pub(super) fn apply(&self, path: &std::path::Path, follow: bool) -> io::Result<()> {
        if let (Some(size), true) = (self.size, follow) {
            File::options().write(true).open(path)?.set_len(size)?;
        }
        if let (Some(mode), true) = (self.mode, follow) {
            std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        if let Some((accessed, modified)) = self.times {
            let flag = if follow {
                UtimensatFlags::FollowSymlink
            } else {
                UtimensatFlags::NoFollowSymlink
            };
            let time = |seconds: u32| TimeSpec::new(i64::from(seconds), 0);
            utimensat(
                nix::fcntl::AT_FDCWD,
                path,
                &time(accessed),
                &time(modified),
                flag,
            )?;
        }
        if let Some((uid, gid)) = self.owner {
            let flag = if follow {
                AtFlags::empty()
            } else {
                AtFlags::AT_SYMLINK_NOFOLLOW
            };
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            fchownat(nix::fcntl::AT_FDCWD, path, Some(uid), Some(gid), flag)?;
        }
        Ok(())
    }

    /// To an open file.
    pub(super) fn apply_to(&self, file: &File) -> io::Result<()> {
        if let Some(size) = self.size {
            file.set_len(size)?;
        }
        if let Some(mode) = self.mode {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        if let Some((accessed, modified)) = self.times {
            let time = |seconds: u32| TimeSpec::new(i64::from(seconds), 0);
            nix::sys::stat::futimens(file, &time(accessed), &time(modified))?;
        }
        if let Some((uid, gid)) = self.owner {
            nix::unistd::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        Ok(())
    }
}

/// As `ls -ln` has it; clients show it, and some read it.
pub(super) fn long_name(name: &[u8], of: &Metadata) -> Vec<u8> {
    let kind = match of.mode() & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o010_000 => 'p',
        0o140_000 => 's',
        _ => '-',
    };
    let mut text = String::from(kind);
    for shift in [6, 3, 0] {
        for (bit, letter) in [(4, 'r'), (2, 'w'), (1, 'x')] {
            let set = (of.mode() >> shift) & bit != 0;
            text.push(if set { letter } else { '-' });
        }
    }
    let date = date(of.mtime());
    text.push_str(&format!(
        " {:>3} {:<8} {:<8} {:>8} {date} ",
        of.nlink(),
        of.uid(),
        of.gid(),
        of.size()
    ));
    let mut line = text.into_bytes();
    line.extend_from_slice(name);
    line
}

/// `Nov 24  2026`, in UTC: the box may have no time zones. Days to a date: Howard Hinnant's
/// `civil_from_days`.
fn date(seconds: i64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let name = MONTHS[usize::try_from(month - 1).unwrap_or(0) % 12];
    format!("{name} {day:>2}  {year}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), "Jan  1  1970");
        assert_eq!(date(951_827_696), "Feb 29  2000");
        assert_eq!(date(1_795_478_400), "Nov 24  2026");
    }
}

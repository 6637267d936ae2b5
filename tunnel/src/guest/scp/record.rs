//! One record: `C0644 12 name`, `D0755 0 name`, `E`, `T1183828267 0 1183828267 0`. Pure.

/// What the sender says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    File {
        mode: u32,
        size: u64,
        name: &'a [u8],
    },
    /// Until its [`Record::End`].
    Folder {
        mode: u32,
        name: &'a [u8],
    },
    End,
    /// Of the file or folder that comes next: seconds since 1970.
    Times {
        modified: u64,
        accessed: u64,
    },
    /// Words of the sender; the second kind is its last.
    Complaint {
        last: bool,
    },
}

/// Of a line without its end; `None`: no record.
pub(super) fn parse(line: &[u8]) -> Option<Record<'_>> {
    let (kind, rest) = line.split_first()?;
    match kind {
        b'C' => {
            let (mode, size, name) = entry(rest)?;
            Some(Record::File { mode, size, name })
        }
        b'D' => {
            let (mode, _, name) = entry(rest)?;
            Some(Record::Folder { mode, name })
        }
        b'E' if rest.is_empty() => Some(Record::End),
        b'T' => {
            let mut words = rest.split(|byte| *byte == b' ');
            let (modified, _) = (number(words.next()?)?, number(words.next()?)?);
            let (accessed, _) = (number(words.next()?)?, number(words.next()?)?);
            let more = words.next().is_some();
            (!more).then_some(Record::Times { modified, accessed })
        }
        1 => Some(Record::Complaint { last: false }),
        2 => Some(Record::Complaint { last: true }),
        _ => None,
    }
}

/// Four octal digits, a size, and a name that stays in its folder.
fn entry(rest: &[u8]) -> Option<(u32, u64, &[u8])> {
    let (mode, rest) = rest.split_at_checked(4)?;
    let octal = |sum, digit: &u8| match digit {
        b'0'..=b'7' => Some(sum * 8 + u32::from(digit - b'0')),
        _ => None,
    };
    let mode = mode.iter().try_fold(0, octal)?;
    let rest = rest.strip_prefix(b" ")?;
    let blank = rest.iter().position(|byte| *byte == b' ')?;
    let (size, name) = (number(&rest[..blank])?, &rest[blank + 1..]);
    let inside = !matches!(name, b"" | b"." | b"..") && !name.iter().any(|b| matches!(b, b'/' | 0));
    inside.then_some((mode, size, name))
}

/// Digits alone, and no more than a file can have.
fn number(word: &[u8]) -> Option<u64> {
    let digits = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    let number: u64 = std::str::from_utf8(word).ok()?.parse().ok()?;
    (digits && i64::try_from(number).is_ok()).then_some(number)
}

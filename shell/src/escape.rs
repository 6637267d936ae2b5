//! Foreign text made harmless: nothing in it can drive the reader's terminal.

use std::fmt;

/// Shows a text with every control, format and invisible character spelt out as `\u{…}`.
pub struct Safe<'a>(pub &'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                c if harmful(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The same as a `String`.
#[must_use]
pub fn safe(text: &str) -> String {
    Safe(text).to_string()
}

/// JSON text that drives no terminal either: `\u202e` means the same to whoever parses it.
pub(crate) fn safe_json(text: &str) -> String {
    use fmt::Write;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// C0, C1, DEL; bidirectional and other format controls (Unicode general category Cf, the common
/// ones); line and paragraph separators; variation selectors and tags.
pub(crate) fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0xfe00..=0xfe0f | 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_foreign_text_drives_a_terminal() {
        let hostile = "a\x1b]0;x\x07\u{9b}2J\u{202e}b\r\n\u{200b}é";
        assert_eq!(
            safe(hostile),
            "a\\u{1b}]0;x\\u{7}\\u{9b}2J\\u{202e}b\\u{d}\\n\\u{200b}é"
        );
    }
}

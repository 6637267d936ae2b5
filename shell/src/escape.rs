//! Foreign text made harmless: nothing in it can drive the reader's terminal.

use std::fmt;

pub(crate) use cluster::text::is_harmful as harmful;

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

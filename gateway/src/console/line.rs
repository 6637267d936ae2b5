//! What a terminal's line discipline makes of keys, for a task without a terminal: lines, with the usual
//! keys to correct them. Pure.

use bytes::{BufMut, Bytes, BytesMut};

/// Longest line, in bytes; as Linux has it (`MAX_CANON` and `N_TTY_BUF_SIZE`).
const LONGEST: usize = 4096;

/// What came of some keys, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// To be shown.
    Echo(Bytes),
    /// For the reader: a line, or what Ctrl-D sent off of one.
    Line(Bytes),
    /// Ctrl-C; the line is forgotten.
    Interrupt,
    /// Ctrl-D on an empty line.
    End,
}

/// A line that is being typed.
#[derive(Debug, Default)]
pub(super) struct Discipline {
    line: BytesMut,
    echo: BytesMut,
}

impl Discipline {
    pub(super) fn take(&mut self, keys: &[u8]) -> Vec<Typed> {
        let mut out = Vec::new();
        for key in keys {
            match key {
                0x03 => {
                    self.line.clear();
                    self.echo.put_slice(b"^C\n");
                    self.show(&mut out);
                    out.push(Typed::Interrupt);
                }
                0x04 if self.line.is_empty() => {
                    self.show(&mut out);
                    out.push(Typed::End);
                }
                0x04 => self.pass(&mut out),
                b'\r' | b'\n' => {
                    self.line.put_u8(b'\n');
                    self.echo.put_u8(b'\n');
                    self.pass(&mut out);
                }
                0x7f | 0x08 => {
                    self.rub_out();
                }
                0x15 => while self.rub_out() {},
                _ if self.line.len() >= LONGEST => self.echo.put_u8(0x07),
                key => {
                    self.line.put_u8(*key);
                    self.show_key(*key);
                }
            }
        }
        self.show(&mut out);
        out
    }

    fn show(&mut self, out: &mut Vec<Typed>) {
        if !self.echo.is_empty() {
            out.push(Typed::Echo(self.echo.split().freeze()));
        }
    }

    fn pass(&mut self, out: &mut Vec<Typed>) {
        self.show(out);
        out.push(Typed::Line(self.line.split().freeze()));
    }

    /// A control character as `^X`: it must not drive the terminal from here.
    fn show_key(&mut self, key: u8) {
        if key < 0x20 && key != b'\t' {
            self.echo.put_slice(&[b'^', key + 0x40]);
        } else {
            self.echo.put_u8(key);
        }
    }

    /// Takes one character back; `false`: there is none.
    fn rub_out(&mut self) -> bool {
        let continued = |byte: &u8| byte & 0xc0 == 0x80;
        let Some(last) = self.line.iter().rposition(|byte| !continued(byte)) else {
            self.line.clear();
            return false;
        };
        let shown = |byte: &u8| *byte >= 0x20 || *byte == b'\t';
        let control = self.line.get(last).is_some_and(|byte| !shown(byte));
        self.line.truncate(last);
        let columns = if control { 2 } else { 1 };
        self.echo.put_slice(&b"\x08 \x08".repeat(columns));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &'static str) -> Typed {
        Typed::Line(Bytes::from_static(text.as_bytes()))
    }

    /// Without the echo.
    fn typed(keys: &str) -> Vec<Typed> {
        let mut discipline = Discipline::default();
        let mut all = Vec::new();
        for key in keys.as_bytes() {
            all.extend(discipline.take(&[*key]));
        }
        all.retain(|typed| !matches!(typed, Typed::Echo(_)));
        all
    }

    #[test]
    fn a_line_is_what_was_left_of_it() {
        assert_eq!(
            typed("taks\x7f\x7fsk\rab\n"),
            [line("task\n"), line("ab\n")]
        );
        assert_eq!(typed("abc\x15é\x7fy\r"), [line("y\n")]);
        assert_eq!(typed("\x7f\x7fa\r"), [line("a\n")]);
    }

    #[test]
    fn control_keys_act_in_their_order() {
        assert_eq!(typed("ab\x03c\r"), [Typed::Interrupt, line("c\n")]);
        assert_eq!(typed("ab\x04\x04"), [line("ab"), Typed::End]);
        assert_eq!(typed("\x04"), [Typed::End]);
    }

    #[test]
    fn what_is_typed_is_shown_and_cannot_drive_the_terminal() {
        let mut discipline = Discipline::default();
        let echo = |text: &'static [u8]| Typed::Echo(Bytes::from_static(text));
        assert_eq!(
            discipline.take(b"a\x1b[2J\x7f\rb\x03"),
            [
                echo(b"a^[[2J\x08 \x08\n"),
                Typed::Line(Bytes::from_static(b"a\x1b[2\n")),
                echo(b"b^C\n"),
                Typed::Interrupt,
            ]
        );
        assert_eq!(
            discipline.take(b"\x01\x7f"),
            [echo(b"^A\x08 \x08\x08 \x08")]
        );
    }

    #[test]
    fn a_line_without_end_stays_small() {
        let mut discipline = Discipline::default();
        discipline.take(&vec![b'x'; 3 * LONGEST]);
        assert_eq!(discipline.line.len(), LONGEST);
    }
}

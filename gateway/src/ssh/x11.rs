//! A client's X11 display, in a box: what may be asked for, and how often.

use std::sync::Arc;

use russh::ChannelId;
use russh::server::Handle;

use super::enter;
use super::requests::within;
use super::visit::Handler;

/// Displays of one connection.
pub(super) const MOST: usize = 32;
/// Longest name of an authorization protocol, in characters; libXau's have up to 19.
const LONGEST_PROTOCOL: usize = 64;
/// Longest cookie, in hexadecimal digits.
const LONGEST_COOKIE: usize = 512;

/// RFC 4254, 6.3.1, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct X11 {
    pub(super) protocol: String,
    pub(super) cookie: String,
    /// For one connection alone.
    pub(super) single: bool,
    pub(super) screen: u32,
}

impl X11 {
    /// As sshd takes it (session.c, `xauth_valid_string`), and the cookie of whole bytes in hexadecimal digits.
    pub(super) fn of(protocol: &str, cookie: &str, single: bool, screen: u32) -> Option<Self> {
        let named = (1..=LONGEST_PROTOCOL).contains(&protocol.len())
            && protocol
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".:/-_".contains(&b));
        let whole = (2..=LONGEST_COOKIE).contains(&cookie.len())
            && cookie.len().is_multiple_of(2)
            && cookie.bytes().all(|b| b.is_ascii_hexdigit());
        (named && whole).then(|| Self {
            protocol: protocol.to_owned(),
            cookie: cookie.to_owned(),
            single,
            screen,
        })
    }
}

impl Handler {
    /// `true`: the program that this channel will run has a display. As sshd, one for each channel.
    pub(super) async fn show(&mut self, channel: ChannelId, wanted: X11, handle: Handle) -> bool {
        let (Some(place), Ok(turn)) =
            (self.place(), Arc::clone(&self.displays).try_acquire_owned())
        else {
            return false;
        };
        let open = self.channels.get_mut(&channel);
        let Some(open) = open.filter(|open| open.fresh.is_some() && open.display.is_none()) else {
            return false;
        };
        let ends = (handle, self.inboxes.clone());
        let shown = within(enter::display(&place, wanted, turn, ends)).await;
        open.display = shown.flatten();
        open.display.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_hexadecimal_and_a_protocol_a_word() {
        let well = |protocol: &str, cookie: &str| X11::of(protocol, cookie, false, 0).is_some();
        let name = "MIT-MAGIC-COOKIE-1";
        assert!(well(name, "00fF") && well(&"x".repeat(64), &"0".repeat(512)));
        for cookie in ["", "0", "0g", "00 0", "$(", "\u{660}\u{660}", "00\n"] {
            assert!(!well(name, cookie), "{cookie:?}");
        }
        assert!(!well(name, &"0".repeat(514)));
        for protocol in ["", "a b", "a\n", "a;b", "\u{e9}"] {
            assert!(!well(protocol, "00"), "{protocol:?}");
        }
        assert!(!well(&"x".repeat(65), "00"));
    }
}

//! A display of the client's inside the box: where it listens, and the file that opens it to the box's user.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tokio::net::{TcpListener, TcpStream};

use crate::wire::session::{DISPLAY_FIRST, DISPLAY_PORT, DISPLAYS};

/// Families of an Xauthority entry (libXau, X11/Xauth.h).
const FAMILY_LOCAL: u16 = 256;
const FAMILY_WILD: u16 = 65535;

/// Both loopback addresses at one port: programs look `localhost` up, and may get either.
pub(super) struct Loopback {
    four: TcpListener,
    /// Where the box has IPv6.
    six: Option<TcpListener>,
}

impl Loopback {
    /// The first display that nobody has, as sshd does.
    pub(super) async fn bind() -> io::Result<(Self, u16)> {
        for number in DISPLAY_FIRST..DISPLAY_FIRST + DISPLAYS {
            match Self::at(port(number)).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
                Ok(bound) => return Ok((bound, number)),
            }
        }
        Err(io::Error::other("all displays of this box are taken"))
    }

    async fn at(port: u16) -> io::Result<Self> {
        let four = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let six = match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            Ok(six) => Some(six),
            // Somebody else would be taken for the display.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(_) => None,
        };
        Ok(Self { four, six })
    }

    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let Some(six) = &self.six else {
            return self.four.accept().await;
        };
        tokio::select! {
            accepted = self.four.accept() => accepted,
            accepted = six.accept() => accepted,
        }
    }
}

/// Of this display.
pub(super) const fn port(number: u16) -> u16 {
    DISPLAY_PORT + number
}

/// What an Xauthority file says of this display (libXau, AuWrite.c). `cookie`: hexadecimal digits.
///
/// Twice: most programs look for the name of the machine, as for a local display, and some know that only in
/// part; the second entry is for any address.
pub(super) fn entries(number: u16, protocol: &str, cookie: &str) -> io::Result<Vec<u8>> {
    let cookie = hex::decode(cookie).map_err(io::Error::other)?;
    let machine = rustix::system::uname();
    let number = number.to_string();
    let mut bytes = Vec::new();
    for (family, address) in [
        (FAMILY_LOCAL, machine.nodename().to_bytes()),
        (FAMILY_WILD, b""),
    ] {
        bytes.extend(family.to_be_bytes());
        for part in [address, number.as_bytes(), protocol.as_bytes(), &cookie[..]] {
            let length = u16::try_from(part.len()).map_err(io::Error::other)?;
            bytes.extend(length.to_be_bytes());
            bytes.extend(part);
        }
    }
    Ok(bytes)
}

/// For nobody else's eyes.
pub(super) fn write(path: &Path, entries: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the next counted part off the front.
    fn part<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
        let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        let (part, after) = rest[2..].split_at(length);
        *rest = after;
        part
    }

    #[test]
    fn an_entry_is_as_libxau_reads_it() {
        let bytes = entries(12, "MIT-MAGIC-COOKIE-1", "00ff10").unwrap();
        let own = rustix::system::uname();
        let mut rest = &bytes[..];
        for (family, address) in [(256_u16, own.nodename().to_bytes()), (65535, b"")] {
            assert_eq!(rest[..2], family.to_be_bytes());
            rest = &rest[2..];
            assert_eq!(part(&mut rest), address);
            assert_eq!(part(&mut rest), b"12");
            assert_eq!(part(&mut rest), b"MIT-MAGIC-COOKIE-1");
            assert_eq!(part(&mut rest), [0, 255, 16]);
        }
        assert!(rest.is_empty());
        assert!(entries(12, "MIT-MAGIC-COOKIE-1", "0g").is_err());
        assert!(entries(12, &"x".repeat(70_000), "00").is_err());
    }

    #[tokio::test]
    async fn a_display_that_somebody_has_is_passed_over() {
        let (first, one) = Loopback::bind().await.unwrap();
        let (_second, two) = Loopback::bind().await.unwrap();
        assert!(DISPLAY_FIRST <= one && one < two);
        let dialled = TcpStream::connect((Ipv4Addr::LOCALHOST, port(one)));
        let (dialled, accepted) = tokio::join!(dialled, first.accept());
        assert_eq!(dialled.unwrap().local_addr().unwrap(), accepted.unwrap().1);
    }
}

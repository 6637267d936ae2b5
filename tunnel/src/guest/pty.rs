//! A pseudo-terminal: made, sized, set up as the client's, read and written without blocking.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix::sys::termios::{
    ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices as C,
    Termios, tcgetattr, tcsetattr,
};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::net::unix::pipe;

use super::user::User;
use crate::wire::session::{Pty, Window};

/// The master's end, three times the same descriptor.
pub(super) struct Master {
    reader: pipe::Receiver,
    writer: pipe::Sender,
    own: OwnedFd,
}

/// Its end for the program: a path, for the program opens it as its controlling terminal.
pub(super) fn open(wanted: &Pty, user: Option<&User>) -> io::Result<(Master, PathBuf)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let path = PathBuf::from(
        ptsname(&master, Vec::new())?
            .into_string()
            .map_err(io::Error::other)?,
    );
    if let Some(user) = user {
        // As sshd does: the terminal is the user's.
        let _ = std::os::unix::fs::chown(&path, Some(user.uid), Some(user.gid));
    }
    resize(&master, wanted.window)?;
    let mut termios = tcgetattr(&master)?;
    for (opcode, value) in &wanted.modes {
        set(&mut termios, *opcode, *value);
    }
    tcsetattr(&master, SetArg::TCSANOW, &termios)?;
    rustix::io::ioctl_fionbio(&master, true)?;
    // It is no pipe, and is read and written as one.
    let master = Master {
        reader: pipe::Receiver::from_owned_fd_unchecked(master.try_clone()?)?,
        writer: pipe::Sender::from_owned_fd_unchecked(master.try_clone()?)?,
        own: master,
    };
    Ok((master, path))
}

fn resize(master: impl AsFd, window: Window) -> io::Result<()> {
    let size = Winsize {
        ws_row: window.rows,
        ws_col: window.columns,
        ws_xpixel: window.width,
        ws_ypixel: window.height,
    };
    Ok(tcsetwinsize(master, size)?)
}

impl Master {
    pub(super) fn resize(&self, window: Window) {
        let _ = resize(&self.own, window);
    }

    /// 0 at the end: every program that had the terminal is gone (EIO, ptmx(4)).
    pub(super) async fn read(&self, buffer: &mut [u8]) -> usize {
        loop {
            if self.reader.readable().await.is_err() {
                return 0;
            }
            match self.reader.try_read(buffer) {
                Ok(count) => return count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return 0,
            }
        }
    }

    /// What is there now; 0: nothing more.
    pub(super) fn read_now(&self, buffer: &mut [u8]) -> usize {
        rustix::io::read(&self.own, buffer).unwrap_or(0)
    }

    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.writer.writable().await?;
            match self.writer.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// One mode of RFC 4254, 8. What this system has not is ignored.
fn set(termios: &mut Termios, opcode: u8, value: u32) {
    const CHARACTERS: [(u8, C); 15] = [
        (1, C::VINTR),
        (2, C::VQUIT),
        (3, C::VERASE),
        (4, C::VKILL),
        (5, C::VEOF),
        (6, C::VEOL),
        (7, C::VEOL2),
        (8, C::VSTART),
        (9, C::VSTOP),
        (10, C::VSUSP),
        (12, C::VREPRINT),
        (13, C::VWERASE),
        (14, C::VLNEXT),
        (16, C::VSWTC),
        (18, C::VDISCARD),
    ];
    if let Some((_, index)) = CHARACTERS.iter().find(|(code, _)| *code == opcode) {
        // 255 means none (RFC 4254, 8); here that is 0.
        let character = u8::try_from(value).unwrap_or(0);
        termios.control_chars[*index as usize] = if value == 255 { 0 } else { character };
        return;
    }
    let on = value != 0;
    let input = [
        (30, InputFlags::IGNPAR),
        (31, InputFlags::PARMRK),
        (32, InputFlags::INPCK),
        (33, InputFlags::ISTRIP),
        (34, InputFlags::INLCR),
        (35, InputFlags::IGNCR),
        (36, InputFlags::ICRNL),
        (38, InputFlags::IXON),
        (39, InputFlags::IXANY),
        (40, InputFlags::IXOFF),
        (41, InputFlags::IMAXBEL),
        (42, InputFlags::IUTF8),
    ];
    let local = [
        (50, LocalFlags::ISIG),
        (51, LocalFlags::ICANON),
        (53, LocalFlags::ECHO),
        (54, LocalFlags::ECHOE),
        (55, LocalFlags::ECHOK),
        (56, LocalFlags::ECHONL),
        (57, LocalFlags::NOFLSH),
        (58, LocalFlags::TOSTOP),
        (59, LocalFlags::IEXTEN),
        (60, LocalFlags::ECHOCTL),
        (61, LocalFlags::ECHOKE),
        (62, LocalFlags::PENDIN),
    ];
    let output = [
        (70, OutputFlags::OPOST),
        (71, OutputFlags::OLCUC),
        (72, OutputFlags::ONLCR),
        (73, OutputFlags::OCRNL),
        (74, OutputFlags::ONOCR),
        (75, OutputFlags::ONLRET),
    ];
    let control = [(92, ControlFlags::PARENB), (93, ControlFlags::PARODD)];
    if let Some((_, flag)) = input.iter().find(|(code, _)| *code == opcode) {
        termios.input_flags.set(*flag, on);
    } else if let Some((_, flag)) = local.iter().find(|(code, _)| *code == opcode) {
        termios.local_flags.set(*flag, on);
    } else if let Some((_, flag)) = output.iter().find(|(code, _)| *code == opcode) {
        termios.output_flags.set(*flag, on);
    } else if let Some((_, flag)) = control.iter().find(|(code, _)| *code == opcode) {
        termios.control_flags.set(*flag, on);
    }
}

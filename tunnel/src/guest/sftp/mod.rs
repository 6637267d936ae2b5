//! SFTP version 3 (draft-ietf-secsh-filexfer-02) as OpenSSH speaks it, with its extensions.
//!
//! A process of the box's user, on blocking descriptors: requests are served in order, and answers are
//! sent together once no further request is waiting, so that a pipelining client costs few system calls.
//! Names are bytes.

mod attributes;
mod files;
mod packet;
mod paths;
#[cfg(any(test, feature = "properties"))]
pub(super) mod property;
mod server;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use packet::Reader;
use server::Server;

/// Largest packet, in bytes, as sftp-server(8) takes it.
const LARGEST: usize = 256 << 10;
/// Most bytes of one read or write: what [`LARGEST`] leaves beside the other fields.
const PIECE: usize = LARGEST - 1024;
/// Answers are sent at the latest when so many bytes have gathered.
const GATHER: usize = 512 << 10;

/// Serves standard input and output until their end; returns words only when it could not begin.
#[must_use]
pub(super) fn run() -> String {
    let ends = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|input| Ok((input, io::stdout().as_fd().try_clone_to_owned()?)));
    match ends {
        Ok((input, output)) => {
            let _ = serve(&mut File::from(input), &mut File::from(output));
            std::process::exit(0)
        }
        Err(error) => error.to_string(),
    }
}

fn serve(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let mut server = Server::default();
    let (mut bytes, mut answers) = (Vec::new(), Vec::new());
    let (mut taken, mut buffer) = (0, vec![0; LARGEST + 4]);
    loop {
        while let Some(body) = whole(&bytes[taken..])? {
            taken += 4 + body.len();
            server.answer(Reader::new(body), &mut answers);
            if answers.len() >= GATHER {
                output.write_all(&answers)?;
                answers.clear();
            }
        }
        bytes.drain(..taken);
        taken = 0;
        output.write_all(&answers)?;
        answers.clear();
        match input.read(&mut buffer)? {
            0 => return Ok(()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The first packet, once all of it is there.
fn whole(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    let Some(head) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*head) as usize;
    if length == 0 || length > LARGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(bytes.get(4..4 + length))
}

#[cfg(test)]
mod tests;

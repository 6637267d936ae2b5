//! What a forward leads to, the same program in the box and beside sshd: `far-end PORT`. On each connection the
//! first byte says what it is to be: `s` a source of SIZE bytes, `t` a taker of SIZE bytes that then says `.`,
//! `e` an echo. Built by rustc alone, static, so that it runs in any image.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// As in `bench/vps/mod.rs`.
const SIZE: usize = 1 << 30;
const BLOCK: usize = 256 << 10;

fn serve(mut socket: TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; BLOCK];
    socket.read_exact(&mut buffer[..1])?;
    match buffer[0] {
        b's' => {
            for _ in 0..SIZE / BLOCK {
                socket.write_all(&buffer)?;
            }
        }
        b't' => {
            let mut left = SIZE;
            while left > 0 {
                match socket.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => left -= count.min(left),
                }
            }
            socket.write_all(b".")?;
        }
        _ => loop {
            match socket.read(&mut buffer)? {
                0 => return Ok(()),
                count => socket.write_all(&buffer[..count])?,
            }
        },
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|word| word.parse().ok());
    let listener = TcpListener::bind(("127.0.0.1", port.unwrap_or(9000)))?;
    for socket in listener.incoming().flatten() {
        // A client that goes away ends its own connection alone.
        std::thread::spawn(move || drop(serve(socket)));
    }
    Ok(())
}

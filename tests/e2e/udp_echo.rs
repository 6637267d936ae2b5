//! For a box: answers each datagram at a port of its loopback with the asker's port, a colon, and the datagram.

use std::net::UdpSocket;

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let socket = UdpSocket::bind(("127.0.0.1", port.unwrap_or(5353)))?;
    let mut buffer = vec![0; 65_535];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        let mut answer = format!("{}:", from.port()).into_bytes();
        answer.extend(&buffer[..length]);
        socket.send_to(&answer, from)?;
    }
}

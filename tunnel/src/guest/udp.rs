//! Datagrams to and from a port of the box: a socket for each peer of the other side.
//!
//! Everything is dropped rather than waited for, as UDP does: what the port does not take, and what comes while
//! the gateway takes nothing.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forward::frame::{Frames, LONGEST, frame};
use forward::peers::Peers;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UdpSocket, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::serve::fail;
use crate::pieces::write_all;
use crate::wire::session::Kind;

/// Forwards of a box at once, each with up to [`forward::peers::MOST`] sockets.
pub(super) const MOST: usize = 8;
/// Bytes of one read.
const PIECE: usize = 64 << 10;
/// Answers that wait for this loop; more wait in the sockets of their peers.
const ANSWERS: usize = 16;
/// Frames, and bytes of them, that wait for the gateway.
const WAITING: usize = 1024;
const ROOM: usize = 4 << 20;
/// Frames that are written at once.
const TOGETHER: usize = 64;
/// Between two looks for peers that are silent.
const LOOK: Duration = Duration::from_secs(30);

/// A frame for the gateway, and the room that it takes.
type Waiting = (Vec<u8>, OwnedSemaphorePermit);

/// Until the gateway ends the stream.
pub(super) async fn serve(
    room: &Arc<Semaphore>,
    port: u16,
    mut stream: UnixStream,
) -> io::Result<()> {
    let Ok(_turn) = room.try_acquire() else {
        return fail(stream, "it forwards as many UDP ports as it can: end one").await;
    };
    stream
        .write_all(&crate::wire::session::frame(Kind::Ready, b""))
        .await?;
    let (mut reader, writer) = stream.into_split();
    let (out, waiting) = Out::new();
    let writing = tokio::spawn(write(writer, waiting));
    let (answers, mut answered) = mpsc::channel(ANSWERS);
    let (mut peers, begun) = (Peers::default(), Instant::now());
    let (mut frames, mut buffer) = (Frames::default(), vec![0; PIECE]);
    let mut look = tokio::time::interval(LOOK);
    let done = loop {
        tokio::select! {
            read = reader.read(&mut buffer) => match read {
                Ok(0) => break Ok(()),
                Ok(count) => {
                    frames.add(&buffer[..count]);
                    while let Some((number, datagram)) = frames.take() {
                        let now = begun.elapsed();
                        say((&mut peers, now), number, datagram, (port, &answers)).await;
                    }
                }
                Err(error) => break Err(error),
            },
            Some((number, datagram)) = answered.recv() => {
                peers.get(number, begun.elapsed());
                out.offer(number, &datagram);
            }
            _ = look.tick() => drop(peers.expire(begun.elapsed())),
        }
    };
    writing.abort();
    done
}

/// One side of the other end, here.
struct Peer {
    socket: Arc<UdpSocket>,
    hearing: AbortHandle,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.hearing.abort();
    }
}

async fn say(
    (peers, now): (&mut Peers<Peer>, Duration),
    number: u32,
    datagram: &[u8],
    (port, answers): (u16, &mpsc::Sender<(u32, Vec<u8>)>),
) {
    let known = peers.get(number, now);
    let socket = match known.map(|peer| Arc::clone(&peer.socket)) {
        Some(socket) => socket,
        None => {
            let Ok(socket) = dial(port).await else {
                return;
            };
            let socket = Arc::new(socket);
            let hearing = tokio::spawn(hear(number, Arc::clone(&socket), answers.clone()));
            let peer = Peer {
                socket: Arc::clone(&socket),
                hearing: hearing.abort_handle(),
            };
            drop(peers.insert(number, peer, now));
            socket
        }
    };
    // Nobody was there for one before: that is what the first try may be told (udp(7), ECONNREFUSED).
    if socket.send(datagram).await.is_err() {
        let _ = socket.send(datagram).await;
    }
}

async fn dial(port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect((Ipv4Addr::LOCALHOST, port)).await?;
    Ok(socket)
}

/// What the port says to this peer.
async fn hear(number: u32, socket: Arc<UdpSocket>, answers: mpsc::Sender<(u32, Vec<u8>)>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) => {
                let datagram = buffer[..length].to_vec();
                if answers.send((number, datagram)).await.is_err() {
                    return;
                }
            }
            // That one went nowhere; the next may not.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(_) => return,
        }
    }
}

/// Towards the gateway.
struct Out {
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

impl Out {
    fn new() -> (Self, mpsc::Receiver<Waiting>) {
        let (queue, waiting) = mpsc::channel(WAITING);
        let room = Arc::new(Semaphore::new(ROOM));
        (Self { queue, room }, waiting)
    }

    /// Dropped where too much waits.
    fn offer(&self, number: u32, datagram: &[u8]) {
        let Some(frame) = frame(number, datagram) else {
            return;
        };
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        if let Ok(turn) = Arc::clone(&self.room).try_acquire_many_owned(length) {
            let _ = self.queue.try_send((frame, turn));
        }
    }
}

async fn write(mut half: OwnedWriteHalf, mut waiting: mpsc::Receiver<Waiting>) {
    let mut some = Vec::with_capacity(TOGETHER);
    while waiting.recv_many(&mut some, TOGETHER).await > 0 {
        let frames: Vec<&[u8]> = some.iter().map(|(frame, _)| &frame[..]).collect();
        if write_all(&mut half, &frames).await.is_err() {
            return;
        }
        some.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of the gateway's, and a port of the box.
    async fn forward() -> (UnixStream, UdpSocket) {
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let number = port.local_addr().unwrap().port();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let room = Arc::new(Semaphore::new(1));
        tokio::spawn(async move { serve(&room, number, theirs).await });
        let mut ready = [0; 5];
        ours.read_exact(&mut ready).await.unwrap();
        assert_eq!(ready[0], Kind::Ready as u8);
        (ours, port)
    }

    async fn next(stream: &mut UnixStream, frames: &mut Frames) -> (u32, Vec<u8>) {
        let mut buffer = vec![0; PIECE];
        loop {
            if let Some((number, datagram)) = frames.take() {
                return (number, datagram.to_vec());
            }
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "it ended");
            frames.add(&buffer[..count]);
        }
    }

    #[tokio::test]
    async fn each_peer_has_a_socket_of_its_own_and_hears_its_own_answers() {
        let (mut stream, port) = forward().await;
        let longest = vec![5; 65_507];
        for (number, text) in [(7, &b"seven"[..]), (9, b""), (7, &longest)] {
            stream
                .write_all(&frame(number, text).unwrap())
                .await
                .unwrap();
        }
        let mut buffer = vec![0; LONGEST];
        let mut heard = Vec::new();
        for _ in 0..3 {
            let (length, from) = port.recv_from(&mut buffer).await.unwrap();
            heard.push((buffer[..length].to_vec(), from));
        }
        assert_eq!(heard[0], (b"seven".to_vec(), heard[2].1));
        assert_eq!(heard[2].0, longest);
        assert!(heard[1].0.is_empty() && heard[1].1 != heard[0].1);
        port.send_to(b"to nine", heard[1].1).await.unwrap();
        port.send_to(&longest, heard[0].1).await.unwrap();
        let mut frames = Frames::default();
        let mut got = [
            next(&mut stream, &mut frames).await,
            next(&mut stream, &mut frames).await,
        ];
        got.sort();
        assert_eq!(got, [(7, longest), (9, b"to nine".to_vec())]);
    }

    #[tokio::test]
    async fn a_port_without_a_program_is_silent_and_hears_later() {
        let (mut stream, port) = forward().await;
        let address = port.local_addr().unwrap();
        drop(port);
        for _ in 0..3 {
            stream
                .write_all(&frame(1, b"early").unwrap())
                .await
                .unwrap();
        }
        // Too long for UDP, and so for nobody.
        stream
            .write_all(&frame(1, &[1; LONGEST]).unwrap())
            .await
            .unwrap();
        let port = loop {
            if let Ok(port) = UdpSocket::bind(address).await {
                break port;
            }
        };
        // What was said before may still arrive, now that somebody is there.
        let mut buffer = [0; 16];
        let mut heard = 0;
        while &buffer[..heard] != b"late" {
            stream.write_all(&frame(1, b"late").unwrap()).await.unwrap();
            heard = port.recv(&mut buffer).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_gateway_that_takes_nothing_costs_some_memory_and_no_more() {
        let (out, mut waiting) = Out::new();
        let big = vec![1; 60_000];
        for _ in 0..1000 {
            out.offer(1, &big);
        }
        let mut kept = 0;
        while let Ok((frame, _turn)) = waiting.try_recv() {
            kept += frame.len();
        }
        assert!(kept <= ROOM && kept > ROOM - 70_000, "{kept}");
        for _ in 0..10_000 {
            out.offer(1, b"");
        }
        assert_eq!(waiting.len(), WAITING);
    }
}

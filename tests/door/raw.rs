//! An SSH client that does as it is told, however wrong: curve25519-sha256 and aes128-gcm, byte by byte
//! (RFC 4253, RFC 8731, RFC 5647). It says nothing of its own accord.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, PrivateKey as Secret, UnparsedPublicKey, X25519};
use aws_lc_rs::digest::{Context, SHA256};
use rustix::net::{AddressFamily, SocketType};

use crate::say::{self, Text, text, uint};

/// The line this client begins with.
pub(crate) const IDENT: &str = "SSH-2.0-raw";
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
const TAG: usize = 16;

/// See the module.
pub(crate) struct Raw {
    pub(crate) socket: TcpStream,
    server: String,
    own_init: Vec<u8>,
    their_init: Vec<u8>,
    pub(crate) session: Option<[u8; 32]>,
    sealing: Option<Cipher>,
    opening: Option<Cipher>,
    /// What came on each channel while another was listened to.
    heard: HashMap<u32, Vec<u8>>,
}

/// One direction.
struct Cipher {
    key: LessSafeKey,
    nonce: [u8; 12],
}

impl Cipher {
    fn next(&mut self) -> Nonce {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let [.., a, b, c, d, e, f, g, h] = self.nonce;
        let count = u64::from_be_bytes([a, b, c, d, e, f, g, h]).wrapping_add(1);
        self.nonce[4..].copy_from_slice(&count.to_be_bytes());
        nonce
    }
}

impl Raw {
    /// A TCP connection from this address of loopback, no more.
    pub(crate) fn connect(port: u16, from: Ipv4Addr) -> Self {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrV4::new(from, 0)).unwrap();
        rustix::net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            server: String::new(),
            own_init: Vec::new(),
            their_init: Vec::new(),
            session: None,
            sealing: None,
            opening: None,
            heard: HashMap::new(),
        }
    }

    /// Both first lines.
    pub(crate) fn ident(&mut self) -> io::Result<()> {
        self.socket.write_all(format!("{IDENT}\r\n").as_bytes())?;
        self.server = self.line()?;
        Ok(())
    }

    /// The server's first line.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            self.socket.read_exact(&mut byte)?;
            line.extend(byte);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Sends this payload as the protocol wants it.
    pub(crate) fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let whole = 1 + payload.len() + if self.sealing.is_some() { 0 } else { 4 };
        let mut padding = 16 - whole % 16;
        if padding < 4 {
            padding += 16;
        }
        self.send_padded(payload, u8::try_from(padding).unwrap(), padding)
    }

    /// Says `claimed` bytes of padding, and sends so many.
    pub(crate) fn send_padded(
        &mut self,
        payload: &[u8],
        claimed: u8,
        padding: usize,
    ) -> io::Result<()> {
        let mut body = vec![claimed];
        body.extend(payload);
        body.resize(body.len() + padding, 0);
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        if let Some(cipher) = &mut self.sealing {
            let nonce = cipher.next();
            let sealed = cipher
                .key
                .seal_in_place_append_tag(nonce, Aad::from(length), &mut body);
            sealed.unwrap();
        }
        self.socket.write_all(&[&length[..], &body].concat())
    }

    /// The next packet's payload.
    pub(crate) fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let size = u32::from_be_bytes(length) as usize;
        let tag = if self.opening.is_some() { TAG } else { 0 };
        assert!(size < 1 << 20, "a packet of {size} bytes");
        let mut body = vec![0; size + tag];
        self.socket.read_exact(&mut body)?;
        if let Some(cipher) = &mut self.opening {
            let nonce = cipher.next();
            let opened = cipher
                .key
                .open_in_place(nonce, Aad::from(length), &mut body);
            opened.unwrap();
            body.truncate(size);
        }
        let end = body.len() - usize::from(body[0]);
        Ok(body[1..end].to_vec())
    }

    /// The next packet of this number; others are passed over.
    pub(crate) fn read_until(&mut self, number: u8) -> io::Result<Vec<u8>> {
        loop {
            let packet = self.read()?;
            if packet.first() == Some(&number) {
                return Ok(packet);
            }
            if packet.first() == Some(&say::DISCONNECT) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
    }

    /// Offers what this client has.
    pub(crate) fn kexinit(&mut self) -> io::Result<()> {
        self.own_init = say::kexinit("curve25519-sha256", "aes128-gcm@openssh.com");
        self.send(&self.own_init.clone())
    }

    /// The server's offer. In a rekey, what else was on its way is passed over.
    pub(crate) fn their_kexinit(&mut self) -> io::Result<()> {
        self.their_init = self.read_until(say::KEXINIT)?;
        Ok(())
    }

    /// The rest of a key exchange, to both NEWKEYS.
    pub(crate) fn keys(&mut self) -> io::Result<()> {
        let own = Secret::generate(&X25519).unwrap();
        let point = own.compute_public_key().unwrap();
        let mut init = vec![say::KEX_ECDH_INIT];
        text(&mut init, point.as_ref());
        self.send(&init)?;
        let reply = self.read_until(say::KEX_ECDH_REPLY)?;
        let mut rest = Text(&reply[1..]);
        let (host_key, theirs) = (rest.next(), rest.next());
        let peer = UnparsedPublicKey::new(&X25519, theirs);
        let shared = agreement::agree(&own, peer, (), |shared| Ok(shared.to_vec())).unwrap();
        let mut secret = Vec::new();
        say::number(&mut secret, &shared);
        let mut hashed = Vec::new();
        text(&mut hashed, IDENT.as_bytes());
        text(&mut hashed, self.server.as_bytes());
        for part in [&self.own_init[..], &self.their_init, host_key] {
            text(&mut hashed, part);
        }
        text(&mut hashed, point.as_ref());
        text(&mut hashed, theirs);
        hashed.extend(&secret);
        let hash = sha256(&[&hashed]);
        let session = *self.session.get_or_insert(hash);
        self.send(&[say::NEWKEYS])?;
        self.read_until(say::NEWKEYS)?;
        let derive = |letter: u8| sha256(&[&secret, &hash, &[letter], &session]);
        let cipher = |iv: u8, key: u8| {
            let key = UnboundKey::new(&AES_128_GCM, &derive(key)[..16]).unwrap();
            let mut nonce = [0; 12];
            nonce.copy_from_slice(&derive(iv)[..12]);
            let key = LessSafeKey::new(key);
            Some(Cipher { key, nonce })
        };
        (self.sealing, self.opening) = (cipher(b'A', b'C'), cipher(b'B', b'D'));
        Ok(())
    }

    /// To the first NEWKEYS, all as it should be.
    pub(crate) fn exchanged(port: u16, from: Ipv4Addr) -> Self {
        let mut raw = Self::connect(port, from);
        raw.ident().unwrap();
        raw.kexinit().unwrap();
        raw.their_kexinit().unwrap();
        raw.keys().unwrap();
        raw
    }

    /// Asks for authentication.
    pub(crate) fn service(&mut self) -> io::Result<()> {
        let mut ask = vec![say::SERVICE_REQUEST];
        text(&mut ask, b"ssh-userauth");
        self.send(&ask)?;
        self.read_until(say::SERVICE_ACCEPT)?;
        Ok(())
    }

    /// Proves this key; `true`: it is let in.
    pub(crate) fn sign_in(&mut self, login: &str, key: &say::Key) -> io::Result<bool> {
        let request = key.signed(&self.session.unwrap(), login, key);
        self.asks(&request)
    }

    /// Sends this request to sign in; `true`: it is let in.
    pub(crate) fn asks(&mut self, request: &[u8]) -> io::Result<bool> {
        self.send(request)?;
        loop {
            match self.read()?.first() {
                Some(&say::USERAUTH_SUCCESS) => return Ok(true),
                Some(&(say::USERAUTH_FAILURE | say::USERAUTH_PK_OK)) => return Ok(false),
                Some(&say::DISCONNECT) => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ => {}
            }
        }
    }

    /// In, as this person.
    pub(crate) fn inside(port: u16, from: Ipv4Addr, login: &str, key: &say::Key) -> Self {
        let mut raw = Self::exchanged(port, from);
        raw.service().unwrap();
        assert!(raw.sign_in(login, key).unwrap(), "{login} is not let in");
        raw
    }

    /// A session channel; the server's number of it.
    pub(crate) fn session(&mut self, window: u32) -> io::Result<u32> {
        let opened = self.open("session", (7, window), &[])?;
        opened.map_err(|(_, why)| io::Error::other(why))
    }

    /// A channel of this kind, with this client's number of it and window, and what else is to say; the server's
    /// number of it, or its refusal, as reason and words (RFC 4254, 5.1).
    pub(crate) fn open(
        &mut self,
        kind: &str,
        (own, window): (u32, u32),
        more: &[u8],
    ) -> io::Result<Result<u32, (u32, String)>> {
        let mut open = vec![say::CHANNEL_OPEN];
        text(&mut open, kind.as_bytes());
        for number in [own, window, 32 << 10] {
            uint(&mut open, number);
        }
        open.extend(more);
        self.send(&open)?;
        loop {
            let packet = self.read()?;
            let mut rest = Text(&packet[1..]);
            match packet[0] {
                say::CHANNEL_OPEN_CONFIRMATION if rest.uint() == own => return Ok(Ok(rest.uint())),
                say::CHANNEL_OPEN_FAILURE if rest.uint() == own => {
                    let (reason, words) = (rest.uint(), rest.next());
                    return Ok(Err((reason, String::from_utf8_lossy(words).into_owned())));
                }
                say::CHANNEL_DATA => self.keep(&packet),
                say::DISCONNECT => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ => {}
            }
        }
    }

    fn keep(&mut self, packet: &[u8]) {
        let mut rest = Text(&packet[1..]);
        let heard = self.heard.entry(rest.uint()).or_default();
        heard.extend(rest.next());
    }

    /// Runs a command in a channel.
    pub(crate) fn exec(&mut self, channel: u32, line: &str) -> io::Result<()> {
        let mut more = Vec::new();
        text(&mut more, line.as_bytes());
        self.ask(channel, "exec", &more)
    }

    /// A request in a channel, to be answered, with what else is to say.
    pub(crate) fn ask(&mut self, channel: u32, name: &str, more: &[u8]) -> io::Result<()> {
        let mut ask = vec![say::CHANNEL_REQUEST];
        uint(&mut ask, channel);
        text(&mut ask, name.as_bytes());
        ask.push(1);
        ask.extend(more);
        self.send(&ask)
    }

    /// Sends this in a channel, in packets of at most 32 KiB, whatever its window.
    pub(crate) fn put(&mut self, channel: u32, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(32 << 10) {
            let mut packet = vec![say::CHANNEL_DATA];
            uint(&mut packet, channel);
            text(&mut packet, piece);
            self.send(&packet)?;
        }
        Ok(())
    }

    /// The next bytes of the channel that this client calls so; all others' are kept. A sign of life is given twice.
    pub(crate) fn data(&mut self, own: u32) -> io::Result<Vec<u8>> {
        if let Some(heard) = self.heard.remove(&own) {
            return Ok(heard);
        }
        let mut asked = 0..2;
        loop {
            let packet = self.read()?;
            let mut rest = Text(&packet[1..]);
            match packet[0] {
                say::CHANNEL_DATA if rest.uint() == own => return Ok(rest.next().to_vec()),
                say::CHANNEL_DATA => self.keep(&packet),
                say::GLOBAL_REQUEST if asked.next().is_some() => {
                    self.send(&[say::REQUEST_FAILURE])?
                }
                say::GLOBAL_REQUEST | say::DISCONNECT => {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                _ => {}
            }
        }
    }

    /// Closes a channel, and waits until the server has closed this client's end of it.
    pub(crate) fn close(&mut self, channel: u32, own: u32) -> io::Result<()> {
        let mut close = vec![say::CHANNEL_CLOSE];
        uint(&mut close, channel);
        self.send(&close)?;
        self.closed(own)
    }

    /// Waits until the server has closed it.
    pub(crate) fn closed(&mut self, own: u32) -> io::Result<()> {
        while Text(&self.read_until(say::CHANNEL_CLOSE)?[1..]).uint() != own {}
        Ok(())
    }

    /// Reads until that channel said this.
    pub(crate) fn hears(&mut self, own: u32, words: &str) {
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains(words) {
            said.extend(self.data(own).unwrap());
            // Only the end can have what is new.
            said.drain(..said.len().saturating_sub(64 << 10));
        }
    }

    /// Waits for the end of the connection, whatever comes till then.
    pub(crate) fn gone(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let end = self.socket.read_to_end(&mut rest);
        assert!(!end.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    }

    /// Waits for the end of the connection; what came till then, without the packets' contents.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        let mut numbers = Vec::new();
        while let Ok(packet) = self.read() {
            numbers.extend(packet.first());
        }
        numbers
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().try_into().unwrap()
}

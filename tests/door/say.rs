//! SSH's numbers and pieces (RFC 4250, RFC 4251, RFC 4252), and requests made of them.

use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

pub(crate) const DISCONNECT: u8 = 1;
pub(crate) const SERVICE_REQUEST: u8 = 5;
pub(crate) const SERVICE_ACCEPT: u8 = 6;
pub(crate) const KEXINIT: u8 = 20;
pub(crate) const NEWKEYS: u8 = 21;
pub(crate) const KEX_ECDH_INIT: u8 = 30;
pub(crate) const KEX_ECDH_REPLY: u8 = 31;
pub(crate) const USERAUTH_REQUEST: u8 = 50;
pub(crate) const USERAUTH_FAILURE: u8 = 51;
pub(crate) const USERAUTH_SUCCESS: u8 = 52;
pub(crate) const USERAUTH_PK_OK: u8 = 60;
pub(crate) const GLOBAL_REQUEST: u8 = 80;
pub(crate) const REQUEST_FAILURE: u8 = 82;
pub(crate) const CHANNEL_OPEN: u8 = 90;
pub(crate) const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
pub(crate) const CHANNEL_OPEN_FAILURE: u8 = 92;
pub(crate) const CHANNEL_WINDOW_ADJUST: u8 = 93;
pub(crate) const CHANNEL_DATA: u8 = 94;
pub(crate) const CHANNEL_CLOSE: u8 = 97;
pub(crate) const CHANNEL_REQUEST: u8 = 98;

/// A string: its length and it.
pub(crate) fn text(into: &mut Vec<u8>, bytes: &[u8]) {
    uint(into, u32::try_from(bytes.len()).unwrap());
    into.extend(bytes);
}

pub(crate) fn uint(into: &mut Vec<u8>, number: u32) {
    into.extend(number.to_be_bytes());
}

/// A multiple precision integer, positive.
pub(crate) fn number(into: &mut Vec<u8>, bytes: &[u8]) {
    let start = bytes.iter().position(|byte| *byte != 0);
    let bytes = &bytes[start.unwrap_or(bytes.len())..];
    let mut padded = Vec::new();
    if bytes.first().is_some_and(|byte| *byte >= 0x80) {
        padded.push(0);
    }
    padded.extend(bytes);
    text(into, &padded);
}

/// Takes pieces off the front.
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

impl<'a> Text<'a> {
    pub(crate) fn next(&mut self) -> &'a [u8] {
        let length = self.uint() as usize;
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        piece
    }

    pub(crate) fn uint(&mut self) -> u32 {
        let (number, rest) = self.0.split_first_chunk::<4>().unwrap();
        self.0 = rest;
        u32::from_be_bytes(*number)
    }
}

/// KEXINIT with these key exchanges and ciphers, else what the server has.
pub(crate) fn kexinit(exchanges: &str, ciphers: &str) -> Vec<u8> {
    kexinit_packed(exchanges, ciphers, "none")
}

/// … and these compressions.
pub(crate) fn kexinit_packed(exchanges: &str, ciphers: &str, packed: &str) -> Vec<u8> {
    let mut packet = vec![KEXINIT];
    packet.extend([7; 16]);
    let macs = "hmac-sha2-256-etm@openssh.com";
    for list in [
        exchanges,
        "ssh-ed25519",
        ciphers,
        ciphers,
        macs,
        macs,
        packed,
        packed,
        "",
        "",
    ] {
        text(&mut packet, list.as_bytes());
    }
    packet.push(0);
    uint(&mut packet, 0);
    packet
}

/// Somebody's ed25519 key.
pub(crate) struct Key(Ed25519KeyPair);

impl Key {
    pub(crate) fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    /// Of an unencrypted OpenSSH file.
    pub(crate) fn read(path: &Path) -> Self {
        let key = russh::keys::load_secret_key(path, None).unwrap();
        let pair = key.key_data().ed25519().unwrap();
        let (seed, public) = (pair.private.to_bytes(), pair.public.0);
        Self(Ed25519KeyPair::from_seed_and_public_key(&seed, &public).unwrap())
    }

    /// As it goes over the wire.
    pub(crate) fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        text(&mut blob, b"ssh-ed25519");
        text(&mut blob, self.0.public_key().as_ref());
        blob
    }

    /// Asks whether this key would do.
    pub(crate) fn probe(&self, login: &str) -> Vec<u8> {
        request(login, "ssh-ed25519", &self.blob(), false)
    }

    /// A request for the key `named`, signed with this one.
    pub(crate) fn signed(&self, session: &[u8], login: &str, named: &Self) -> Vec<u8> {
        let request = request(login, "ssh-ed25519", &named.blob(), true);
        self.sign(session, request)
    }

    /// A request with a signature of this key.
    pub(crate) fn sign(&self, session: &[u8], mut request: Vec<u8>) -> Vec<u8> {
        let mut signed = Vec::new();
        text(&mut signed, session);
        signed.extend(&request);
        let mut signature = Vec::new();
        text(&mut signature, b"ssh-ed25519");
        text(&mut signature, self.0.sign(&signed).as_ref());
        text(&mut request, &signature);
        request
    }
}

/// `publickey`, with or without a promise of a signature.
pub(crate) fn request(login: &str, algorithm: &str, blob: &[u8], signed: bool) -> Vec<u8> {
    let mut request = vec![USERAUTH_REQUEST];
    for piece in [login, "ssh-connection", "publickey"] {
        text(&mut request, piece.as_bytes());
    }
    request.push(u8::from(signed));
    text(&mut request, algorithm.as_bytes());
    text(&mut request, blob);
    request
}

/// What `direct-tcpip` to there says more (RFC 4254, 7.2).
pub(crate) fn direct(host: &str, port: u16) -> Vec<u8> {
    let mut more = Vec::new();
    text(&mut more, host.as_bytes());
    uint(&mut more, u32::from(port));
    text(&mut more, b"127.0.0.1");
    uint(&mut more, 1);
    more
}

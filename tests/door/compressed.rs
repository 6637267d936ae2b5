//! `ssh -C`: compressed once somebody has signed in, and not before.

use harness::{Engine, River};

use crate::raw::Raw;
use crate::{fresh, is_sound, say};

/// Bytes that no compression makes fewer, then bytes that all do.
fn mixed() -> Vec<u8> {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_be_bytes()
    })
    .take(256 << 10)
    .flatten()
    .collect();
    bytes.extend("river\n".repeat(1 << 20).bytes());
    bytes
}

/// What ssh says at its end: raw and compressed bytes of that direction.
fn ratio(told: &str, direction: &str) -> (u64, u64) {
    let start = format!("compress {direction}: raw data ");
    let line = told.lines().find_map(|line| line.split_once(&start));
    let mut numbers = line
        .unwrap()
        .1
        .split([',', ' '])
        .filter_map(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn ssh_with_compression_has_it_and_every_byte_comes_also_over_new_keys() {
    let river = River::start(Engine::Process, 2);
    river.admin.ssh("vps create --name lab").good();
    let sent = mixed();
    for (compression, keys) in [
        ("-C", "-oRekeyLimit=1G"),
        ("-oCompression=yes", "-oRekeyLimit=1M"),
    ] {
        let words = ["-T", "-v", compression, keys, "-l", "lab"];
        let run = river.admin.run_with(&words, "cat", &sent);
        let told = run.stderr;
        assert_eq!(run.code, 0, "{told}");
        assert!(run.stdout == sent, "{} bytes", run.stdout.len());
        let agreed = told.matches("compression: zlib@openssh.com").count();
        if keys == "-oRekeyLimit=1M" {
            assert!(agreed > 4, "{told}");
            continue;
        }
        // Both ways once. What ssh counts, it counts from the newest keys on.
        assert_eq!(agreed, 2, "{told}");
        for direction in ["outgoing", "incoming"] {
            let (raw, packed) = ratio(&told, direction);
            assert!(
                raw > 8 << 20 && packed < raw / 2,
                "{direction}: {raw}, {packed}"
            );
        }
    }
    let shell = river.admin.run(&["-T", "-C"], "version").good();
    assert!(shell.contains("river 0"));
    is_sound(&river);
}

/// Before somebody has signed in, anybody could send a bomb.
#[test]
fn who_would_compress_before_signing_in_finds_nothing_in_common() {
    let river = River::gateway_alone("login_grace = 120\n");
    let mut raw = Raw::connect(river.port, fresh());
    raw.ident().unwrap();
    let (exchange, cipher) = ("curve25519-sha256", "aes128-gcm@openssh.com");
    raw.send(&say::kexinit_packed(exchange, cipher, "zlib"))
        .unwrap();
    let theirs = raw.read_until(say::KEXINIT).unwrap();
    let offers = |name: &str| {
        theirs
            .windows(name.len())
            .any(|part| part == name.as_bytes())
    };
    assert!(offers("none,zlib@openssh.com") && !offers("zlib,"));
    // Long before it is cut for its slowness.
    raw.gone();
    is_sound(&river);
}

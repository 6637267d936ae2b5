//! What is said to `river-forward` on its command line.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Parser;

/// Brings a UDP port of a box to this machine, by ssh, as `ssh -L` does for TCP.
#[derive(Parser)]
#[command(
    name = "river-forward",
    version,
    after_help = "Examples:\n  river-forward river lab 5353\n  river-forward -l 9000 -o ServerAliveInterval=15 alice@river.example vps-42 5353\n\nOne line says that it is open: udp 127.0.0.1:5353 -> lab:5353. It ends with its ssh, and with the code of\nthat: 1 failed, 2 usage, 3 no such box, 4 not yours, 75 try again, 255 no connection.\nA program that says and hears nothing for five minutes is forgotten, and 256 are remembered at once.\nWhat comes faster than ssh carries it is dropped, and counted on standard error."
)]
pub struct Flags {
    /// Port on this machine, 0: any that is free; else the same as in the box
    #[arg(short, long, value_name = "PORT")]
    pub local: Option<u16>,
    /// Address of this machine to listen on; what is not loopback is open to others
    #[arg(short = 'H', long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = address)]
    pub host: IpAddr,
    /// An option of ssh, as in ssh_config(5); repeatable
    #[arg(short, value_name = "OPTION")]
    pub option: Vec<String>,
    /// ssh's configuration, instead of ~/.ssh/config
    #[arg(short = 'F', value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The gateway as ssh knows it: [USER@]HOST, or ssh://[USER@]HOST[:PORT]
    #[arg(value_name = "GATEWAY")]
    pub gateway: String,
    /// A box or a running task: its name or number
    #[arg(value_name = "BOX", value_parser = place)]
    pub place: String,
    /// Port in the box
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
}

fn address(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        _ => text
            .parse()
            .map_err(|_| "an address is such as 127.0.0.1 or ::1".to_owned()),
    }
}

/// It becomes a word of a line at the gateway.
fn place(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let good = (1..=64).contains(&text.len()) && text.bytes().all(plain);
    if good && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    Err("a box is such as lab, 42, vps-42 or task-17".to_owned())
}

impl Flags {
    /// The words after `ssh`.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["-T".into()];
        if let Some(config) = &self.config {
            words.extend(["-F".into(), config.into()]);
        }
        for option in &self.option {
            words.extend(["-o".into(), option.into()]);
        }
        // Whatever the host is called, it is no option.
        words.extend(["--".into(), (&self.gateway).into()]);
        let port = self.port.to_string();
        let line = ["forward", &self.place, &port, "--proto", "udp", "--stdio"];
        words.extend(line.map(OsString::from));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<String, String> {
        let flags = Flags::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        let words = flags.words();
        Ok(words.join(" ".as_ref()).into_string().unwrap())
    }

    #[test]
    fn the_gateway_hears_one_line_and_ssh_its_options() {
        let line = "river-forward -l 0 -F /c -o A=1 -o B=2 alice@river lab 5353";
        let wanted = "-T -F /c -o A=1 -o B=2 -- alice@river forward lab 5353 --proto udp --stdio";
        assert_eq!(words(line).unwrap(), wanted);
        let hosts = words("river-forward -H localhost -- -oProxyCommand=x lab 1");
        assert!(hosts.unwrap().starts_with("-T -- -oProxyCommand=x forward"));
    }

    #[test]
    fn what_is_no_box_no_port_and_no_address_is_named() {
        for (line, why) in [
            ("river-forward river lab;id 1", "a box is such as"),
            ("river-forward river -- --stdio 1", "a box is such as"),
            ("river-forward river lab 0", "not in 1..=65535"),
            ("river-forward -l 65536 river lab 1", "65536"),
            ("river-forward -H here river lab 1", "an address is"),
            ("river-forward river lab", "PORT"),
        ] {
            let said = words(line).unwrap_err();
            assert!(said.contains(why), "{line}: {said}");
        }
    }
}

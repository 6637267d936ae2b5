//! paramiko and asyncssh.

use super::{Lab, program};

const PARAMIKO: &str = r#"
import hashlib, os, sys, paramiko
port, key, data = int(sys.argv[1]), sys.argv[2], sys.argv[3]
c = paramiko.SSHClient()
c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect("127.0.0.1", port, "lab", key_filename=key, look_for_keys=False, allow_agent=False)
i, o, e = c.exec_command("echo out; echo err >&2; exit 7")
assert o.read() == b"out\n" and e.read() == b"err\n" and o.channel.recv_exit_status() == 7
s = c.open_sftp()
s.put(data, "/tmp/p")
s.get("/tmp/p", data + ".back")
assert open(data, "rb").read() == open(data + ".back", "rb").read()
assert "p" in s.listdir("/tmp") and s.stat("/tmp/p").st_size == os.path.getsize(data)
s.posix_rename("/tmp/p", "/tmp/q"); s.remove("/tmp/q")
try:
    s.stat("/tmp/q"); assert False
except FileNotFoundError: pass
t = c.invoke_shell(width=100, height=40)
t.send("stty size; exit 3\n")
seen = b""
while not t.closed:
    more = t.recv(4096)
    if not more: break
    seen += more
assert b"40 100" in seen, seen
assert t.recv_exit_status() == 3
c.exec_command("(echo inside | nc -l -p 8081) > /dev/null 2>&1 < /dev/null &")[1].channel.recv_exit_status()
for _ in range(100):
    try:
        d = c.get_transport().open_channel("direct-tcpip", ("localhost", 8081), ("127.0.0.1", 1))
    except paramiko.ChannelException:
        continue
    break
assert d.makefile().read() == b"inside\n"
i, o, e = c.exec_command("sha256sum")
i.write(open(data, "rb").read()); i.channel.shutdown_write()
assert o.read().split()[0].decode() == hashlib.sha256(open(data, "rb").read()).hexdigest()
print("good")
"#;

const ASYNCSSH: &str = r#"
import asyncio, sys, asyncssh
port, key, data = int(sys.argv[1]), sys.argv[2], sys.argv[3]
async def main():
    async with asyncssh.connect("127.0.0.1", port, username="lab", client_keys=[key], known_hosts=None) as c:
        r = await c.run("echo out; echo err >&2; exit 7")
        assert (r.stdout, r.stderr, r.exit_status) == ("out\n", "err\n", 7), r
        many = await asyncio.gather(*[c.run(f"echo {n}") for n in range(20)])
        assert [m.stdout for m in many] == [f"{n}\n" for n in range(20)]
        r = await c.run("kill -TERM $$")
        assert r.exit_signal and r.exit_signal[0] == "TERM", r.exit_signal
        async with c.start_sftp_client() as s:
            await s.put(data, "/tmp/a"); await s.get("/tmp/a", data + ".back")
            assert open(data, "rb").read() == open(data + ".back", "rb").read()
            assert "a" in await s.listdir("/tmp")
        blob = open(data, "rb").read()
        r = await c.run("cat", input=blob, encoding=None)
        assert r.stdout == blob
        l = await c.forward_remote_port("", 0, "127.0.0.1", 1)
        assert l.get_port() > 0
        l.close()
    print("good")
asyncio.run(main())
"#;

fn script(text: &str) {
    let lab = Lab::new();
    let (data, _) = lab.noise("noise", 12 << 20);
    let key = lab.text("alice_key");
    // Debian's own, which has Debian's packages.
    let words = ["-W", "ignore", "-c", text, &lab.port(), &key, &data];
    let run = program("/usr/bin/python3", &words);
    assert_eq!(
        (run.code, run.text().as_str()),
        (0, "good\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn paramiko() {
    script(PARAMIKO);
}

#[test]
fn asyncssh() {
    script(ASYNCSSH);
}

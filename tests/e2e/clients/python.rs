//! paramiko and asyncssh.

use std::process::{Command, Stdio};

use harness::Run;

use super::Lab;

const PARAMIKO: &str = r#"
import hashlib, os, sys, paramiko
port, key, data, version = int(sys.argv[1]), *sys.argv[2:]
assert paramiko.__version__.startswith(version), paramiko.__version__
c = paramiko.SSHClient()
c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
c.connect("127.0.0.1", port, "lab", key_filename=key, look_for_keys=False, allow_agent=False)
i, o, e = c.exec_command("echo out; echo err >&2; exit 7")
assert o.read() == b"out\n" and e.read() == b"err\n" and o.channel.recv_exit_status() == 7
i, o, e = c.exec_command("kill -TERM $$")
assert o.channel.recv_exit_status() == -1
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
seen = b""
def sees(text):
    global seen
    while text not in seen:
        more = t.recv(4096)
        assert more, seen
        seen += more
t.send("stty size\n")
sees(b"40 100")
t.resize_pty(width=120, height=50)
t.send("until [ \"$(stty size)\" = '50 120' ]; do sleep 1; done; echo it is $((1+1))\n")
sees(b"it is 2")
t.send("exit 3\n")
assert t.recv_exit_status() == 3
c.exec_command("(echo inside | nc -l -p 8081) > /dev/null 2>&1 < /dev/null &")[1].channel.recv_exit_status()
for _ in range(100):
    try:
        d = c.get_transport().open_channel("direct-tcpip", ("localhost", 8081), ("127.0.0.1", 1))
    except paramiko.ChannelException:
        continue
    break
assert d.makefile().read() == b"inside\n"
for n in range(20):
    i, o, e = c.exec_command(f"cat > /tmp/early.{n}")
    i.channel.sendall(b"x" * 300000); i.channel.close()
c.exec_command("nc -l -p 8082 > /tmp/early.tcp 2> /dev/null < /dev/null &")[1].channel.recv_exit_status()
for _ in range(100):
    try:
        d = c.get_transport().open_channel("direct-tcpip", ("localhost", 8082), ("127.0.0.1", 1))
    except paramiko.ChannelException:
        continue
    break
d.sendall(b"x" * 300000); d.close()
wait = "for i in $(seq 600); do n=$(cat /tmp/early.* | wc -c); test $n = 6300000 && exit; sleep 0.1; done; ls -l /tmp/early.*"
late = c.exec_command(wait)[1].read().decode()
assert late == "", "sent before a close, and not arrived: " + late
h = hashlib.sha256(open(data, "rb").read()).hexdigest()
c.get_transport().renegotiate_keys()
i, o, e = c.exec_command("cat > /root/b; cat /root/b")
i.write(open(data, "rb").read()); i.channel.shutdown_write()
c.get_transport().renegotiate_keys()
assert hashlib.sha256(o.read()).hexdigest() == h
assert c.exec_command("sha256sum /root/b")[1].read().split()[0].decode() == h
print("good")
"#;

const ASYNCSSH: &str = r#"
import asyncio, hashlib, sys, asyncssh
port, key, data, version, rekey = int(sys.argv[1]), *sys.argv[2:]
rekey = int(rekey.split()[0]) << {"MiB": 20, "GiB": 30}[rekey.split()[1]]
assert asyncssh.__version__.startswith(version), asyncssh.__version__
async def main():
    async with asyncssh.connect("127.0.0.1", port, username="lab", client_keys=[key], known_hosts=None, rekey_bytes=rekey) as c:
        r = await c.run("echo out; echo err >&2; exit 7")
        assert (r.stdout, r.stderr, r.exit_status) == ("out\n", "err\n", 7), r
        many = await asyncio.gather(*[c.run(f"echo {n}") for n in range(20)])
        assert [m.stdout for m in many] == [f"{n}\n" for n in range(20)]
        r = await c.run("kill -TERM $$")
        assert r.exit_signal and r.exit_signal[0] == "TERM", r.exit_signal
        async with c.create_process("echo ready; exec sleep 600") as p:
            assert await p.stdout.readline() == "ready\n"
            p.send_signal("TERM")
            r = await p.wait()
            assert r.exit_signal[0] == "TERM", r
        async with c.create_process(term_type="xterm", term_size=(100, 40)) as p:
            p.stdin.write("stty size\n")
            assert "40 100" in await p.stdout.readuntil("40 100")
            p.change_terminal_size(120, 50)
            p.stdin.write("until [ \"$(stty size)\" = '50 120' ]; do sleep 1; done; echo it is $((1+1))\n")
            await p.stdout.readuntil("it is 2")
            p.stdin.write("exit 3\n")
            assert (await p.wait()).exit_status == 3
        async with c.start_sftp_client() as s:
            await s.put(data, "/tmp/a"); await s.get("/tmp/a", data + ".back")
            assert open(data, "rb").read() == open(data + ".back", "rb").read()
            assert "a" in await s.listdir("/tmp")
        blob = open(data, "rb").read()
        h = hashlib.sha256(blob).hexdigest()
        r = await c.run("cat > /root/b; cat /root/b", input=blob, encoding=None)
        assert hashlib.sha256(r.stdout).hexdigest() == h
        assert (await c.run("sha256sum /root/b")).stdout.split()[0] == h
        await c.run("(while :; do echo inside | nc -l -p 8081; done) > /dev/null 2>&1 < /dev/null &")
        l = await c.forward_local_port("127.0.0.1", 0, "localhost", 8081)
        said = b""
        while said != b"inside\n":
            reader, writer = await asyncio.open_connection("127.0.0.1", l.get_port())
            said = await reader.read()
            writer.close()
        l.close()
        l = await c.forward_remote_port("", 0, "127.0.0.1", 1)
        assert l.get_port() > 0
        l.close()
    print("good")
asyncio.run(main())
"#;

/// Of Debian, or newer ones that `scripts/clients.sh` got.
fn script(text: &str, more: &[&str], newer: bool) {
    let lab = Lab::new();
    let (data, _) = lab.big();
    let mut python = Command::new("/usr/bin/python3");
    python
        .args([
            "-W",
            "ignore",
            "-c",
            text,
            &lab.port(),
            &lab.text("alice_key"),
            &data,
        ])
        .args(more)
        .stdin(Stdio::null());
    if newer {
        python.env("PYTHONPATH", super::cache("python"));
    }
    let run: Run = python.output().unwrap().into();
    assert_eq!(
        (run.code, run.text().as_str()),
        (0, "good\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn paramiko() {
    script(PARAMIKO, &["2.12"], false);
}

#[test]
fn a_newer_paramiko() {
    script(PARAMIKO, &["5.1"], true);
}

#[test]
fn asyncssh() {
    script(ASYNCSSH, &["2.10", "1 GiB"], false);
}

/// The one of Debian 12 goes on sending after it has asked for new keys, which RFC 4253, 9 forbids.
#[test]
fn a_newer_asyncssh_with_new_keys_on_the_way() {
    script(ASYNCSSH, &["2.24", "8 MiB"], true);
}

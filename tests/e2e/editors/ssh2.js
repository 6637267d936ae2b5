// On the laptop, as open-remote-ssh: words PORT KEY BOOTSTRAP. The setup script goes in one exec, its answer names the
// server, and every connection of the editor is a stream of the one SSH connection.
const assert = require("assert"), crypto = require("crypto"), fs = require("fs"), http = require("http");
const WebSocket = require("ws"), { Client } = require("ssh2");
const [port, key, bootstrap] = process.argv.slice(1);
const BYTES = 10_000_000;
const asked = (ask) => new Promise((good, bad) => ask((error, value) => (error ? bad(error) : good(value))));

function connect() {
  const client = new Client();
  return new Promise((good, bad) => {
    client.on("ready", () => good(client)).on("error", bad);
    client.connect({ host: "127.0.0.1", port: +port, username: "lab", privateKey: fs.readFileSync(key) });
  });
}

async function set_up(client) {
  const stream = await asked((done) => client.exec("bash -s", done));
  stream.end(fs.readFileSync(bootstrap));
  let said = "";
  for await (const bytes of stream) {
    said += bytes;
    if (said.includes("== end")) break;
  }
  return /listeningOn==(\d+)==/.exec(said)[1];
}

function agent(client) {
  const agent = new http.Agent();
  agent.createConnection = (options, done) => {
    client.forwardOut("127.0.0.1", 0, "127.0.0.1", options.port, (error, stream) => {
      // What a socket has, and http asks for.
      for (const name of stream ? ["setKeepAlive", "setNoDelay", "setTimeout", "ref", "unref"] : []) stream[name] ??= () => stream;
      done(error, stream);
    });
  };
  return agent;
}

const page = (client, port) => new Promise((good, bad) => {
  const ask = (path) => http.get({ agent: agent(client), host: "127.0.0.1", port, path }, (answer) => {
    answer.resume();
    const { statusCode, headers } = answer;
    if (statusCode === 302) ask(new URL(headers.location, `http://127.0.0.1:${port}${path}`).pathname);
    else good(statusCode);
  }).on("error", bad);
  ask("/");
});

const round = (client) => new Promise((good, bad) => {
  const ws = new WebSocket("ws://127.0.0.1:8124/", { agent: agent(client) });
  const sent = crypto.createHash("sha256"), got = crypto.createHash("sha256");
  let out = 0, back = 0;
  const push = () => {
    while (out < BYTES && ws.bufferedAmount < 1 << 20) {
      const piece = crypto.randomBytes(Math.min(65536, BYTES - out));
      sent.update(piece);
      out += piece.length;
      ws.send(piece, push);
    }
  };
  ws.on("open", push).on("error", bad);
  ws.on("message", (data) => {
    got.update(data);
    back += data.length;
    if (back < BYTES) return;
    assert.strictEqual(sent.digest("hex"), got.digest("hex"));
    ws.terminate();
    good();
  });
});

async function main() {
  const client = await connect();
  const port = await set_up(client);
  assert.strictEqual(await page(client, port), 200);
  await Promise.all([round(client), round(client), round(client)]);
  client.end();
  console.log("good");
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });

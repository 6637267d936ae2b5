// On the laptop: BYTES of noise through a websocket at PORT and back, by SOCKS if that is not 0. With `stop` it
// stops itself on the way, as a laptop that sleeps.
const crypto = require("crypto"), http = require("http"), net = require("net"), WebSocket = require("ws");
const [socks, port, bytes, stop] = process.argv.slice(1);

// RFC 1928: no authentication; connect to 127.0.0.1.
function dial(options, done) {
  if (socks === "0") return net.connect(+port, "127.0.0.1");
  const socket = net.connect(+socks, "127.0.0.1");
  socket.write(Buffer.from([5, 1, 0]));
  socket.once("data", () => {
    socket.write(Buffer.from([5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255]));
    socket.once("data", (answer) => (answer[1] === 0 ? done(null, socket) : done(new Error("SOCKS " + answer[1]))));
  });
}
const agent = new http.Agent();
agent.createConnection = dial;
const ws = new WebSocket(`ws://127.0.0.1:${port}/`, { agent });
const sent = crypto.createHash("sha256"), got = crypto.createHash("sha256");
let out = 0, back = 0, stopped = stop !== "stop";
function push() {
  while (out < bytes && ws.bufferedAmount < 1 << 20) {
    const piece = crypto.randomBytes(Math.min(65536, bytes - out));
    sent.update(piece);
    out += piece.length;
    ws.send(piece, push);
  }
}
ws.on("open", push);
ws.on("message", (data) => {
  got.update(data);
  back += data.length;
  if (!stopped && back > 1 << 20) {
    stopped = true;
    process.kill(process.pid, "SIGSTOP");
  }
  if (back >= bytes) {
    console.log(sent.digest("hex") === got.digest("hex") ? "good" : "not what was sent");
    process.exit(0);
  }
});
ws.on("close", () => (console.log("cut"), process.exit(1)));

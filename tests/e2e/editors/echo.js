// In the box: gives back what comes by websocket, at a port and at a socket.
const http = require("http"), { WebSocketServer } = require("ws");
for (const place of process.argv.slice(2)) {
  const server = http.createServer();
  new WebSocketServer({ server }).on("connection", (ws) => {
    ws.on("message", (data) => {
      ws.send(data, () => ws.bufferedAmount < 1 << 20 && ws.resume());
      // Who reads nothing is read no more.
      if (ws.bufferedAmount > 4 << 20) ws.pause();
    });
  });
  server.listen(/^\d+$/.test(place) ? { port: +place, host: "127.0.0.1" } : place);
}

// In the box: answers each message on its standard input with its sum, and speaks unasked in between. A message is
// its length, 4 bytes, the lowest first, and then its bytes.
const crypto = require("crypto");
let buffer = Buffer.alloc(0), heard = 0;
function say(bytes) {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(bytes.length);
  process.stdout.write(Buffer.concat([head, bytes]));
}
process.stdin.on("data", (bytes) => {
  buffer = Buffer.concat([buffer, bytes]);
  while (buffer.length >= 4 && buffer.length >= 4 + buffer.readUInt32LE()) {
    const end = 4 + buffer.readUInt32LE();
    say(Buffer.from(crypto.createHash("sha256").update(buffer.subarray(4, end)).digest("hex")));
    buffer = buffer.subarray(end);
    heard += 1;
  }
});
const unasked = setInterval(() => say(crypto.randomBytes(50_000)), 5);
process.stdin.on("end", () => {
  clearInterval(unasked);
  console.error(`heard ${heard}`);
});

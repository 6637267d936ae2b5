// npm's ssh2 against a box: words PORT KEY FILE.
'use strict';
const assert = require('assert');
const crypto = require('crypto');
const fs = require('fs');
const { Client } = require('ssh2');

const [port, key, data] = process.argv.slice(1);
const sum = (bytes) => crypto.createHash('sha256').update(bytes).digest('hex');
// Its calls end with a callback.
const asked = (ask) => new Promise((good, bad) => ask((error, value) => (error ? bad(error) : good(value))));

function connect() {
  const client = new Client();
  return new Promise((good, bad) => {
    client.on('ready', () => good(client)).on('error', bad);
    // Else it asks nobody but a server named OpenSSH for Unix sockets.
    client.connect({ strictVendor: false, host: '127.0.0.1', port: Number(port), username: 'lab', privateKey: fs.readFileSync(key) });
  });
}

function ended(stream) {
  const out = [], err = [];
  let code, signal;
  stream.on('data', (bytes) => out.push(bytes));
  stream.stderr.on('data', (bytes) => err.push(bytes));
  stream.on('exit', (number, name) => { code = number; signal = name; });
  return new Promise((good) => stream.on('close', () => {
    good({ out: Buffer.concat(out), err: String(Buffer.concat(err)), code, signal });
  }));
}

async function run(client, line, options = {}) {
  const stream = await asked((done) => client.exec(line, options, done));
  const end = ended(stream);
  if (options.input) stream.end(options.input);
  return end;
}

function seen(stream, text) {
  let all = '';
  return new Promise((good) => stream.on('data', function look(bytes) {
    all += bytes;
    if (all.includes(text)) { stream.removeListener('data', look); good(all); }
  }));
}

async function programs(client) {
  const end = await run(client, 'echo out; echo err >&2; exit 7');
  assert.deepStrictEqual([String(end.out), end.err, end.code], ['out\n', 'err\n', 7]);
  assert.strictEqual((await run(client, 'kill -TERM $$')).signal, 'SIGTERM');
  const told = await run(client, 'echo $LC_ALL', { env: { LC_ALL: 'C.UTF-8' } });
  assert.strictEqual(String(told.out), 'C.UTF-8\n');
  const sleep = await asked((done) => client.exec('echo ready; exec sleep 600', done));
  const over = ended(sleep);
  await seen(sleep, 'ready');
  sleep.signal('TERM');
  assert.strictEqual((await over).signal, 'SIGTERM');
}

async function terminal(client) {
  const shell = await asked((done) => client.shell({ rows: 40, cols: 100, term: 'xterm' }, done));
  const over = ended(shell);
  shell.write('stty size; echo $TERM\n');
  await seen(shell, '40 100');
  shell.setWindow(50, 120, 0, 0);
  shell.write("until [ \"$(stty size)\" = '50 120' ]; do sleep 1; done; echo it is $((1+1))\n");
  await seen(shell, 'it is 2');
  shell.write('exit 3\n');
  assert.strictEqual((await over).code, 3);
}

async function files(client, bytes) {
  const sftp = await asked((done) => client.sftp(done));
  await asked((done) => sftp.fastPut(data, '/root/a', done));
  await asked((done) => sftp.fastGet('/root/a', data + '.back', done));
  assert.strictEqual(sum(fs.readFileSync(data + '.back')), sum(bytes));
  await asked((done) => sftp.ext_openssh_rename('/root/a', '/root/b', done));
  const names = await asked((done) => sftp.readdir('/root', done));
  assert(names.some((entry) => entry.filename === 'b'));
  assert.strictEqual((await asked((done) => sftp.stat('/root/b', done))).size, bytes.length);
  await assert.rejects(asked((done) => sftp.stat('/root/a', done)), /No such file/);
  sftp.end();
  assert((await run(client, 'sha256sum < /root/b')).out.includes(sum(bytes)));
}

// As its server side does it: the client side of this version documents rekey() and has none.
const renewed = (client) => new Promise((good) => {
  client.once('handshake', good);
  client._protocol.rekey();
});

async function pipes(client, bytes) {
  const put = run(client, 'cat > /root/c; sha256sum < /root/c', { input: bytes });
  // New keys, while they are on their way.
  await renewed(client);
  assert((await put).out.includes(sum(bytes)));
  const got = run(client, 'cat /root/c');
  await renewed(client);
  assert.strictEqual(sum((await got).out), sum(bytes));
}

async function forwards(client) {
  await run(client, '(while :; do echo inside | nc -l -p 8081; done) > /dev/null 2>&1 < /dev/null &');
  let stream;
  while (!stream) {
    stream = await asked((done) => client.forwardOut('', 0, 'localhost', 8081, done)).catch(() => null);
  }
  await seen(stream, 'inside\n');
  client.on('tcp connection', (_, accept) => accept().end('outside\n'));
  const there = await asked((done) => client.forwardIn('localhost', 0, done));
  assert.strictEqual(String((await run(client, `nc 127.0.0.1 ${there} < /dev/null`)).out), 'outside\n');
  client.on('unix connection', (_, accept) => accept().end('outside\n'));
  await asked((done) => client.openssh_forwardInStreamLocal('/tmp/n.sock', done));
  const round = await asked((done) => client.openssh_forwardOutStreamLocal('/tmp/n.sock', done));
  await seen(round, 'outside\n');
}

async function main() {
  const bytes = fs.readFileSync(data);
  const client = await connect();
  await programs(client);
  await terminal(client);
  await files(client, bytes);
  await pipes(client, bytes);
  await forwards(client);
  const many = await Promise.all([...Array(30).keys()].map((n) => run(client, `echo ${n}; exit ${n}`)));
  many.forEach((end, n) => assert.deepStrictEqual([String(end.out), end.code], [`${n}\n`, n]));
  client.end();
  console.log('good');
}

main().catch((error) => { console.error(error); process.exit(1); });

import { execFileSync, spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { SshTarget } from '../../../src/manifest/target.ts';
import { type Connections, openConnections } from '../../../src/target/ssh/connections.ts';
import { until } from '../../support/until.ts';
import { HOSTILE } from '../hosts/hostile.ts';
import { keygen, noSshd, signalAll, startHosts, type TestHosts } from './hosts.ts';

const { signal } = new AbortController();
const options = { timeoutMs: 30_000, signal };
const real = { skip: noSshd, timeout: 400_000 };

function open(t: Test, ssh: SshTarget): Connections {
  const connections = openConnections({ ssh });
  t.teardown(() => connections.close());
  return connections;
}
const hello = (connections: Connections, host = 'web-1') => connections.shell(host).sh('echo hello', [], options);

test('values arrive as they are, and no shell there reads them', real, async (t) => {
  const { ssh, hosts } = await startHosts(t, { names: ['web-1'] });
  const shell = open(t, ssh).shell('web-1');
  for (const alone of [false, true]) {
    const { stdout, code } = await shell.sh('printf "%s\\0" "$@"; cat', HOSTILE, { ...options, alone });
    t.equal(code, 0);
    t.same(stdout.split('\0'), [...HOSTILE, '']);
  }
  t.same(await shell.sh('echo no >&2; exit 7', [], options), { code: 7, stdout: '', stderr: 'no\n' });
  t.equal((await shell.sh('cd; pwd', [], options)).stdout.trim(), hosts[0]?.home);
  t.notOk(existsSync(join(hosts[0]?.home ?? '', 'pwned')));
});

test('one connection serves everything, with no more channels at once than the server takes', real, async (t) => {
  for (const config of [[], ['MaxSessions 2']]) {
    const { ssh, hosts } = await startHosts(t, { names: ['web-1'], config });
    const shell = open(t, ssh).shell('web-1');
    const all = Array.from({ length: 40 }, (_, n) => shell.sh('sleep 0.02; echo "$1"', [String(n)], options));
    t.same(
      (await Promise.all(all)).map(({ stdout }) => Number(stdout)),
      Array.from({ length: 40 }, (_, n) => n),
    );
    t.equal(hosts[0]?.line.connections(), 1);
  }
});

test('an unknown key is refused with its fingerprint, the file and what to do', real, async (t) => {
  const { ssh, known, root, hosts } = await startHosts(t, { names: ['web-1'] });
  await known(['# nothing', 'garbage']);
  const shown = execFileSync('ssh-keygen', ['-lf', join(root, 'web-1/ed25519.pub')]).toString();
  const [, print = ''] = /(SHA256:\S+)/.exec(shown) ?? [];
  const wrong: Error = await hello(open(t, ssh)).then(
    () => new Error('it was let in'),
    (error) => error,
  );
  t.match(wrong.message, print);
  t.match(wrong.message, ssh.knownHostsFile);
  t.match(wrong.message, `ssh-keyscan -p ${hosts[0]?.port} 127.0.0.1`);
  await t.rejects(hello(open(t, { ...ssh, knownHostsFile: join(root, 'none') })), /has no key for it/);
});

test('a key that changed is refused with both fingerprints; a revoked one too', real, async (t) => {
  const { ssh, known, hosts, root } = await startHosts(t, { names: ['web-1', 'web-2'] });
  const [one, two] = hosts;
  await known([`[127.0.0.1]:${one?.port} ${two?.keys()[0]}`]);
  await t.rejects(hello(open(t, ssh)), /SHA256:\S+, but line 1 of .*SHA256:.*somebody may be in between/);
  keygen(join(root, 'other'), 'rsa');
  const rsa = execFileSync('ssh-keygen', ['-y', '-f', join(root, 'other')]).toString();
  await known([`[127.0.0.1]:${one?.port} ${rsa}`]);
  await t.rejects(hello(open(t, ssh)), /no key of a type that knownHostsFile has for it \(ssh-rsa\)/);
  const right = `[127.0.0.1]:${one?.port} ${one?.keys()[0]}`;
  await known([right, `@revoked ${right}`]);
  await t.rejects(hello(open(t, ssh)), /line 2 of .* revokes/);
  await known([right]);
  t.equal((await hello(open(t, ssh))).stdout, 'hello\n');
});

test('whichever type of key the file has is asked for; names may be hashed, listed or patterns', real, async (t) => {
  const { ssh, known, hosts } = await startHosts(t, { names: ['web-1'], keyTypes: ['ed25519', 'rsa', 'ecdsa'] });
  const [host] = hosts;
  const name = `[127.0.0.1]:${host?.port}`;
  const salt = randomBytes(20);
  const hashed = createHmac('sha1', salt).update(name).digest('base64');
  const names = [name, `|1|${salt.toString('base64')}|${hashed}`, `other,${name}`, `[127.0.*]:${host?.port}`];
  for (const written of names) {
    for (const key of host?.keys() ?? []) {
      await known([`${written} ${key}`]);
      t.equal((await hello(open(t, ssh))).stdout, 'hello\n', `${written} ${key.slice(0, 20)}`);
    }
  }
  await known([`[127.0.*]:${host?.port},!${name} ${host?.keys()[0]}`, `127.0.0.1 ${host?.keys()[0]}`]);
  await t.rejects(hello(open(t, ssh)), /has no key for it/);
});

test('keys come from a file or from the agent', real, async (t) => {
  const { ssh, root } = await startHosts(t, { names: ['web-1'] });
  const socket = join(root, 'agent');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  const before = process.env.SSH_AUTH_SOCK;
  t.teardown(() => {
    agent.kill();
    if (before === undefined) delete process.env.SSH_AUTH_SOCK;
    else process.env.SSH_AUTH_SOCK = before;
  });
  await until('the agent is there', () => existsSync(socket));
  process.env.SSH_AUTH_SOCK = socket;
  const byAgent = { ...ssh, key: { agent: true as const } };
  await t.rejects(hello(open(t, byAgent)), /no key of the agent is accepted for user/);
  execFileSync('ssh-add', ['-q', join(root, 'user')], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
  t.equal((await hello(open(t, byAgent))).stdout, 'hello\n');
  delete process.env.SSH_AUTH_SOCK;
  await t.rejects(hello(open(t, byAgent)), /SSH_AUTH_SOCK is not set/);

  const file = (identityFile: string) => hello(open(t, { ...ssh, key: { identityFile } }));
  keygen(join(root, 'stranger'), 'ed25519');
  keygen(join(root, 'locked'), 'ed25519', 'a passphrase');
  await t.rejects(file(join(root, 'stranger')), /is not accepted for user .*authorized_keys/);
  await t.rejects(file(join(root, 'locked')), /protected by a passphrase; add it to an agent/);
  await t.rejects(file(join(root, 'none')), /cannot be read: ENOENT.*correct identityFile/);
  await t.rejects(file(join(root, 'authorized')), /cannot be used/);
});

test('hosts are reached through a jump host, whose key is verified too', real, async (t) => {
  const far = await startHosts(t, { names: ['web-1', 'web-2'] });
  const jump = await startHosts(t, { names: ['jump'] });
  const [gate] = jump.hosts;
  const lines = (those: TestHosts) => those.hosts.map((host) => `[127.0.0.1]:${host.port} ${host.keys()[0]}`);
  await far.known([...lines(far), ...lines(jump)]);
  execFileSync('cp', [join(far.root, 'authorized'), join(jump.root, 'authorized')]);
  const user = far.ssh.hosts[0]?.user ?? '';
  const ssh = { ...far.ssh, jump: { address: '127.0.0.1', port: gate?.port ?? 0, user } };
  const connections = open(t, ssh);
  await Promise.all([hello(connections), hello(connections, 'web-2')]);
  t.equal(gate?.line.connections(), 1);
  gate?.line.cut();
  await until('it is reached again', () =>
    hello(connections).then(
      () => true,
      () => false,
    ),
  );
  await far.known(lines(far));
  await t.rejects(hello(open(t, ssh)), new RegExp(`127.0.0.1\\]:${gate?.port} shows the .*has no key for it`));
});

test('a connection that is cut is an error for what was under way, and is opened again', real, async (t) => {
  const { ssh, hosts } = await startHosts(t, { names: ['web-1'] });
  const connections = open(t, ssh);
  const lost: string[] = [];
  connections.onLost((host) => lost.push(host));
  await hello(connections);
  const under = connections.shell('web-1').sh('sleep 60', [], options);
  const failed = t.rejects(under, /connection .*was lost/);
  await connections.shell('web-1').sh('true', [], options);
  hosts[0]?.line.cut();
  await failed;
  t.same(lost, ['web-1']);
  t.equal((await hello(connections)).stdout, 'hello\n');
});

test('a frozen peer is noticed, though nothing closes the connection', real, async (t) => {
  const { ssh, hosts } = await startHosts(t, { names: ['web-1'] });
  const connections = open(t, ssh);
  await hello(connections);
  const failed = t.rejects(
    connections.shell('web-1').sh('sleep 300', [], { ...options, timeoutMs: 280_000 }),
    /was lost/,
  );
  hosts[0]?.line.freeze();
  await failed;
  hosts[0]?.line.thaw();
  await until('it is reached again', () =>
    hello(connections).then(
      () => true,
      () => false,
    ),
  );
});

test('a server that stands still is noticed as well', real, async (t) => {
  const { ssh, hosts } = await startHosts(t, { names: ['web-1'] });
  const connections = open(t, ssh);
  await hello(connections);
  const sessions = hosts[0]?.sessions() ?? [];
  t.equal(sessions.length, 1);
  const late = { ...options, timeoutMs: 280_000 };
  const failed = t.rejects(connections.shell('web-1').sh('sleep 300', [], late), /was lost/);
  signalAll(sessions, 'SIGSTOP');
  await failed;
  t.equal((await hello(connections)).stdout, 'hello\n', 'another serves who comes now');
});

test('a shell that stays may be killed: another takes its place', real, async (t) => {
  const { ssh, hosts } = await startHosts(t, { names: ['web-1'] });
  const shell = open(t, ssh).shell('web-1');
  const { stdout } = await shell.sh('echo "$$"', [], options);
  t.equal((await shell.sh('echo "$$"', [], options)).stdout, stdout, 'it serves one step after the other');
  await t.rejects(shell.sh('kill -KILL "$$"', [], options), /connection to web-1 was lost/);
  t.not((await shell.sh('echo "$$"', [], options)).stdout, stdout);
  t.equal(hosts[0]?.line.connections(), 1);
});

test('what a step leaves of itself in a shell that stays is gone before the next', real, async (t) => {
  const { ssh } = await startHosts(t, { names: ['web-1'] });
  const shell = open(t, ssh).shell('web-1');
  const before = 'cd /; umask 0; left=1; echo() { printf other; }; exec 9>/dev/null; exit 5';
  t.equal((await shell.sh(before, [], options)).code, 5);
  const seen = 'pwd; umask; echo "<$left>"; [ -e /proc/self/fd/9 ] || echo closed';
  t.match((await shell.sh(seen, [], options)).stdout, /^\/.+\n(?!0000).*\n<>\nclosed\n$/);
});

test(
  'a host that is down is an error at once until it is tried again, and is reached when it is back',
  real,
  async (t) => {
    const { ssh, hosts } = await startHosts(t, { names: ['web-1', 'web-2'] });
    const connections = open(t, ssh);
    await hosts[0]?.stop();
    await t.rejects(hello(connections));
    const before = hosts[0]?.line.connections();
    await Promise.all(Array.from({ length: 20 }, () => t.rejects(hello(connections))));
    t.ok((hosts[0]?.line.connections() ?? 0) <= (before ?? 0) + 1, 'it is not tried twenty times');
    t.equal((await hello(connections, 'web-2')).stdout, 'hello\n', 'the others are not touched by it');
    await hosts[0]?.start();
    await until('it is reached again', () =>
      hello(connections).then(
        () => true,
        () => false,
      ),
    );
  },
);

test('what takes too long or is not wanted any more ends', real, async (t) => {
  const { ssh } = await startHosts(t, { names: ['web-1'] });
  const shell = open(t, ssh).shell('web-1');
  await t.rejects(shell.sh('sleep 60', [], { timeoutMs: 300, signal }), /no answer from web-1 within/);
  await t.rejects(shell.sh('sleep 60', [], { timeoutMs: 60_000, signal: AbortSignal.timeout(100) }), /timeout/);
  t.equal((await shell.sh('echo on', [], options)).stdout, 'on\n');
  t.throws(() => open(t, ssh).shell('web-9'), /no host web-9/);
});

/** Git on a bad day: answers that are refused, cut, late, damaged; nothing is lost, nothing doubled, and all is caught up with when it clears. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type BadNetwork, badNetwork, type WireFault } from '../support/bad-network.ts';
import { bareRepository, type Fault, git as gitIn, serveHttp, serveSsh } from '../support/git-servers.ts';
import { until } from '../support/until.ts';
import {
  clean,
  commit,
  git,
  logged,
  logs,
  type Place,
  place,
  type Running,
  remoteOperator,
  settled,
  status,
  workload,
} from './support.ts';

const SEED = Number(process.env.WILD_SEED ?? Math.floor(Date.now() / 86_400_000));
const COMMITS = Number(process.env.WILD_COMMITS ?? 4);
t.comment(`seed ${SEED}; WILD_SEED repeats it, WILD_COMMITS makes it longer`);
t.jobs = 2;
const BESIDE = { buffered: true };

/** Notes every start in a file beside the repository: one that was started twice under an attempt is in it twice. */
const noted = (version: string) => ({
  [`images/hello/${version}/image.yaml`]: 'command: [node, server.js]\n',
  [`images/hello/${version}/server.js`]: `
require('node:fs').appendFileSync(process.env.STARTS, process.env.SLUICE_ATTEMPT + '\\n');
const server = require('node:http').createServer((request, response) => response.end('${version}'));
server.listen(process.env.PORT, '127.0.0.1');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`,
});

let edition = 0;
/** Each time another revision: whatever was missed in between, the last one is new. */
const web = (at: { root: string }, tag: string) =>
  workload('web', `hello:${tag}`, 1).replace(
    'ports:',
    `env: [{name: STARTS, value: "${join(at.root, 'starts')}"}, {name: EDITION, value: "${edition++}"}], ports:`,
  );

interface Remote {
  at: Place;
  seen: Place;
  bare: string;
  push(tag: string): string;
}

async function remote(): Promise<Remote> {
  const at = await place({ ...noted('7'), ...noted('8') });
  commit(at, { 'web.yaml': web(at, '7') }, 'web 7');
  const bare = bareRepository(at.root, 'config.git');
  git(at.repo, 'remote', 'add', 'origin', bare);
  git(at.repo, 'push', '-q', '-u', 'origin', 'main');
  return {
    ...{ at, bare, seen: { ...at, repo: bare } },
    push(tag) {
      const made = commit(at, { 'web.yaml': web(at, tag) }, `web ${tag}`);
      git(at.repo, 'push', '-q');
      return made;
    },
  };
}

/** Of the numbers from 0 up to 1, the same for a seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function wireFault(random: () => number): WireFault | undefined {
  const bytes = Math.floor(random() * 3000);
  const faults: (WireFault | undefined)[] = [
    { kind: 'cut', after: bytes },
    { kind: 'cut', after: Math.floor(bytes / 10) },
    { kind: 'corrupt', at: bytes },
    { kind: 'delay', ms: bytes / 10 },
    undefined,
  ];
  return faults[Math.floor(random() * faults.length)];
}

function hostFault(random: () => number): Fault | undefined {
  const faults: (Fault | undefined)[] = [
    ...[401, 403, 429, 500, 502, 503].map((status): Fault => ({ kind: 'status', status })),
    { kind: 'status', status: 429, headers: { 'retry-after': '1' } },
    { kind: 'status', status: 403, headers: { 'retry-after': '1' } },
    { kind: 'half' },
    undefined,
    undefined,
  ];
  return faults[Math.floor(random() * faults.length)];
}

/** Everything that is promised of a repository whose operator has had such a day. */
async function checkRecord(t: Test, { at, bare }: Remote, rollouts: number, declared: string): Promise<void> {
  const now = status({ ...at, repo: bare }, 'Workload/web');
  t.equal(now.commit, declared, 'the newest commit is what runs');
  const tags = gitIn(bare, ['tag', '-l']).split('\n').filter(Boolean);
  const ids = (now.history ?? []).map((entry: { id: number }) => entry.id);
  t.equal(new Set(ids).size, ids.length, 'no rollout is in the history twice');
  for (const tag of tags) t.ok(Number(tag.split('/').at(-1)) <= rollouts, `${tag} is of a rollout that was`);
  t.equal(gitIn(bare, ['rev-parse', `sluice/workload/web/${rollouts}^{commit}`]), declared);
  t.same(gitIn(bare, ['fsck', '--strict', '--no-dangling']), '', 'what was pushed is whole');
  const written = gitIn(bare, ['log', '--format=%an%x20%P', 'refs/heads/sluice/status']).split('\n');
  t.same(
    written.filter((line) => !/^Sluice( [0-9a-f]*)?$/.test(line)),
    [],
    'the status is one line of commits',
  );
  const subjects = gitIn(bare, ['log', '--format=%s', 'refs/heads/sluice/status']).split('\n');
  const succeeded = subjects.filter((line) => /rollout \d+ succeeded/.test(line));
  t.equal(new Set(succeeded).size, succeeded.length, 'no success is told twice');
  const starts = existsSync(join(at.root, 'starts'))
    ? readFileSync(join(at.root, 'starts'), 'utf8').trim().split('\n')
    : [];
  t.equal(new Set(starts).size, starts.length, 'no attempt was started twice');
  const locks = () => execFileSync('find', [at.state, '-name', '*.lock'], { encoding: 'utf8' });
  await until('no lock is left', () => locks() === '');
}

/** A folder of programs without git. */
function pathWithoutGit(root: string): string {
  const folder = join(root, 'bin');
  mkdirSync(folder);
  symlinkSync(process.execPath, join(folder, 'node'));
  for (const program of ['sh', 'id']) symlinkSync(`/bin/${program}`, join(folder, program));
  return folder;
}

for (const transport of ['with the git program', 'without it']) {
  t.test(`over HTTP, ${transport}: faults of all kinds while commits go on`, BESIDE, async (t) => {
    const made = await remote();
    const { at, seen, push } = made;
    const server = await serveHttp(at.root);
    const network = await badNetwork(Number(new URL(server.url).port));
    const random = randomOf(SEED + transport.length);
    const env: Record<string, string> = transport === 'without it' ? { PATH: pathWithoutGit(at.root) } : {};
    const running = remoteOperator(at, `http://127.0.0.1:${network.port}/config.git`, env);
    t.teardown(async () => {
      await clean(at, running);
      await network.close();
      await server.close();
    });
    await settled(seen, 'Workload/web', 1);
    let declared = '';
    for (let round = 0; round < COMMITS; round++) {
      declared = push(round % 2 === 0 ? '8' : '7');
      for (let change = 0; change < 5; change++) {
        const fault = hostFault(random);
        server.fail(fault, () => random() < 0.5);
        network.weather(() => (random() < 0.3 ? wireFault(random) : undefined));
        await sleep(250);
      }
    }
    t.equal(running.process.exitCode, null);
    server.fail(undefined);
    network.weather(() => undefined);
    declared = push(COMMITS % 2 === 0 ? '8' : '7');
    const now = await until('it has caught up', () => {
      const found = status(seen, 'Workload/web');
      const isDone = found?.commit === declared && found.rollout?.phase === 'Succeeded' && found.health === 'Healthy';
      return isDone ? found : undefined;
    }).catch((error) => {
      throw new Error(`${error.message}; the log ends:\n${logged(running).slice(-20).join('\n')}`);
    });
    await checkRecord(t, made, now.rollout.id, declared);
    t.ok(
      logged(running).some((line) => line.startsWith('warn ')),
      'it said what it saw',
    );
    t.notOk(
      logged(running).some((line) => / at .*\.ts:\d+/.test(line)),
      'without a stack',
    );
  });
}

t.test('a host that limits requests is asked no sooner than it says', BESIDE, async (t) => {
  const made = await remote();
  const { at, seen, push } = made;
  const server = await serveHttp(at.root);
  const running = remoteOperator(at, `${server.url}/config.git`);
  t.teardown(async () => {
    await clean(at, running);
    await server.close();
  });
  await settled(seen, 'Workload/web', 1);
  server.fail({ kind: 'status', status: 429, headers: { 'retry-after': '4' } });
  const declared = push('8');
  await logs(running, /busy \(429\)/);
  const before = server.requests.length;
  await sleep(2500);
  t.equal(server.requests.length, before, 'nobody asks meanwhile: neither feed, nor publisher, nor heartbeat');
  server.fail(undefined);
  const now = await settled(seen, 'Workload/web', 2);
  t.equal(now.commit, declared);
});

t.test('a remote that fails between the questions of a start is waited for', BESIDE, async (t) => {
  const made = await remote();
  const { at, seen } = made;
  const server = await serveHttp(at.root);
  // At first; and, when the lease is taken, before the status could be read.
  const fails = { first: 1, afterLease: 2 };
  server.fail({ kind: 'status', status: 500 }, (request) => {
    if (request.includes('receive-pack')) return false;
    const isLeased = server.requests.some((earlier) => earlier.includes('receive-pack'));
    return fails[isLeased ? 'afterLease' : 'first']-- > 0;
  });
  const running = remoteOperator(at, `${server.url}/config.git`);
  t.teardown(async () => {
    await clean(at, running);
    await server.close();
  });
  await settled(seen, 'Workload/web', 1);
  t.equal(running.process.exitCode, null);
  t.equal(logged(running).filter((line) => /cannot be reached: .*500/.test(line)).length, 3, 'each is told');
});

t.test('over ssh: a connection that freezes is noticed, ended and made again', BESIDE, async (t) => {
  const server = await serveSsh();
  if (server === undefined) throw new Error('no sshd is installed: apt-get install openssh-server');
  const made = await remote();
  const { at, bare, seen, push } = made;
  const target = new URL(server.url(bare));
  const network: BadNetwork = await badNetwork(Number(target.port));
  target.port = String(network.port);
  // What ssh is given first counts: three seconds here instead of half a minute.
  const command = `${server.command} -o ServerAliveInterval=1 -o ServerAliveCountMax=3`;
  const running: Running = remoteOperator(at, target.href, { GIT_SSH_COMMAND: command });
  t.teardown(async () => {
    await clean(at, running);
    await network.close();
    await server.close();
  });
  await settled(seen, 'Workload/web', 1);
  const random = randomOf(SEED);
  let rollout = 1;
  // Before the first byte or in the key exchange; when the session is there, or in the middle of what it says.
  for (const after of [Math.floor(random() * 1500), 2600 + Math.floor(random() * 2000)]) {
    const before = logged(running).length;
    network.weather(() => ({ kind: 'freeze', after }));
    const declared = push(rollout % 2 === 1 ? '8' : '7');
    await until('it is told', () =>
      logged(running)
        .slice(before)
        .some((line) => /^warn .*127\.0\.0\.1/.test(line)),
    );
    network.weather(() => undefined);
    rollout++;
    t.equal((await settled(seen, 'Workload/web', rollout)).commit, declared, `frozen after ${after} bytes`);
  }
  await checkRecord(t, made, rollout, git(at.repo, 'rev-parse', 'HEAD'));
});

/** A fleet of real hosts behind a real HAProxy, from commits to servers that scripts restart, and back. */
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { openHaproxyRuntime, openUnixSocket } from '../../src/target/haproxy/runtime.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/until.ts';
import { type Haproxy, noHaproxy, startHaproxy } from '../target/haproxy/haproxy.ts';
import { killSession, noSshd, startHosts, type TestHosts } from '../target/ssh/hosts.ts';
import { killServer, marksOf, onHost, targetOf } from './hosts.ts';
import {
  clean,
  commit,
  git,
  load,
  operator,
  type Place,
  paused,
  place,
  type Running,
  type Status,
  settled,
  sluice,
  status,
  statusOf,
} from './support.ts';

const real = { skip: noSshd || noHaproxy, timeout: 400_000 };
const NAMES = ['web-1', 'web-2', 'web-3', 'web-4'];
const WEIGHTS = [100, 37, 5, 256];
const OTHER_WEIGHTS = [1, 2, 3, 4];

const SERVER = `require('node:http')
  .createServer((_, response) => setTimeout(() => response.end(process.env.VERSION), 20))
  .listen(Number(process.env.PORT), '127.0.0.1');
`;
/** Ends the server in the middle of what it does: whoever still asks it loses the answer. */
const RESTART = `set -e
port=$(cat port)
if [ -f pid ]; then kill -KILL "$(cat pid)"; while kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.02; done; fi
VERSION=$1 PORT=$port setsid ${process.execPath} server.js </dev/null >/dev/null 2>&1 &
echo $! >pid
tries=0
until curl -fsS "http://127.0.0.1:$port/" >/dev/null 2>&1; do
  tries=$((tries + 1)); [ "$tries" -lt 200 ] || exit 1; sleep 0.05
done
`;

/** `version` runs when it is there; whatever it was before comes back when it is undone. */
const fleet = (version: string, before: string) => `apiVersion: sluice/v1
kind: Fleet
metadata: {name: web}
spec:
  target: hosts
  selector: {role: web}
  batches: 2
  check: [{command: [sh, -c, 'curl -fsS "http://127.0.0.1:$(cat port)/"']}]
  script:
    timeout: 1m
    run: |
      echo "run ${version} $SLUICE_INSTANCE in rollout $SLUICE_ROLLOUT" >>marks
      echo "this is ${version}"
      while [ -f held ]; do sleep 0.02; done
      if [ -f fails ]; then echo "the disk of $SLUICE_INSTANCE is full" >&2; exit 3; fi
      sh restart ${version}
    rollback: |
      echo "undo ${version} $SLUICE_INSTANCE in rollout $SLUICE_ROLLOUT" >>marks
      sh restart ${before}
`;

interface Site {
  at: Place;
  hosts: TestHosts;
  haproxy: Haproxy;
  running: Running;
  /** By server: of the first backend, then of the other. */
  weights(): Promise<Record<string, number[]>>;
}

/** Servers of version 7 behind HAProxy, and an operator that has rolled out a first script. */
async function site(t: Test): Promise<Site> {
  const hosts = await startHosts(t, { names: NAMES, labels: () => ({ role: 'web' }) });
  const ports: number[] = [];
  t.teardown(() => hosts.hosts.forEach(killServer));
  for (const host of hosts.hosts) {
    const port = await freePort();
    ports.push(port);
    for (const [name, text] of Object.entries({ 'server.js': SERVER, restart: RESTART, port: `${port}\n` }))
      writeFileSync(join(host.home, name), text);
    onHost(host, 'sh', 'restart', '6');
  }
  const servers = (weights: number[]) =>
    Object.fromEntries(NAMES.map((name, n) => [name, { port: ports[n] ?? 0, weight: weights[n] ?? 0 }]));
  const backends = { web: servers(WEIGHTS), api: servers(OTHER_WEIGHTS) };
  const haproxy = await startHaproxy({ backends });
  t.teardown(() => haproxy.close());
  const target = targetOf(hosts, { socket: haproxy.socket, backends: Object.keys(backends) });
  const at = await place({ 'hosts.yaml': target, 'web.yaml': fleet('7', '6') });
  const running = operator(at);
  const made = { at, hosts, haproxy, running, weights: () => weightsOf(haproxy) };
  t.teardown(() => clean(at, made.running));
  await settled(at, 'Fleet/web', 1);
  t.strictSame(marksOf(hosts), marks('run 7', 1));
  return made;
}

async function weightsOf({ socket }: Haproxy): Promise<Record<string, number[]>> {
  const runtime = openHaproxyRuntime({ backends: ['web', 'api'], open: () => openUnixSocket(socket) });
  const seen = [...(await runtime.servers())];
  return Object.fromEntries(seen.map(([name, servers]) => [name, servers.map(({ weight }) => weight)]));
}

const AS_BEFORE = Object.fromEntries(NAMES.map((name, n) => [name, [WEIGHTS[n], OTHER_WEIGHTS[n]]]));
const marks = (act: string, rollout: number, names = NAMES) =>
  names.map((name) => `${act} ${name} in rollout ${rollout}`);

test(
  'no request is lost while hosts are upgraded and go back, though the operator is killed on the way',
  real,
  async (t) => {
    const there = await site(t);
    const { at, hosts, haproxy } = there;
    t.same(await there.weights(), AS_BEFORE, 'after the first rollout');
    const traffic = load({ ...at, port: haproxy.port }, 'anything');
    for (const name of ['web-1', 'web-3']) writeFileSync(inHome(hosts, name, 'held'), '');
    commit(at, { 'web.yaml': fleet('8', '7') }, 'web 8');
    for (const name of ['web-1', 'web-3']) {
      await until(`${name} is at work`, () => marksOf(hosts).includes(`run 8 ${name} in rollout 2`));
      t.same((await there.weights())[name], [0, 0], `${name} gets nothing while it is upgraded`);
      there.running.process.kill('SIGKILL');
      await there.running.exit;
      rmSync(inHome(hosts, name, 'held'));
      there.running = operator(at);
    }
    const upgraded = await settled(at, 'Fleet/web', 2);
    t.strictSame(
      upgraded.rollout.stages.map(({ name }: { name: string }) => name),
      ['batch 1 of 2', 'batch 2 of 2'],
    );
    t.same(await there.weights(), AS_BEFORE, 'after the upgrade');
    t.strictSame(versionsOf(hosts), ['8', '8', '8', '8']);

    git(at.repo, 'revert', '--no-edit', 'HEAD');
    const back = await settled(at, 'Fleet/web', 3);
    t.equal(back.rollout.cause, 'rollback');
    t.same(await there.weights(), AS_BEFORE, 'after the revert');
    t.strictSame(versionsOf(hosts), ['7', '7', '7', '7']);
    const { lost, sent, bodies } = await traffic.stop();
    t.strictSame(lost, [], `of ${sent}`);
    t.strictSame([...bodies.keys()].sort(), ['7', '8']);
    const each = [...marks('run 7', 1), ...marks('run 8', 2), ...marks('undo 8', 3)];
    t.strictSame(marksOf(hosts), each.sort(), 'each script ran once');
    t.match(git(at.repo, 'tag', '-l'), 'sluice/fleet/web/3');
  },
);

const inHome = ({ hosts }: TestHosts, name: string, file: string): string =>
  join(hosts.find((host) => host.name === name)?.home ?? '', file);

/** Nothing but this server is out. */
const only = ({ weights }: Site, name: string, what: string) => {
  const wanted = JSON.stringify({ ...AS_BEFORE, [name]: [0, 0] });
  return until(what, async () => JSON.stringify(await weights()) === wanted);
};

const versionsOf = ({ hosts }: TestHosts): string[] =>
  hosts.map((host) => onHost(host, 'sh', '-c', 'curl -fsS "http://127.0.0.1:$(cat port)/"'));

test('a host that loses its label while it is upgraded is put back in service, and then let go', real, async (t) => {
  const { at, hosts, haproxy, weights } = await site(t);
  for (const name of ['web-1', 'web-3']) writeFileSync(inHome(hosts, name, 'held'), '');
  commit(at, { 'web.yaml': fleet('8', '7') }, 'web 8');
  await until('web-1 is at work', () => marksOf(hosts).includes('run 8 web-1 in rollout 2'));
  const labels = (name: string) => ({ role: name === 'web-1' ? 'spare' : 'web' });
  const others = hosts.ssh.hosts.map((host) => ({ ...host, labels: labels(host.name) }));
  const target = targetOf(
    { ...hosts, ssh: { ...hosts.ssh, hosts: others } },
    { socket: haproxy.socket, backends: ['web', 'api'] },
  );
  const how = `${fleet('8', '7')}  revisionHistoryLimit: 4\n`;
  const narrowed = commit(at, { 'hosts.yaml': target, 'web.yaml': how }, 'web-1 is a spare');
  await until('that is followed', () => status(at, 'Fleet/web')?.commit === narrowed);
  for (const name of ['web-1', 'web-3']) rmSync(inHome(hosts, name, 'held'));
  await settled(at, 'Fleet/web', 2);
  t.same(await weights(), AS_BEFORE);

  commit(at, { 'web.yaml': fleet('9', '8') }, 'web 9');
  await settled(at, 'Fleet/web', 3);
  t.same(await weights(), AS_BEFORE);
  t.strictSame(versionsOf(hosts), ['8', '9', '9', '9']);
  const each = [...marks('run 7', 1), ...marks('run 8', 2), ...marks('run 9', 3, NAMES.slice(1))];
  t.strictSame(marksOf(hosts), each.sort(), 'each script ran once');
});

test(
  'a host that fails waits out of service; it is tried again, or skipped, and a revert takes back what was begun',
  real,
  async (t) => {
    const there = await site(t);
    const { at, hosts, haproxy } = there;
    const failing = (name: string) => inHome(hosts, name, 'fails');
    const traffic = load({ ...at, port: haproxy.port }, 'anything');
    for (const name of ['web-2', 'web-4']) writeFileSync(failing(name), '');
    const asked = commit(at, { 'web.yaml': fleet('8', '7') }, 'web 8');

    const first = await paused(at, 'Fleet/web', 2, 'Failure');
    t.match(unitsOf(first)['web-2'], { state: 'Failed', message: /code 3: the disk of web-2 is full/ });
    await only(there, 'web-2', 'what failed stays out, and what was under way is back');
    t.notOk(
      marksOf(hosts).some((mark) => /run 8 web-[34]/.test(mark)),
      'the next batch has not begun',
    );
    t.match((await sluice(at, 'status', 'Fleet/web')).output, /sluice retry Fleet\/web web-2/);
    const logs = await sluice(at, 'logs', 'Fleet/web', 'web-2');
    t.match(logs.output, /web-2 hosts \| this is 8\n.*\| the disk of web-2 is full/);

    rmSync(failing('web-2'));
    t.equal((await sluice(at, 'retry', 'Fleet/web', 'web-2')).code, 0);
    const inWait = (name: string) =>
      status(at, 'Fleet/web')?.rollout?.reason === 'Failure' &&
      unitsOf(status(at, 'Fleet/web'))[name]?.state === 'Failed';
    await until('web-4 waits', () => inWait('web-4'));
    await only(there, 'web-4', 'the one that was tried again is back');
    t.equal((await sluice(at, 'skip', 'Fleet/web', 'web-4')).code, 0);
    const ended = await settled(at, 'Fleet/web', 2);
    t.match(unitsOf(ended)['web-4'], { state: 'Skipped' });
    t.same(await there.weights(), AS_BEFORE, 'what was skipped is put back');
    t.strictSame(versionsOf(hosts), ['8', '8', '8', '7']);

    git(at.repo, 'revert', '--no-edit', asked);
    await settled(at, 'Fleet/web', 3);
    t.strictSame(versionsOf(hosts), ['7', '7', '7', '7']);
    t.same(await there.weights(), AS_BEFORE);
    const { lost, sent } = await traffic.stop();
    t.strictSame(lost, [], `of ${sent}`);
    const each = [...marks('run 7', 1), ...marks('run 8', 2), ...marks('run 8', 2, ['web-2']), ...marks('undo 8', 3)];
    t.strictSame(marksOf(hosts), each.sort(), 'only what was tried again ran twice');
    t.ok(existsSync(failing('web-4')));
  },
);

const unitsOf = ({ rollout }: Status): Record<string, { state: string; message: string }> => {
  const units: { name: string; state: string; message: string }[] = rollout.stages.flatMap(
    (stage: Status) => stage.units ?? [],
  );
  return Object.fromEntries(units.map((unit) => [unit.name, unit]));
};

test('a check of a fleet asks its hosts and its load balancer, and changes nothing', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1', 'web-2'], labels: () => ({ role: 'web' }) });
  const server = { port: await freePort(), weight: 7 };
  const haproxy = await startHaproxy({
    backends: { web: { 'web-1': server, 'web-2': server }, api: { 'web-1': server } },
  });
  t.teardown(() => haproxy.close());
  const through = (backend: string) => targetOf(hosts, { socket: haproxy.socket, backends: [backend] });
  const at = await place({ 'hosts.yaml': through('web'), 'web.yaml': fleetOf('web', '{run: echo ran >>marks}') });
  t.teardown(() => clean(at));
  const check = () => sluice(at, 'check', 'Fleet/web');
  const fine = await check();
  t.equal(fine.code, 0, fine.output);
  t.match(fine.output, /load balancer.*it answers, and has all of them as servers/);
  t.match(fine.output, /hosts.*all 2 answer/);
  commit(at, { 'hosts.yaml': through('api') }, 'a backend that lacks one');
  const lacking = await check();
  t.equal(lacking.code, 1);
  t.match(lacking.output, /it has no server of the name web-2/);
  await haproxy.close();
  const gone = await check();
  t.equal(gone.code, 1);
  t.match(gone.output, /load balancer.*does not answer/);
  for (const { home } of hosts.hosts) t.strictSame(readdirSync(home), [], 'nothing is left on a host');
});

test(
  'a host that loses what ran a script leaves the rollout paused, and the script is not run again',
  real,
  async (t) => {
    const hosts = await startHosts(t, { names: ['web-1'], labels: () => ({ role: 'web' }) });
    const [host] = hosts.hosts;
    const script = "{run: 'echo $$ >>marks; exec sleep 600'}";
    const at = await place({ 'hosts.yaml': targetOf(hosts), 'web.yaml': fleetOf('web', script) });
    const running = operator(at);
    t.teardown(() => clean(at, running));
    await until('the script runs', () => marksOf(hosts).length > 0);
    await host?.stop();
    killSession(Number(marksOf(hosts)[0]));
    await host?.start();
    const unknown = await paused(at, 'Fleet/web', 1, 'Unknown');
    t.match(unitsOf(unknown)['web-1'], { state: 'Unknown', message: /gone and left no outcome/ });
    t.equal((await sluice(at, 'continue', 'Fleet/web')).code, 0);
    await statusOf(
      at,
      'Fleet/web',
      'still waits',
      ({ operations, rollout }) => operations && rollout.reason === 'Unknown',
    );
    t.equal(marksOf(hosts).length, 1, 'it ran once');
  },
);

test('hosts refuse a repository that was made anew, and say how it gets them back', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: () => ({ role: 'web' }) });
  const script = (said: string) => fleetOf('web', `{run: 'echo ${said} in rollout $SLUICE_ROLLOUT >>marks'}`);
  const old = await place({ 'hosts.yaml': targetOf(hosts), 'web.yaml': script('old') });
  const first = operator(old);
  t.teardown(() => clean(old, first));
  await settled(old, 'Fleet/web', 1);
  first.process.kill('SIGTERM');
  await first.exit;
  const second = operator(old);
  t.teardown(() => clean(old, second));
  commit(old, { 'web.yaml': script('older') }, 'with epoch 2');
  await settled(old, 'Fleet/web', 2);

  const anew = await place({ 'hosts.yaml': targetOf(hosts), 'web.yaml': script('anew') });
  const refused = operator(anew);
  t.teardown(() => clean(anew, refused));
  t.equal(await refused.exit, 1);
  t.match(refused.output(), /epoch 1, but host web-1 of target hosts has seen epoch 2.*start this one with --epoch 3/);
  t.strictSame(marksOf(hosts), ['old in rollout 1', 'older in rollout 2'], 'nothing was done');
  t.equal(second.process.exitCode, null, 'who has them goes on');
  second.process.kill('SIGTERM');
  await second.exit;

  const told = operator(anew, '--epoch', '3');
  t.teardown(() => clean(anew, told));
  await statusOf(anew, 'Fleet/web', 'succeeds', ({ rollout }) => rollout?.phase === 'Succeeded');
  t.strictSame(marksOf(hosts), ['anew in rollout 3', 'old in rollout 1', 'older in rollout 2']);
  t.match(git(anew.repo, 'log', '-1', '--format=%s', 'refs/sluice/lease'), 'epoch 3');
});

const fleetOf = (name: string, script: string) => `apiVersion: sluice/v1
kind: Fleet
metadata: {name: ${name}}
spec: {target: hosts, selector: {role: web}, script: ${script}}
`;

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Test, test } from 'tap';
import type { LiveInstance } from '../../../src/plan/live.ts';
import { openHaproxyRuntime, openUnixSocket } from '../../../src/target/haproxy/runtime.ts';
import type { UnitView } from '../../../src/target/hosts/view.ts';
import { readWeights, writeWeights } from '../../../src/target/ssh/balancer.ts';
import { LEAVING_MS, liveInstance } from '../../../src/target/ssh/instance.ts';
import type { HostUnit } from '../../../src/target/ssh/watch.ts';
import { until } from '../../support/until.ts';
import { type Haproxy, noHaproxy, startHaproxy } from '../haproxy/haproxy.ts';
import { all, drive, ended, fleetSpec, inLive } from './driver.ts';
import { noSshd, startHosts } from './hosts.ts';

const real = { skip: noSshd || noHaproxy, timeout: 400_000 };
const web = () => ({ role: 'web' });

interface Site {
  haproxy: Haproxy;
  /** Who answered each request, in order; `error` where nobody did. */
  answers: string[];
  /** Answers of `/slow` wait until it is called. */
  release(): void;
  slow(): number;
}

/** HAProxy before a real server for each host. */
async function site(t: Test, names: string[]): Promise<Site> {
  const waiting: (() => void)[] = [];
  const port = async (name: string) => {
    const server: Server = createServer((request, response) => {
      if (request.url === '/slow') waiting.push(() => response.end(name));
      else response.end(name);
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    t.teardown(() => {
      server.close();
      server.closeAllConnections();
    });
    return (server.address() as AddressInfo).port;
  };
  const servers = async (weights: number[]) =>
    Object.fromEntries(
      await Promise.all(names.map(async (name, n) => [name, { port: await port(name), weight: weights[n] ?? 1 }])),
    );
  const haproxy = await startHaproxy({
    backends: { web: await servers([100, 37, 5]), api: await servers([1, 2, 256]) },
  });
  t.teardown(() => haproxy.close());
  const slow = () => waiting.length;
  return {
    ...{ haproxy, answers: [], slow },
    release() {
      for (const answer of waiting.splice(0)) answer();
    },
  };
}

async function flow({ haproxy, answers }: Site, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const answer = await fetch(`http://127.0.0.1:${haproxy.port}/`).then(
      async (response) => (response.ok ? await response.text() : `error ${response.status}`),
      (error: Error) => `error ${error.message}`,
    );
    answers.push(answer);
  }
}

const weightsOf = async ({ haproxy }: Site) => {
  const runtime = openHaproxyRuntime({ backends: ['web', 'api'], open: () => openUnixSocket(haproxy.socket) });
  return Object.fromEntries([...(await runtime.servers())].map(([name, servers]) => [name, writeWeights(servers)]));
};

test(
  'an instance gets nothing while it is out, and back the weight that it had; no request is lost',
  real,
  async (t) => {
    const names = ['web-1', 'web-2', 'web-3'];
    const there = await site(t, names);
    const hosts = await startHosts(t, { names, labels: web });
    const ssh = { ...hosts.ssh, loadBalancer: { socket: there.haproxy.socket, backends: ['web', 'api'] } };
    const it = await drive(t, { ...hosts, ssh }, fleetSpec());
    const seen = await it.until(
      'all are seen',
      all(({ ready, weight }) => ready && weight !== undefined),
    );
    t.same(
      seen.instances?.map(({ weight }) => weight),
      [100, 37, 5],
    );
    const before = await weightsOf(there);
    const flowing = new AbortController();
    const flows = [flow(there, flowing.signal), flow(there, flowing.signal)];
    for (const [index, name] of names.entries()) {
      const attempt = `${name}.7.1`;
      await it.until(
        'it is out',
        inLive(name, ({ service }) => service === 'out'),
        () => it.takeOut(name, attempt),
      );
      t.match((await weightsOf(there))[name], /^web=0 api=0$/);
      const from = there.answers.length;
      await it.update(name, attempt, 'r1', { run: 'sleep 0.2' });
      await it.until('it is updated', ended(name, attempt));
      await until('more was asked', () => there.answers.length > from + 20);
      // Of the two that flow, each may have been on its way.
      t.notOk(there.answers.slice(from + 2).includes(name), `${name} got nothing`);
      await it.until(
        'it is back',
        inLive(name, ({ service, weight }) => service === 'in' && weight === seen.instances?.[index]?.weight),
        () => it.putBack(name, seen.instances?.[index]?.weight),
      );
    }
    t.same(await weightsOf(there), before);
    flowing.abort();
    await Promise.all(flows);
    t.same(
      there.answers.filter((answer) => answer.startsWith('error')),
      [],
      `none of ${there.answers.length} was lost`,
    );
  },
);

test('it is out only once what was under way has ended', real, async (t) => {
  const there = await site(t, ['web-1']);
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  const ssh = { ...hosts.ssh, loadBalancer: { socket: there.haproxy.socket, backends: ['web'] } };
  const it = await drive(t, { ...hosts, ssh }, fleetSpec());
  await it.until(
    'it is seen',
    all(({ ready }) => ready),
  );
  const answer = fetch(`http://127.0.0.1:${there.haproxy.port}/slow`).then((response) => response.text());
  await until('it is under way', () => there.slow() === 1);
  await it.takeOut('web-1', 'web-1.7.1');
  await until('it has lost its weight', async () => (await weightsOf(there))['web-1'] === 'web=0 api=1');
  await until('it was looked at since', async () => (await it.unit('web-1')).weight === 0);
  t.equal((await it.unit('web-1')).service, 'leaving');
  there.release();
  t.equal(await answer, 'web-1');
  await it.until(
    'it is out',
    inLive('web-1', ({ service }) => service === 'out'),
  );
});

test(
  'a load balancer that is started anew does not let in what is out, and no weight is forgotten',
  real,
  async (t) => {
    const there = await site(t, ['web-1', 'web-2']);
    const hosts = await startHosts(t, { names: ['web-1', 'web-2'], labels: web });
    const ssh = { ...hosts.ssh, loadBalancer: { socket: there.haproxy.socket, backends: ['web', 'api'] } };
    const first = await drive(t, { ...hosts, ssh }, fleetSpec());
    await first.until(
      'all are seen',
      all(({ ready }) => ready),
    );
    await first.until(
      'it is out',
      inLive('web-2', ({ service }) => service === 'out'),
      () => first.takeOut('web-2', 'web-2.7.1'),
    );
    await there.haproxy.restart();
    await until('it is held out', async () => (await weightsOf(there))['web-2'] === 'web=0 api=0');
    await first.driver.close();
    const second = await drive(t, { ...hosts, ssh }, fleetSpec(), { epoch: 2 });
    await second.until(
      'it is out',
      inLive('web-2', ({ service, weight }) => service === 'out' && weight === 0),
    );
    await second.until(
      'a retry takes it out again',
      inLive('web-2', ({ service }) => service === 'out'),
      () => second.takeOut('web-2', 'web-2.7.2'),
    );
    await second.until(
      'it is back',
      inLive('web-2', ({ service, weight }) => service === 'in' && weight === 37),
      () => second.putBack('web-2', 37),
    );
    t.same(await weightsOf(there), { 'web-1': 'web=100 api=1', 'web-2': 'web=37 api=2' });
  },
);

test('HAProxy on one of the hosts is reached over its connection', real, async (t) => {
  const there = await site(t, ['web-1']);
  const hosts = await startHosts(t, {
    names: ['web-1', 'edge'],
    labels: (name) => ({ role: name === 'edge' ? 'lb' : 'web' }),
  });
  const loadBalancer = { socket: there.haproxy.socket, host: 'edge', backends: ['web'] };
  const it = await drive(t, { ...hosts, ssh: { ...hosts.ssh, loadBalancer } }, fleetSpec());
  await it.until(
    'it is seen',
    all(({ ready, weight }) => ready && weight === 100),
  );
  await it.until(
    'it is out',
    inLive('web-1', ({ service }) => service === 'out'),
    () => it.takeOut('web-1', 'web-1.7.1'),
  );
  t.match(await weightsOf(there), { 'web-1': /^web=0/ });
  hosts.hosts[1]?.line.cut();
  await it.until(
    'it is back',
    inLive('web-1', ({ service, weight }) => service === 'in' && weight === 100),
    () => it.putBack('web-1', 100),
  );
  t.match(await weightsOf(there), { 'web-1': /^web=100/ });
});

test('while the load balancer does not answer nothing is claimed, and why is told', real, async (t) => {
  const hosts = await startHosts(t, { names: ['web-1'], labels: web });
  const loadBalancer = { socket: '/nonexistent/haproxy', backends: ['web'] };
  const it = await drive(t, { ...hosts, ssh: { ...hosts.ssh, loadBalancer } }, fleetSpec());
  const live = await it.until('it is told of', ({ instances }) => /nonexistent/.test(instances?.[0]?.message ?? ''));
  t.equal(live.complete, false);
});

const seenUnit = (over: Partial<UnitView>, known: Partial<HostUnit> = {}): HostUnit => ({
  host: { name: 'web-1', address: '10.0.0.1', port: 22, user: 'deploy', labels: {} },
  ...{ place: {} as never, controlPlane: false, seenAt: 0, trouble: undefined, out: undefined },
  view: { boot: 'b', epoch: 1, applied: [], undoable: [], attempts: {}, ...over },
  ...{ accepted: undefined, failed: undefined, acting: Promise.resolve(), acts: 0, hurry: () => {} },
  ...known,
});
const server = (weight: number, sessions: number) => ({
  backend: 'web',
  server: 'web-1',
  weight,
  status: 'UP',
  sessions,
});

test('connections that do not end are waited for a minute at most', async (t) => {
  const unit = seenUnit({ out: { attempt: 'web-1.7.1', seconds: 10 } });
  const service = (now: number, ...servers: ReturnType<typeof server>[]): LiveInstance['service'] =>
    liveInstance({ unit, spec: fleetSpec(), servers, now }).service;
  t.equal(service(0, server(0, 3)), 'leaving');
  t.equal(service(LEAVING_MS - 10_001, server(0, 3)), 'leaving');
  t.equal(service(LEAVING_MS - 10_000, server(0, 3)), 'out');
  t.equal(service(0, server(0, 0)), 'out');
  t.equal(service(LEAVING_MS, server(5, 0)), 'leaving', 'not while it has weight');
});

test('a script whose host is silent long after its timeout is unknown', async (t) => {
  const update = { id: 'web-1.7.1', state: 'running' as const, message: 'runs', seconds: 30, limitSeconds: 600 };
  const silent = seenUnit({ attempts: { update } }, { trouble: 'no answer' });
  const state = (unit: HostUnit, now: number) =>
    liveInstance({ unit, spec: fleetSpec(), servers: undefined, now }).attempt?.state;
  t.equal(state(silent, 629_000), 'running');
  t.equal(state(silent, 630_000), 'unknown');
  t.equal(state(seenUnit({ attempts: { update } }), 900_000), 'running', 'only of one that does not answer');
});

test('weights are kept as text and read back', async (t) => {
  const servers = [server(37, 0), { ...server(256, 0), backend: 'a.b:c-d_e' }];
  t.same(readWeights(writeWeights(servers)), { web: 37, 'a.b:c-d_e': 256 });
  t.same(readWeights(''), {});
});

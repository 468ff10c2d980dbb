import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { formatPath } from '../../../src/manifest/diagnostic.ts';
import type { Plan } from '../../../src/plan/plan.ts';
import { notHonoured } from '../../../src/target/local/honour.ts';
import { precheckLocal } from '../../../src/target/local/precheck.ts';
import type { Host } from '../../../src/target/local/unit.ts';
import type { UnitDriver } from '../../../src/target/ports.ts';
import { container, live, never, type Place, place, probe, processesWith, runnable, workload } from './fixtures.ts';

const plan: Plan = { generation: 1, to: 'aaaaaaaaaa', version: '', stages: [] };

async function precheck(here: Place, driver: UnitDriver, runs = runnable(), replicas = 1) {
  const spec = workload(replicas);
  const results = await driver.precheck(runs.resource, spec, runs, plan, never);
  t.ok(
    results.every(({ result, remedy }) => result === 'pass' || remedy !== ''),
    'what does not pass says what to do',
  );
  t.strictSame(processesWith(`SLUICE_FOLDER=${here.dataDir}/`), [], 'nothing was started');
  return results.filter(({ result }) => result !== 'pass');
}

t.test('a plain workload passes', async (t) => {
  const here = place(t);
  const driver = await here.open();
  t.strictSame(await precheck(here, driver), []);
  t.strictSame((await live(driver)).units, []);
});

t.test('each thing that is not there fails with its name and a remedy', async (t) => {
  const here = place(t);
  here.secrets = { db: { user: Buffer.from('shop') } };
  here.image('bad:1', {}, 'comand: [node]\n');
  here.image('bad:2', {}, 'command: [a, : b\n');
  here.image('odd:1', {}, 'command: [no-such-program]\n');
  const driver = await here.open();
  const key = (name: string, key: string, optional = false) => ({
    name: 'X',
    valueFrom: { secretKeyRef: { name, key, optional } },
  });
  const runs = runnable({
    containers: [
      container({
        name: 'a',
        image: 'none:1',
        env: [key('db', 'password'), key('db', 'user'), key('nowhere', 'x'), key('maybe', 'x', true)],
      }),
      container({ name: 'b', image: 'bad:1', envFrom: [{ secretRef: { name: 'all' } }] }),
      container({ name: 'c', image: 'bad:2', workingDir: '/no/such/folder' }),
      container({ name: 'd', image: 'odd:1' }),
      container({ name: 'e', image: 'web:1', workingDir: '/no/such/folder' }),
      container({ name: 'f', image: '../../etc' }),
    ],
    volumes: [{ name: 'keys', secret: { secretName: 'db', items: [{ key: 'tls', path: 'tls' }] } }],
  });
  runs.images['tree:1'] = { name: 'tree:1', tree: 'f'.repeat(40), command: [], env: {} };
  runs.template.spec.containers.push(container({ name: 'g', image: 'tree:1' }));
  const found = await precheck(here, driver, runs);
  t.ok(found.every(({ result }) => result === 'fail'));
  const of = (name: string) => found.filter((result) => result.name === name).map(({ message }) => message);
  t.match(of('images'), [
    /image none:1 has no file image.yaml/,
    /image bad:1: image.yaml line 1: .*com/,
    /image bad:2: image.yaml line 2: not valid YAML/,
    /program no-such-program/,
    /workingDir \/no\/such\/folder is no folder/,
    /\.\.\/\.\.\/etc is no name of an image/,
    /neither image tree:1 nor container g gives a command/,
  ]);
  t.strictSame(of('secrets').sort(), [
    'Secret all does not exist',
    'Secret db has no key password',
    'Secret db has no key tls',
    'Secret nowhere does not exist',
  ]);
});

t.test('capacity: what cannot fit fails, what may not fit is a warning', async (t) => {
  const here = place(t);
  const driver = await here.open();
  const asking = (resources: object) => runnable({ containers: [container({ resources })] });
  t.match(await precheck(here, driver, asking({ requests: { memory: '1Ti' } }), 10), [
    { name: 'capacity', result: 'fail' },
  ]);
  t.match(await precheck(here, driver, asking({ requests: { cpu: '500' } })), [{ name: 'capacity', result: 'warn' }]);
  t.match(await precheck(here, driver, asking({ requests: { memory: '1Mi' } })), []);
  const disk = runnable({ volumes: [{ name: 'data', disk: { size: '900Ti' } }] });
  t.match(await precheck(here, driver, disk), [
    { name: 'data folder', result: 'warn' },
    { name: 'fields', result: 'warn' },
  ]);
});

t.test('limits that cannot be set and a user that cannot be taken are told', async (t) => {
  const here = place(t);
  const runs = runnable({ containers: [container({ resources: { limits: { cpu: '1', memory: '1Mi' } } })] });
  const host = {
    dataDir: here.dataDir,
    groups: {},
    user: { name: 'nobody', uid: 65_534, gid: 65_534 },
    images: { look: async () => undefined },
    secrets: { read: async () => undefined },
  } as unknown as Host;
  mkdirSync(join(here.dataDir, 'units'), { recursive: true });
  chmodSync(join(here.dataDir, 'units'), 0o700);
  const results = await precheckLocal({ host, router: here.router, spec: workload(), runnable: runs });
  const of = (name: string) => results.filter((result) => result.name === name);
  t.match(of('limits'), [
    { result: 'warn', message: /limits of cpu are not enforced/ },
    { result: 'warn', message: /limits of memory are not enforced/ },
  ]);
  t.match(of('run-as'), [{ result: 'fail', message: process.getuid?.() === 0 ? /nobody may not enter/ : /only root/ }]);
});

t.test('a router that does not answer and a data folder that is gone', async (t) => {
  const here = place(t);
  const driver = await here.open();
  here.router.answers = async () => {
    throw new Error('away');
  };
  rmSync(here.dataDir, { recursive: true });
  t.match(await precheck(here, driver), [
    { name: 'data folder', result: 'fail' },
    { name: 'router', result: 'fail', message: 'the router does not answer: away' },
  ]);
});

t.test('every field that a process here cannot be given is named', (t) => {
  const { template } = runnable({
    containers: [
      container({
        volumeMounts: [{ name: 'my-data', mountPath: '/data', readOnly: true }],
        logs: [
          { path: '/var/log/app.log', maxSize: '1Mi' },
          { path: 'here.log', maxSize: '1Mi' },
        ],
        env: [
          { name: 'PORT', value: '80' },
          { name: 'ACCOUNT', valueFrom: { fieldRef: { fieldPath: 'spec.serviceAccountName' } } },
          { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
        ],
        readinessProbe: probe({ tcpSocket: { port: 9999 } }),
        livenessProbe: probe({ httpGet: { path: '/', port: 'nowhere' } }),
        startupProbe: probe({ tcpSocket: { port: 'http' } }),
      }),
    ],
    volumes: [
      { name: 'my-data', disk: { size: '1Gi', class: 'ssd' } },
      { name: 'all', file: { size: '1Gi' } },
      { name: 'tmp', emptyDir: { sizeLimit: '1Mi' } },
      { name: 'free', emptyDir: {} },
    ],
  });
  t.strictSame(
    notHonoured(template).map(({ path, result }) => [formatPath(path), result]),
    [
      ['spec.containers[0].volumeMounts[0].mountPath', 'warn'],
      ['spec.containers[0].volumeMounts[0].readOnly', 'warn'],
      ['spec.containers[0].logs[0].path', 'warn'],
      ['spec.containers[0].env[0]', 'warn'],
      ['spec.containers[0].env[1].valueFrom.fieldRef.fieldPath', 'fail'],
      ['spec.containers[0].readinessProbe', 'warn'],
      ['spec.containers[0].livenessProbe', 'fail'],
      ['spec.volumes[0].disk.size', 'warn'],
      ['spec.volumes[0].disk.class', 'warn'],
      ['spec.volumes[1].file.size', 'warn'],
      ['spec.volumes[2].emptyDir.sizeLimit', 'warn'],
    ],
  );
  t.match(notHonoured(template)[0]?.message, 'it is ./data in the working directory, and $SLUICE_MOUNT_MY_DATA');
  t.end();
});

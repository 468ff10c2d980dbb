/** What the harness upgrades, round by round: one resource of each kind on this machine. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bounds } from '../e2e/observer.ts';
import type { Place } from '../e2e/support.ts';

/** What is started goes with whoever has it started. */
export interface Owner {
  teardown(end: () => unknown): void;
}

/** A resource whose manifest says another thing in every round, from 1. */
export interface Subject {
  resource: string;
  /** What runs for it on this machine when it has settled; hosts that were there before are none of it. */
  units: number;
  bounds: Bounds;
  /** Where clients ask for it all the time; `port` where that is not the router. */
  clients?: { host: string; port?: number };
  /** What the processes of its units have in their environment, where that is not the folder of the place. */
  marked?: string;
  /** Where a process of it listens, if not on this machine. */
  hostOf?(attempt: string): Promise<string>;
  /** Also sees to what they name that lies elsewhere. */
  files(at: Place, round: number): Record<string, string> | Promise<Record<string, string>>;
  /** What there is elsewhere that an operator changes. */
  seen?(): Promise<string[]>;
  /** What is wrong when a round has come to its end, besides what is looked at for every kind. */
  wrong(at: Place, round: number): string[] | Promise<string[]>;
}

/** Ready 50 ms after its start; each answer takes 20 ms, and is lost when the server is killed meanwhile. */
const SERVER = `
const version = process.argv[2] ?? process.env.ROUND;
const server = require('node:http').createServer((_, response) => setTimeout(() => response.end(version), 20));
setTimeout(() => server.listen(process.env.PORT, '127.0.0.1'), 50);
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`;

const served = (name: string, tag: string, version?: string): Record<string, string> => ({
  [`images/${name}/${tag}/image.yaml`]: `command: [node, server.js${version === undefined ? '' : `, '${version}'`}]\n`,
  [`images/${name}/${tag}/server.js`]: SERVER,
});

const templated = (kind: string, name: string, round: number, more: string) => `apiVersion: sluice/v1
kind: ${kind}
metadata: {name: ${name}}
spec:
  replicas: 2
${more}  template:
    spec:
      containers:
        - {name: web, image: "hello:1", ports: [{containerPort: 8080}], env: [{name: ROUND, value: "${round}"}]}
`;

export async function workload(): Promise<Subject> {
  return {
    resource: 'Workload/web',
    units: 2,
    bounds: { total: 3, available: 2 },
    clients: { host: 'web.localhost' },
    files: (_, round) => ({ 'web.yaml': templated('Workload', 'web', round, ''), ...served('hello', '1') }),
    wrong: () => [],
  };
}

export async function service(): Promise<Subject> {
  const steps = '  keepVersions: 0\n  traffic: {steps: [{percent: 50}, {percent: 100}]}\n';
  return {
    resource: 'Service/shop',
    units: 2,
    bounds: { total: 4, available: 2 },
    clients: { host: 'shop.localhost' },
    files: (_, round) => ({ 'shop.yaml': templated('Service', 'shop', round, steps), ...served('hello', '1') }),
    wrong: () => [],
  };
}

/** The image's tag is the round's: it and the script change together. The tag before the last one is taken away. */
const imagesOf = (name: string, tag: (round: number) => string, round: number): Record<string, string> => ({
  ...served(name, tag(round), String(round)),
  ...(round > 3 && Object.fromEntries(Object.keys(served(name, tag(round - 3))).map((path) => [path, '']))),
});

export async function fleet(): Promise<Subject> {
  const members = ['web-1', 'web-2', 'web-3'];
  return {
    resource: 'Fleet/web',
    units: 3,
    bounds: { total: 3, available: 1 },
    clients: { host: 'web.localhost' },
    files: (at, round) => ({
      ...imagesOf('hello', String, round),
      'web.yaml': `apiVersion: sluice/v1
kind: Fleet
metadata: {name: web}
spec:
  size: 3
  image: "hello:${round}"
  batches: 2
  check: [{http: {path: /}}]
  script:
    run: |
      echo "run ${round} $SLUICE_INSTANCE" >>${marksFile(at)}
    rollback: |
      echo "undo ${round} $SLUICE_INSTANCE" >>${marksFile(at)}
`,
    }),
    wrong: (at, round) => wrongMarks(readMarks(at), expectedMarks(['run'], members, round)),
  };
}

export async function cluster(): Promise<Subject> {
  const members = ['prod-cp-1', 'prod-node-1', 'prod-node-2'];
  const version = (round: number) => `1.36.${round}`;
  const mark = (at: Place, act: string) =>
    `[sh, -c, 'echo "${act} $SLUICE_ROLLOUT $SLUICE_INSTANCE" >>${marksFile(at)}']`;
  return {
    resource: 'Cluster/prod',
    units: 3,
    bounds: { total: 3, available: 0 },
    files: (at, round) => ({
      ...imagesOf('node', version, round),
      'prod.yaml': `apiVersion: sluice/v1
kind: Cluster
metadata: {name: prod}
spec:
  version: ${version(round)}
  image: node
  controlPlane: 1
  nodes: 2
  upgrade:
    maxBatchPercent: 100
    drain: {timeout: 1m, command: ${mark(at, 'drain')}, undo: ${mark(at, 'undrain')}}
`,
    }),
    // The first round makes the nodes: there is nothing to be drained.
    wrong: (at, round) => wrongMarks(readMarks(at), expectedMarks(['drain', 'undrain'], members, round, 2)),
  };
}

/** Where scripts say that they ran. */
const marksFile = (at: Place): string => join(at.root, 'marks');

const readMarks = (at: Place): string[] =>
  existsSync(marksFile(at))
    ? readFileSync(marksFile(at), 'utf8')
        .split('\n')
        .filter((line) => line !== '')
    : [];

/** Each act of each member, once in every round. */
export const expectedMarks = (acts: string[], members: string[], round: number, from = 1): string[] =>
  acts.flatMap((act) =>
    Array.from({ length: round - from + 1 }, (_, n) => members.map((member) => `${act} ${n + from} ${member}`)).flat(),
  );

export function wrongMarks(seen: string[], expected: string[]): string[] {
  const left = new Map<string, number>();
  for (const mark of expected) left.set(mark, (left.get(mark) ?? 0) + 1);
  for (const mark of seen) left.set(mark, (left.get(mark) ?? 0) - 1);
  return [...left].flatMap(([mark, count]) =>
    count === 0 ? [] : [count > 0 ? `"${mark}" never ran` : `"${mark}" ran ${1 - count} times`],
  );
}

/** Manifests from small numbers: what each field of a resource may be, and the text that says so. */
import type { Kind } from '../../src/manifest/resource.ts';
import { RELEASES, SCRIPTS } from './behaviour.ts';

/** Which of its choices each field has: `{ replicas: 2 }` is the third of them. */
export type Draft = Record<string, number>;

const WINDOWS = ['', '', '', '', '[{cron: "0,30 * * * *", duration: 10m}]', '[{cron: "0 2 * * *", duration: 1h}]'];
const COMMON = {
  onFailure: ['pause', 'rollback', 'revert'],
  paused: ['false', 'false', 'false', 'true'],
  deadline: ['600', '60'],
  windows: WINDOWS,
  history: ['5', '2'],
};
const RELEASE = { release: RELEASES, number: ['1', '2', '3', '4', '5'] };
const TRAFFIC = [
  '{onDeploy: all}',
  '{onDeploy: none}',
  '{steps: [{percent: 10, soak: 20s}, {percent: 50, pause: true}, {percent: 100}]}',
  '{steps: [{percent: 20, check: [{http: {path: /health}}], soak: 15s}, {percent: 100}]}',
  '{percent: {latest: 20, stable: 80}}',
  '{percent: {latest: 100, stable: 0}}',
  '{match: {rules: [{version: latest, query: {beta: "1*"}}], default: stable}}',
  '{steps: [{percent: 30, soak: 5s}, {percent: 60}]}',
];
const SCRIPT = { script: SCRIPTS, number: ['1', '2', '3', '4', '5'], rollback: ['-ok', '-fails', '-lost', ''] };

/** What can be chosen, by kind and field; fields that say what runs come first. */
export const CHOICES: Record<Kind, Record<string, readonly string[]>> = {
  Workload: {
    ...RELEASE,
    replicas: ['3', '5', '2', '1', '0', '7'],
    strategy: [
      '{maxSurge: 1, maxUnavailable: 0}',
      '{maxSurge: 0, maxUnavailable: 1}',
      '{maxSurge: 2, maxUnavailable: 1}',
      '{maxSurge: "50%", maxUnavailable: "25%"}',
      '{maxSurge: 1, maxUnavailable: "100%"}',
    ],
    minReady: ['0', '0', '4'],
    ...COMMON,
  },
  Service: {
    ...RELEASE,
    replicas: ['2', '1', '3'],
    traffic: TRAFFIC,
    upgrade: ['newVersion', 'newVersion', 'newVersion', 'inPlace'],
    version: ['', '', '', 'v8', 'blue'],
    keep: ['1', '0', '2'],
    ...COMMON,
  },
  Fleet: {
    ...SCRIPT,
    members: ['hosts', 'size', 'hosts'],
    size: ['3', '5', '1', '0', '2'],
    batches: ['2', '4', '1'],
    pause: ['never', 'firstBatch', 'everyBatch'],
    maxFailures: ['0', '1', '2'],
    check: ['[]', '[{http: {path: /health, port: 80}}]'],
    suspend: ['[scaleIn, scaleOut, healthCheck, scheduledAction]', '[healthCheck]', '[]'],
    suspended: ['[]', '[scaleIn]', '[scheduledAction]'],
    schedules: ['', '', '', '{schedules: [{cron: "30 * * * *", size: 4}, {cron: "0 * * * *", size: 2}]}'],
    ...COMMON,
  },
  Cluster: {
    number: ['1.30.1', '1.31.0', '1.30.2', '1.31.4', '1.32.0', '1.34.0'],
    script: SCRIPTS,
    members: ['hosts', 'created', 'hosts'],
    nodes: ['2', '4', '0', '5'],
    percent: ['50', '100', '10'],
    expireAfter: ['15d', '2h'],
    ...COMMON,
  },
};

export const fieldsOf = (kind: Kind): string[] => Object.keys(CHOICES[kind]);

export function choice(kind: Kind, draft: Draft, field: string): string {
  const choices = CHOICES[kind][field] ?? [''];
  return choices[(draft[field] ?? 0) % choices.length] ?? '';
}

/** A fleet and a cluster have a target of hosts of their own. */
export const HOSTS_OF: Partial<Record<Kind, readonly string[]>> = {
  Fleet: ['h1', 'h2', 'h3', 'h4', 'h5'],
  Cluster: ['c1', 'c2', 'n1', 'n2', 'n3', 'n4'],
};

const isMaster = (host: string): boolean => host.startsWith('c');

/** `labelled`: the hosts of a fleet that its selector finds; all of them where absent. */
export function hostsText(kind: Kind, name: string, labelled: readonly string[] = HOSTS_OF[kind] ?? []): string {
  const hosts = (HOSTS_OF[kind] ?? []).map((host, index) => {
    const role =
      kind === 'Cluster' ? (isMaster(host) ? 'control-plane' : 'node') : labelled.includes(host) ? 'in' : 'out';
    return `{name: ${name}-${host}, address: 10.0.0.${index + 1}, labels: {role: ${role}}}`;
  });
  return `apiVersion: sluice/v1
kind: Target
metadata: {name: ${name}-hosts}
spec: {ssh: {user: deploy, hosts: [${hosts.join(', ')}]}}
`;
}

export const HERE = `apiVersion: sluice/v1
kind: Target
metadata: {name: here}
spec: {local: {images: /opt/images}}
`;

export function manifestText(kind: Kind, name: string, draft: Draft): string {
  const get = (field: string) => choice(kind, draft, field);
  const windows = get('windows');
  const common = [
    `onFailure: ${get('onFailure')}`,
    `paused: ${get('paused')}`,
    `progressDeadlineSeconds: ${get('deadline')}`,
    `revisionHistoryLimit: ${get('history')}`,
    ...(windows === '' ? [] : [`windows: ${windows}`]),
  ];
  const lines = [...common, ...SPECS[kind](get, name)];
  return `apiVersion: sluice/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

type Get = (field: string) => string;

const template = (get: Get) =>
  `template: {spec: {containers: [{name: app, image: "app:${get('number')}-${get('release')}", ports: [{containerPort: 8080}]}]}}`;

const SPECS: Record<Kind, (get: Get, name: string) => string[]> = {
  Workload: (get) => [
    'target: here',
    `replicas: ${get('replicas')}`,
    `strategy: {rollingUpdate: ${get('strategy')}}`,
    `minReadySeconds: ${get('minReady')}`,
    template(get),
  ],
  Service: (get) => [
    'target: here',
    `replicas: ${get('replicas')}`,
    ...trafficLines(get),
    `keepVersions: ${get('keep')}`,
    template(get),
  ],
  Fleet: (get, name) => [
    ...(get('members') === 'size'
      ? ['target: here', `size: ${get('size')}`, `image: "app:${get('number')}"`, ...schedules(get)]
      : [`target: ${name}-hosts`, 'selector: {role: in}']),
    `script: {run: "up ${get('number')}-${get('script')}", timeout: 5m${rollback(get)}}`,
    `batches: ${get('batches')}`,
    `pause: ${get('pause')}`,
    `maxFailures: ${get('maxFailures')}`,
    `check: ${get('check')}`,
    `suspend: ${get('suspend')}`,
    `suspended: ${get('suspended')}`,
  ],
  Cluster: (get, name) => [
    `version: ${get('number')}`,
    ...(get('members') === 'created'
      ? ['target: here', 'image: node', 'controlPlane: 1', `nodes: ${get('nodes')}`]
      : [`target: ${name}-hosts`]),
    `upgrade: {maxBatchPercent: ${get('percent')}, expireAfter: ${get('expireAfter')}, drain: {timeout: 5m}${upgrade(get)}}`,
  ],
};

function trafficLines(get: Get): string[] {
  const version = get('version') === '' ? [] : [`version: ${get('version')}`];
  if (get('upgrade') === 'newVersion') return [`traffic: ${get('traffic')}`, ...version];
  const traffic = /onDeploy|steps/.test(get('traffic')) ? '{percent: {latest: 100, stable: 0}}' : get('traffic');
  return ['upgrade: inPlace', `traffic: ${traffic}`, ...version];
}

const schedules = (get: Get): string[] => (get('schedules') === '' ? [] : [`scaling: ${get('schedules')}`]);

const rollback = (get: Get): string => (get('rollback') === '' ? '' : `, rollback: "down${get('rollback')}"`);

function upgrade(get: Get): string {
  const script = `, script: {run: "up ${get('number')}-${get('script')}", timeout: 5m}`;
  return get('members') === 'created' ? script : `${script}, versionCommand: [node-version]`;
}

export function operationText(name: string, spec: Record<string, string | number>): string {
  const fields = Object.entries(spec).map(([key, value]) => `${key}: ${value}`);
  return `apiVersion: sluice/v1\nkind: Operation\nmetadata: {name: ${name}}\nspec: {${fields.join(', ')}}\n`;
}

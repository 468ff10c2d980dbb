/** What each driver does, as tables for people: the behaviours of the suite, and the fields of a pod template. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Container, PodTemplate, Volume } from '../../src/manifest/resource.ts';
import { templateOnDocker } from '../../src/target/docker/honour.ts';
import { notHonouredByKubernetes } from '../../src/target/kubernetes/honour.ts';
import { type NotHonoured, notHonoured } from '../../src/target/local/honour.ts';
import { BEHAVIOURS } from './behaviours.ts';
import { INSTANCE_BEHAVIOURS, ROUTED_BEHAVIOURS } from './instances.ts';

/** The drivers that the suite runs on. */
const CONFORMING = {
  local: { hasTraffic: true },
  docker: { hasTraffic: true },
  'docker with HAProxy': { hasTraffic: true },
  kubernetes: { hasTraffic: false },
};

/** Those that create instances and nodes. */
const CREATING = {
  local: INSTANCE_BEHAVIOURS,
  docker: INSTANCE_BEHAVIOURS,
  'docker with HAProxy, published ports': ROUTED_BEHAVIOURS,
};

const HERE = { host: 'unix:///var/run/docker.sock', network: 'bridge', registries: [] };
const THERE = { ...HERE, host: 'ssh://deploy@10.0.0.5', address: '10.0.0.5' };
/** What each says about a template. */
const HONOURING: Record<string, (template: PodTemplate) => NotHonoured[]> = {
  local: notHonoured,
  docker: (template) => templateOnDocker(template, HERE),
  'docker on another machine': (template) => templateOnDocker(template, THERE),
  kubernetes: notHonouredByKubernetes,
};

const PLAIN: Container = {
  ...{ name: 'main', image: 'hello:8', env: [], envFrom: [], resources: {}, volumeMounts: [], logs: [] },
  ports: [{ name: 'http', containerPort: 8080 }],
};
const template = (fields: Partial<Container>, volumes: Volume[] = []): PodTemplate => ({
  metadata: { labels: {} },
  spec: { containers: [{ ...PLAIN, ...fields }], volumes, terminationGracePeriodSeconds: 30 },
});
const mounted = (volume: Volume, more: { readOnly?: boolean; subPath?: string } = {}): PodTemplate =>
  template({ volumeMounts: [{ name: volume.name, mountPath: '/data', ...more }] }, [volume]);
const from = (valueFrom: Extract<Container['env'][number], { valueFrom: unknown }>['valueFrom']) =>
  template({ env: [{ name: 'NAME', valueFrom }] });
const probe = {
  ...{ initialDelaySeconds: 0, periodSeconds: 1, timeoutSeconds: 1, successThreshold: 1, failureThreshold: 3 },
  httpGet: { path: '/', port: 'http' },
};
const hook = { exec: { command: ['true'] } };
const disk: Volume = { name: 'data', disk: { size: '1Gi' } };

/** Each with what makes a driver speak. */
const FIELDS: Record<string, PodTemplate> = {
  '`command`, `args`, `workingDir`': template({ command: ['a'], args: ['b'], workingDir: '/c' }),
  '`env`: literal, ConfigMap': from({ configMapKeyRef: { name: 'shop', key: 'colour' } }),
  '`env`, `envFrom`: Secret': from({ secretKeyRef: { name: 'keys', key: 'token' } }),
  '`env`: `metadata.name`, labels': from({ fieldRef: { fieldPath: 'metadata.name' } }),
  '`env`: `status.podIP`': from({ fieldRef: { fieldPath: 'status.podIP' } }),
  '`resources`': template({ resources: { limits: { cpu: '1', memory: '1Gi' } } }),
  '`startupProbe`, `readinessProbe`, `livenessProbe`': template({
    startupProbe: probe,
    readinessProbe: probe,
    livenessProbe: probe,
  }),
  '`lifecycle`': template({ lifecycle: { postStart: hook, preStop: hook } }),
  '`securityContext`': template({ securityContext: { readOnlyRootFilesystem: true } }),
  '`logs`': template({ logs: [{ path: '/var/log/app.log', maxSize: '10Mi' }] }),
  'volume `disk`': mounted(disk),
  'volume `file`': mounted({ name: 'data', file: { size: '1Gi' } }),
  'volume `configMap`': mounted({ name: 'data', configMap: { name: 'shop' } }),
  'volume `secret`': mounted({ name: 'data', secret: { secretName: 'keys' } }),
  'volume `emptyDir`': mounted({ name: 'data', emptyDir: {} }),
  'volume `class`': mounted({ name: 'data', disk: { size: '1Gi', class: 'fast' } }),
  '`volumeMounts[].readOnly`': mounted(disk, { readOnly: true }),
  '`volumeMounts[].subPath`': mounted(disk, { subPath: 'sub/folder' }),
};

function cell(told: NotHonoured[]): string {
  const failed = told.find(({ result }) => result === 'fail');
  if (failed !== undefined) return `refused: ${failed.message}`;
  return told.length === 0 ? 'yes' : `yes, but ${[...new Set(told.map(({ message }) => message))].join('; ')}`;
}

const row = (...cells: string[]) => `| ${cells.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
const head = (...cells: string[]) => [row(...cells), row(...cells.map(() => '---'))];

export function tables(): string {
  const behaviours = BEHAVIOURS.map(({ name, about, needsTraffic = false }) => {
    const does = ({ hasTraffic }: { hasTraffic: boolean }) =>
      needsTraffic && !hasTraffic ? 'not by the suite' : 'yes';
    return row(name, about, ...Object.values(CONFORMING).map(does));
  });
  const fields = Object.entries(FIELDS).map(([name, each]) =>
    row(name, ...Object.values(HONOURING).map((told) => cell(told(each)))),
  );
  return [
    ...head('behaviour', 'what', ...Object.keys(CONFORMING)),
    ...behaviours,
    '',
    ...head('behaviour of fleets and clusters', 'what', ...Object.keys(CREATING)),
    ...INSTANCE_BEHAVIOURS.map((each) => {
      const does = Object.values(CREATING).map((those) => (those.includes(each) ? 'yes' : 'not by the suite'));
      return row(each.name, each.about, ...does);
    }),
    '',
    ...head('field of a pod template', ...Object.keys(HONOURING)),
    ...fields,
  ].join('\n');
}

export const BEGIN = '<!-- conformance -->';
export const END = '<!-- /conformance -->';

/** `node build/test/conformance/table.js docs/targets.md` puts the tables where they belong. */
const [, , file] = process.argv;
if (process.argv[1]?.endsWith('/table.js') && file !== undefined) {
  const text = readFileSync(file, 'utf8');
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${file}: expected ${BEGIN} and, after it, ${END}`);
  writeFileSync(file, `${text.slice(0, from)}${BEGIN}\n${tables()}\n${text.slice(to)}`);
}

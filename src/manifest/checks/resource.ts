/** What a Workload or a Service must mean besides having the right form. */
import type { ReplicasKind } from '../resource.ts';
import type { WrittenCheck, WrittenContainer, WrittenResource, WrittenTraffic } from '../written.ts';
import { checkTemplate } from './pod.ts';
import type { Path, Report } from './report.ts';
import { checkDuration, checkWindows } from './windows.ts';

export function checkResource(kind: ReplicasKind, spec: WrittenResource, report: Report): void {
  const path = ['spec'];
  checkWindows(spec.windows ?? [], [...path, 'windows'], report);
  if (spec.template) checkTemplate(spec.template, [...path, 'template'], report);
  if (kind === 'Workload') checkStrategy(spec, [...path, 'strategy', 'rollingUpdate'], report);
  else checkService(spec, path, report);
}

/** `0` and `0%` of both, or percentages that round down to nothing, would never let a rollout move. */
function checkStrategy({ strategy, replicas = 1 }: WrittenResource, path: Path, report: Report): void {
  const { maxSurge = 1, maxUnavailable = 0 } = strategy?.rollingUpdate ?? {};
  if (amount(maxSurge, replicas, Math.ceil) > 0 || replicas === 0) return;
  if (amount(maxUnavailable, replicas, Math.floor) > 0) return;
  const isRounded = maxUnavailable !== 0 && maxUnavailable !== '0%';
  const why = isRounded ? ` (${maxUnavailable} of ${replicas} rounds down to 0)` : '';
  report(
    path,
    'no-progress',
    `maxSurge and maxUnavailable both come to 0${why}, so no replica could ever be replaced; raise one`,
    'key',
  );
}

/** `25%` of 10 with `Math.ceil` is 3. Not a percentage and not a number: the schema has told; here it counts as movement. */
function amount(value: number | string, of: number, round: (value: number) => number): number {
  if (typeof value === 'number') return value;
  const percent = /^([0-9]{1,3})%$/.exec(value)?.[1];
  return percent === undefined ? 1 : round((Number(percent) * of) / 100);
}

const ROLES = ['latest', 'stable'];

function checkService(spec: WrittenResource, path: Path, report: Report): void {
  if (spec.version !== undefined && ROLES.includes(spec.version))
    report(
      [...path, 'version'],
      'bad-value',
      `"${spec.version}" is a role, not a name that a version can have; choose another`,
    );
  const { traffic } = spec;
  if (traffic === undefined) return;
  const at = [...path, 'traffic'];
  if (spec.upgrade === 'inPlace')
    for (const field of ['onDeploy', 'steps'] as const)
      if (traffic[field] !== undefined)
        report(
          [...at, field],
          'not-in-place',
          `upgrade: inPlace takes no ${field}, since traffic stays as it is; remove it`,
          'key',
        );
  checkPercent(traffic, at, report);
  checkSteps(traffic, spec.template?.spec?.containers?.[0], at, report);
}

function checkPercent({ percent }: WrittenTraffic, path: Path, report: Report): void {
  if (percent === undefined) return;
  const { latest, stable } = percent;
  if (latest === undefined || stable === undefined) return;
  if (latest + stable !== 100)
    report(
      [...path, 'percent'],
      'bad-sum',
      `latest ${latest} and stable ${stable} come to ${latest + stable}; the sum must be 100`,
      'key',
    );
}

function checkSteps(
  { steps = [] }: WrittenTraffic,
  first: WrittenContainer | undefined,
  path: Path,
  report: Report,
): void {
  let before = -1;
  for (const [index, step] of steps.entries()) {
    const at = [...path, 'steps', index];
    const percent = step?.percent ?? before + 1;
    if (percent <= before)
      report(
        [...at, 'percent'],
        'not-ascending',
        `${percent} does not follow ${before}; each step must be more than the one before`,
      );
    before = Math.max(before, percent);
    checkDuration(step?.soak, [...at, 'soak'], report);
    for (const [number, check] of (step?.check ?? []).entries())
      checkCheck(check, first, [...at, 'check', number], report);
  }
}

function checkCheck(
  check: WrittenCheck | undefined,
  first: WrittenContainer | undefined,
  path: Path,
  report: Report,
): void {
  const port = check?.http?.port;
  if (port === undefined) return;
  if (check?.http?.url !== undefined)
    report([...path, 'http', 'port'], 'bad-value', 'port goes with path; write the port of a url in the url');
  else if (typeof port === 'string' && !(first?.ports ?? []).some((known) => known?.name === port))
    report(
      [...path, 'http', 'port'],
      'missing-reference',
      `the first container has no port named ${JSON.stringify(port)}; name one that it has, or add it`,
    );
}

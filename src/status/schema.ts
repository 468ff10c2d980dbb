/** What is read from the status branch is data that anybody may have edited: it counts only if it has this shape. */
import { createRequire } from 'node:module';
import type { ErrorObject, ValidateFunction } from 'ajv';
import type { StatusDocument } from './document.ts';
import { sizeOf } from './fold.ts';
import { unitsWrong } from './units.ts';
import { oneLine } from './words.ts';

type Schema = Record<string, unknown>;

const text = { type: 'string' };
const flag = { type: 'boolean' };
const count = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const positive = { ...count, minimum: 1 };
const seconds = { type: 'number', minimum: 0 };
const percent = { type: 'integer', minimum: 0, maximum: 100 };
const time = { type: 'string', format: 'time' };
const oid = { type: 'string', pattern: '^[0-9a-f]{40}$' };
const revision = { type: 'string', pattern: '^[0-9a-f]{10}$' };
const name = { type: 'string', pattern: '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$' };
/** Names and runs of names: `web-1..10`. */
const folded = { type: 'array', items: { type: 'string', format: 'units' } };
const oneOf = (...values: string[]): Schema => ({ type: 'string', enum: values });
const list = (items: Schema): Schema => ({ type: 'array', items });
const mapOf = (keys: Schema, values: Schema): Schema => ({
  type: 'object',
  propertyNames: keys,
  additionalProperties: values,
});

/** An object with exactly these properties; those whose name ends in `?` may be absent. */
function object(properties: Record<string, Schema>): Schema {
  const names = Object.keys(properties);
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((key) => [key.replace('?', ''), properties[key]])),
    required: names.filter((key) => !key.endsWith('?')),
    additionalProperties: false,
  };
}

const cause = oneOf('upgrade', 'rollback');
const phase = oneOf(
  'Pending',
  'Checking',
  'Progressing',
  'Paused',
  'RollingBack',
  'Succeeded',
  'RolledBack',
  'Canceled',
  'Failed',
  'Superseded',
  'Expired',
);

const query = mapOf({ not: { const: '__proto__' } }, text);
const policy = {
  type: 'object',
  oneOf: [
    object({ percent: mapOf(name, percent) }),
    object({ match: object({ rules: list(object({ version: name, query })), default: name }) }),
  ],
};

const goal = {
  type: 'object',
  oneOf: [
    object({
      replicas: object({
        'version?': name,
        want: mapOf(revision, count),
        maxTotal: count,
        minAvailable: count,
        minReadySeconds: seconds,
      }),
    }),
    object({ traffic: policy }),
    object({
      units: object({
        changes: list(object({ to: revision, 'undo?': list(revision), units: folded })),
        maxInFlight: count,
      }),
    }),
    object({ members: object({ 'size?': count, 'controlPlane?': count, revision }) }),
  ],
};

const check = {
  type: 'object',
  oneOf: [
    object({ http: object({ 'path?': text, 'url?': text, 'port?': { type: ['integer', 'string'] } }) }),
    object({ command: list(text) }),
  ],
};

const gate = {
  type: 'object',
  oneOf: [object({ pause: { const: true } }), object({ soakSeconds: seconds }), object({ check, 'version?': name })],
};

const unitState = oneOf(
  ...['Pending', 'TakingOut', 'Updating', 'Verifying', 'PuttingBack'],
  ...['Succeeded', 'Failed', 'Skipped', 'Canceled', 'Unknown'],
);
const unit = object({ name: text, state: unitState, 'message?': text });

const stage = object({
  name: text,
  phase: oneOf('Pending', 'Progressing', 'Waiting', 'Stopped', 'Done'),
  goal: text,
  'done?': count,
  total: count,
  'begunAt?': time,
  'doneAt?': time,
  want: goal,
  'gates?': list(gate),
  'units?': list(unit),
});

const precheck = object({ name: text, result: oneOf('pass', 'warn', 'fail'), message: text, remedy: text });

const weight = { type: 'number' };

const units = object({
  order: folded,
  before: list(
    object({ 'inService?': { const: false }, 'weight?': weight, 'cordoned?': { const: true }, units: folded }),
  ),
  records: list(
    object({
      state: unitState,
      since: time,
      'message?': text,
      'tries?': count,
      'as?': oneOf('Skipped', 'Canceled', 'Failed'),
      'checks?': object({ failures: count, 'askedAt?': time, 'passed?': { const: true } }),
      units: folded,
    }),
  ),
});

const rollout = object({
  id: positive,
  cause,
  commit: oid,
  'from?': revision,
  to: revision,
  'version?': name,
  phase,
  'reason?': oneOf('Batch', 'Step', 'Failure', 'Operator', 'Window', 'Unknown'),
  message: text,
  startedAt: time,
  'finishedAt?': time,
  prechecks: list(precheck),
  generation: positive,
  stages: list(stage),
  'reachedAt?': time,
  'checks?': object({ 'passedAt?': time, 'askedAt?': time, failures: count, 'message?': text }),
  'continued?': { const: true },
  'held?': { const: true },
  'turned?': { const: true },
  'retriedAt?': time,
  'units?': units,
  'back?': { const: true },
  'tampered?': { const: true },
  'closing?': object({ phase: oneOf('Canceled', 'Superseded', 'Expired', 'Failed'), message: text }),
  'successor?': object({ revision, prechecks: list(precheck) }),
  'pausedAt?': time,
  progress: object({ mark: text, at: time }),
});

const version = object({
  name,
  revision,
  'ready?': count,
  'total?': count,
  'address?': text,
  'commit?': oid,
  'rollout?': count,
  'stable?': name,
});

const instance = object({
  name: text,
  'revision?': revision,
  'version?': text,
  ready: flag,
  service: oneOf('in', 'leaving', 'out'),
  'weight?': weight,
  'cordoned?': { const: true },
  'controlPlane?': { const: true },
  'outdated?': { const: true },
  'message?': text,
});

const instances = object({
  total: count,
  ready: count,
  inService: count,
  'wanted?': text,
  runs: list(object({ 'revision?': revision, 'version?': text, count })),
  listed: list(instance),
  stacks: list(
    object({
      'applied?': list(revision),
      'version?': text,
      'controlPlane?': { const: true },
      'created?': { const: true },
      'ready?': { const: false },
      units: folded,
    }),
  ),
});

const operation = object({ name, outcome: oneOf('applied', 'refused'), message: text, at: time, digest: text });

const historyEntry = object({
  id: positive,
  cause,
  commit: oid,
  revision,
  phase,
  startedAt: time,
  finishedAt: time,
  stages: list(object({ name: text, seconds })),
  message: text,
});

const status = object({
  resource: { type: 'string', pattern: '^(Workload|Service|Fleet|Cluster)/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$' },
  commit: oid,
  health: oneOf('Healthy', 'Progressing', 'Paused', 'Degraded', 'Invalid'),
  message: text,
  'revision?': revision,
  'rollout?': rollout,
  'versions?': list(version),
  'traffic?': policy,
  'instances?': instances,
  'scaled?': object({ replicas: count, by: text }),
  repairs: object({ count, 'last?': time }),
  operations: list(operation),
  history: list(historyEntry),
  'attempted?': revision,
  'deletion?': object({ commit: oid, confirmed: flag }),
  settled: object({
    goals: list(goal),
    lineage: list(object({ revision, commit: oid })),
    'full?': name,
    'partial?': revision,
    observed: flag,
  }),
  digest: text,
});

const TIME = /^(?:\d{4}|[+-]\d{6})-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

const UNITS = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?(?:\.\.[0-9]{1,9})?$/;
/** So many units may all lists of a file name together: a few letters must not stand for a billion. */
const MOST_UNITS = 200_000;

let compiled: ValidateFunction<StatusDocument> | undefined;

/** Compiled at the first use: it takes some 50 ms, and most commands need none of it. */
function validator(): ValidateFunction<StatusDocument> {
  if (compiled === undefined) {
    // Loaded by who has a status to read: it takes as long as much else of a start.
    const { Ajv } = createRequire(import.meta.url)('ajv') as typeof import('ajv');
    const ajv = new Ajv({ allowUnionTypes: true });
    ajv.addFormat('units', (value: string) => UNITS.test(value) && sizeOf(value) !== undefined);
    ajv.addFormat('time', (value: string) => TIME.test(value) && !Number.isNaN(Date.parse(value)));
    compiled = ajv.compile<StatusDocument>(status);
  }
  return compiled;
}

/** The first thing that is wrong: `path` into the document (empty: the whole), and what; undefined: nothing. */
export function wrongIn(value: unknown): { path: string; problem: string } | undefined {
  const validate = validator();
  if (validate(value)) return wrongUnits(value);
  const error = deepest(validate.errors ?? []);
  return { path: pathOf(error?.instancePath ?? ''), problem: problemOf(error) };
}

function wrongUnits({ rollout, settled, instances }: StatusDocument): { path: string; problem: string } | undefined {
  const goals = [...(rollout?.stages ?? []).map(({ want }) => want), ...settled.goals];
  const changes = goals.flatMap((goal) => ('units' in goal ? goal.units.changes : []));
  const { order, before, records } = rollout?.units ?? { order: [], before: [], records: [] };
  const lists = [{ units: order }, ...before, ...records, ...changes, ...(instances?.stacks ?? [])];
  const named = lists.reduce(
    (sum, { units }) => sum + units.reduce((most, entry) => most + (sizeOf(entry) ?? 0), 0),
    0,
  );
  if (named > MOST_UNITS) return { path: '', problem: `names ${named} units, at most ${MOST_UNITS}` };
  const wrong = rollout?.units === undefined ? undefined : unitsWrong(rollout.units);
  return wrong && { path: `rollout.units.${wrong.path}`, problem: wrong.problem };
}

/** Of alternatives that all fail, the one that got furthest says most. */
const deepest = (errors: ErrorObject[]): ErrorObject | undefined =>
  errors.reduce<ErrorObject | undefined>(
    (best, error) => (best === undefined || depth(error) > depth(best) ? error : best),
    undefined,
  );

const depth = (error: ErrorObject): number => error.instancePath.split('/').length;

/** `/rollout/stages/0/name` → `rollout.stages[0].name`. */
function pathOf(pointer: string): string {
  const parts = pointer.split('/').slice(1);
  const steps = parts.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  return steps.map((step, index) => (/^\d+$/.test(step) ? `[${step}]` : index === 0 ? step : `.${step}`)).join('');
}

function problemOf(error: ErrorObject | undefined): string {
  if (error === undefined) return 'is not a status';
  const { keyword, params, message } = error as ErrorObject<string, Record<string, unknown>>;
  switch (keyword) {
    case 'additionalProperties':
      return `has an unknown field \`${quoted(params.additionalProperty)}\``;
    case 'propertyNames':
      return `has a key that is not allowed: \`${quoted(params.propertyName)}\``;
    case 'enum':
      return `must be one of ${String(params.allowedValues).replaceAll(',', ', ')}`;
    case 'format':
      if (params.format === 'units') return 'must be the name of a unit, or a run of them such as web-1..10';
      return 'must be a time such as 2026-11-20T22:22:03.125Z';
    default:
      return message ?? 'is not right';
  }
}

const quoted = (key: unknown): string => oneLine(String(key), 80);

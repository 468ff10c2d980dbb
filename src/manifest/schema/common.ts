/** What the kinds have in common: names, quantities, durations, checks, windows, the envelope of a document. */
import { DURATION_PATTERN } from '../duration.ts';
import { QUANTITY_PATTERN } from '../quantity.ts';
import { choice, fields, flag, list, map, oneOf, type Schema, text, whole } from './build.ts';

/** Plain objects answer for `constructor` without having it, so nothing may be called that. */
const NAME_PATTERN = '^(?!constructor$)[a-z0-9]([-a-z0-9]*[a-z0-9])?$';
const NAME_HELP =
  'lower-case letters, digits and "-", starting and ending with a letter or a digit, at most 63 characters';

export const name = (description: string): Schema =>
  text(description, { pattern: NAME_PATTERN, patternErrorMessage: NAME_HELP, minLength: 1, maxLength: 63 });

/** The name of a ConfigMap or Secret: as Kubernetes has it, dots allowed. */
export const objectName = (description: string): Schema =>
  text(description, {
    pattern: '^(?!constructor$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
    patternErrorMessage:
      'lower-case letters, digits, "-" and ".", each part starting and ending with a letter or a digit',
    minLength: 1,
    maxLength: 253,
  });

/** A key of a ConfigMap or Secret: also a file name, so never `.` or `..`. */
export const DATA_KEY: Schema = {
  type: 'string',
  pattern: '^(\\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*)$',
  patternErrorMessage: 'letters, digits, "-", "_" and ".", not starting with ".."',
  minLength: 1,
  maxLength: 253,
};
export const dataKey = (description: string): Schema => ({ ...DATA_KEY, description });

export const duration = (description: string, rest: Omit<Schema, 'type' | 'description'> = {}): Schema =>
  text(description, {
    pattern: DURATION_PATTERN,
    patternErrorMessage: 'a duration: one whole number and one of ms, s, m, h, d, such as 90s or 10m',
    maxLength: 16,
    ...rest,
  });

/** YAML reads `0.5` and `1` as numbers; both ways of writing are taken. */
export const quantity = (description: string, rest: Omit<Schema, 'description'> = {}): Schema => ({
  description,
  type: ['string', 'number'],
  minimum: 0,
  pattern: QUANTITY_PATTERN,
  patternErrorMessage:
    'a quantity: a number, and m, k, M, G, T, P, Ki, Mi, Gi, Ti or Pi after it, such as 0.5, 500m or 128Mi',
  maxLength: 32,
  ...rest,
});

const hostName = (description: string): Schema =>
  text(description, {
    pattern: '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$',
    patternErrorMessage: 'a DNS name: parts of lower-case letters, digits and "-", joined by ".", without a port',
    minLength: 1,
    // 253, and room for a version's name before it.
    maxLength: 189,
  });

export const command = (description: string, rest: Omit<Schema, 'type' | 'description'> = {}): Schema =>
  list(description, text('One argument, passed as it is: no shell reads it.', { maxLength: 65536 }), {
    minItems: 1,
    maxItems: 1000,
    ...rest,
  });

/** A port by number or by the name that the container gives it. */
export const port = (description: string): Schema => ({
  description,
  type: ['integer', 'string'],
  minimum: 1,
  maximum: 65535,
  minLength: 1,
  maxLength: 15,
});

export const webAddress = (description: string): Schema =>
  text(description, {
    pattern: '^https?://[^\\s/]+',
    patternErrorMessage: 'an address that starts with http:// or https://',
  });

/** `units`: what `path` is asked on; `port`: the port that goes with it. */
export const checks = (
  description: string,
  units = 'every ready replica of the new version',
  portOfPath = port("With `path`: the port, by number or name. Default: the first container's first port."),
  rest: Omit<Schema, 'type' | 'description'> = {},
): Schema =>
  list(
    description,
    oneOf('One check: exactly one of `http` and `command`.', {
      http: fields(
        'Asks with GET; an answer from 200 to 399 passes.',
        {
          path: text(`Asked on ${units}, e.g. \`/health\`.`, {
            pattern: '^/',
            patternErrorMessage: 'a path that starts with "/"',
          }),
          url: webAddress('Asked as it is, instead of `path`, e.g. a question to a monitoring system.'),
          port: portOfPath,
        },
        { oneOf: [{ required: ['path'] }, { required: ['url'] }] },
      ),
      command: command('Run on the unit; exit status 0 passes.'),
    }),
    rest,
  );

const IMAGE_PART = '[a-zA-Z0-9][-a-zA-Z0-9._]*';
const IMAGE_NAME = `(?!.*\\.\\.)${IMAGE_PART}(:[0-9]{1,5}(?=/))?(/${IMAGE_PART})*`;
const IMAGE_HELP = 'letters, digits, "-", "_" and ".", in parts joined by "/", without ".."';

/** `name:tag`. */
export const imageName = (description: string): Schema =>
  text(description, {
    pattern: `^${IMAGE_NAME}:[a-zA-Z0-9_][-a-zA-Z0-9._]*$`,
    patternErrorMessage: `name:tag, such as hello:8: ${IMAGE_HELP}`,
    minLength: 1,
    maxLength: 512,
  });
export const imageWithoutTag = (description: string): Schema =>
  text(description, {
    pattern: `^${IMAGE_NAME}$`,
    patternErrorMessage: `a name without a tag, such as node: ${IMAGE_HELP}`,
    minLength: 1,
    maxLength: 384,
  });

const LABEL_NAME = '([a-z0-9.-]{1,253}/)?[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?';
/** `metadata.labels['<key>']`. */
export const LABEL_FIELD = `metadata\\.labels\\['${LABEL_NAME}'\\]`;

export const labels = (description: string, rest: Omit<Schema, 'type' | 'description'> = {}): Schema =>
  map(description, text('The value of the label.', { maxLength: 63 }), {
    propertyNames: {
      type: 'string',
      pattern: `^${LABEL_NAME}$`,
      patternErrorMessage: 'a label name: letters, digits, "-", "_" and ".", optionally after a domain and "/"',
    },
    ...rest,
  });

const windows = list(
  'Maintenance windows: forward rollouts start and go on only inside one of them; rollbacks and repairs wait for none. Empty: at any time.',
  fields(
    'One window, which opens again and again.',
    {
      cron: text("When it opens, as a cron expression of five fields, e.g. `0 2 * * 6`: Saturdays at 2 o'clock.", {
        minLength: 1,
        maxLength: 256,
      }),
      duration: duration('How long it stays open, e.g. `4h`; at most `31d`.'),
      timezone: text('The time zone of `cron`, e.g. `Asia/Shanghai`.', { default: 'UTC', minLength: 1, maxLength: 64 }),
    },
    { required: ['cron', 'duration'] },
  ),
  { default: [] },
);

/** What the specs of all resources have in common. */
export const resourceSpec = {
  target: {
    ...name('The Target that it runs on, by name. `local`, this machine, is there without a manifest.'),
    default: 'local',
  },
  description: text('For whoever reads the history, e.g. `Apache 2.4.62`.'),
  paused: flag('`true`: nothing new is started; units under way finish.', false),
  onFailure: choice(
    'What follows when a rollout fails: `pause` waits for a person; `rollback` goes back; `revert` goes back and also pushes a branch with a commit that restores the inputs. Default: `pause`; of a Service with `upgrade: inPlace`: `rollback`.',
    ['pause', 'rollback', 'revert'],
  ),
  progressDeadlineSeconds: whole(
    'Without progress for so long, the rollout fails. The clock stops while it is paused.',
    1,
    31_536_000,
    {
      default: 600,
    },
  ),
  revisionHistoryLimit: whole('How many tags, kept revisions and history entries the resource keeps.', 1, 1000, {
    default: 5,
  }),
  windows,
} satisfies Record<string, Schema>;

export const host = hostName(
  "The host name at which the router serves it, to the first container's first port. Default: `<name>.localhost`.",
);

/** What the specs of all that has replicas have in common. */
export const commonSpec = {
  ...resourceSpec,
  replicas: whole('How many replicas run (of a Service: of each version that runs).', 0, 10_000, { default: 1 }),
  host,
} satisfies Record<string, Schema>;

const DRAFT = 'http://json-schema.org/draft-07/schema#';

/** A whole document of a kind of `sluice/v1`. */
export const document = (kind: string, description: string, spec: Schema, examples: unknown[]): Schema => ({
  $schema: DRAFT,
  title: kind,
  ...fields(
    description,
    {
      apiVersion: { ...choice('The version of the format.', ['sluice/v1']) },
      kind: choice('What the document declares.', [kind]),
      metadata: fields(
        'What it is called.',
        { name: name(`Its name, unique among all of kind ${kind}.`) },
        { required: ['name'] },
      ),
      spec,
    },
    { required: ['apiVersion', 'kind', 'metadata', 'spec'] },
  ),
  examples,
});

export const standalone = (title: string, schema: Schema, examples: unknown[]): Schema => ({
  $schema: DRAFT,
  title,
  ...schema,
  examples,
});

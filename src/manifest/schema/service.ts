import { choice, fields, flag, list, map, oneOf, type Schema, text, whole } from './build.ts';
import { checks, commonSpec, document, duration, name } from './common.ts';
import { template } from './pod.ts';

const ROLES = ['latest', 'stable'];
const percent = (description: string, rest: Partial<Schema> = {}): Schema => whole(description, 0, 100, rest);

const traffic = oneOf(
  'Which version gets which part of the traffic: exactly one of the four. `latest` is the version of what is declared; `stable` the one that was most recently at 100 % when that was first deployed. Default: `onDeploy: all`; with `upgrade: inPlace` traffic stays as it is.',
  {
    onDeploy: choice('`all`: 100 % to the new version once it is ready; `none`: it is deployed and left at 0 %.', [
      'all',
      'none',
    ]),
    steps: list(
      'The new version gets more traffic step by step; what must hold at a step holds before the next one.',
      fields(
        'One step.',
        {
          percent: percent('The share of the new version, in percent; more than in the step before.'),
          soak: duration('How long the step lasts at least, e.g. `10m`.'),
          pause: flag('`true`: it waits here until somebody says `sluice continue`.', false),
          check: checks('What must pass before the next step.'),
        },
        { required: ['percent'] },
      ),
      { minItems: 1 },
    ),
    percent: fields('A fixed division in whole percents, whose sum is 100.', {
      latest: percent('The share of `latest`.', { default: 0 }),
      stable: percent('The share of `stable`.', { default: 0 }),
    }),
    match: fields(
      'By what the request asks for.',
      {
        rules: list(
          'The first rule that matches wins.',
          fields(
            'One rule.',
            {
              version: choice('Where a request goes that matches.', ROLES),
              query: map(
                'Query parameters and the globs that their values match (`*`, `?`, `[a-z]`; case matters); every one must match.',
                text('A glob, e.g. `1*`.', { minLength: 1, maxLength: 256 }),
                {
                  minProperties: 1,
                  maxProperties: 50,
                  propertyNames: { type: 'string', minLength: 1, maxLength: 256 },
                },
              ),
            },
            { required: ['version', 'query'] },
          ),
          { minItems: 1 },
        ),
        default: choice('Where a request goes that no rule matches.', ROLES),
      },
      { required: ['rules', 'default'] },
    ),
  },
);

export const service = document(
  'Service',
  'Versions side by side, with traffic divided between them.',
  fields(
    'What should run, and how it is rolled out.',
    {
      ...commonSpec,
      version: name(
        'The name of this version, part of its address `<version>.<host>`; it belongs to one revision for good. Default: `v<rollout id>`.',
      ),
      upgrade: choice(
        '`newVersion`: deployed beside the versions that are there; `inPlace`: the running version is deployed again under its own name and address.',
        ['newVersion', 'inPlace'],
        {
          default: 'newVersion',
        },
      ),
      traffic,
      keepVersions: whole(
        'Earlier versions left running besides those that traffic names, so that a rollback is only a matter of traffic.',
        0,
        100,
        {
          default: 1,
        },
      ),
      template,
    },
    { required: ['template'] },
  ),
  [
    {
      apiVersion: 'sluice/v1',
      kind: 'Service',
      metadata: { name: 'shop' },
      spec: {
        replicas: 2,
        traffic: {
          steps: [
            { percent: 10, soak: '10m', check: [{ http: { path: '/health' } }] },
            { percent: 50, pause: true },
            { percent: 100 },
          ],
        },
        template: {
          spec: {
            containers: [
              {
                name: 'shop',
                image: 'shop:8',
                ports: [{ name: 'http', containerPort: 8080 }],
                readinessProbe: { httpGet: { path: '/health', port: 'http' }, periodSeconds: 2 },
              },
            ],
          },
        },
      },
    },
  ],
);

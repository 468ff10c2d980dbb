import { fields, type Schema, whole } from './build.ts';
import { commonSpec, document } from './common.ts';
import { template } from './pod.ts';

const amount = (description: string, fallback: number): Schema => ({
  description,
  type: ['integer', 'string'],
  minimum: 0,
  maximum: 10_000,
  maxLength: 4,
  pattern: '^([0-9]|[1-9][0-9]|100)%$',
  patternErrorMessage: 'a number such as 1, or a percentage from 0% to 100%',
  default: fallback,
});

export const workload = document(
  'Workload',
  'Replicas of one template, upgraded a few at a time.',
  fields(
    'What should run, and how it is rolled out.',
    {
      ...commonSpec,
      strategy: fields(
        'How replicas are replaced.',
        {
          rollingUpdate: fields(
            'The bounds within which replicas are replaced; not both may come to 0.',
            {
              maxSurge: amount('How many more than `replicas` may be there: a number, or a percentage, rounded up.', 1),
              maxUnavailable: amount(
                'How many fewer than `replicas` may be ready: a number, or a percentage, rounded down.',
                0,
              ),
            },
            { default: {} },
          ),
        },
        { default: {} },
      ),
      minReadySeconds: whole(
        'Seconds that a replica must have been ready without a break to count as available.',
        0,
        86_400,
        { default: 0 },
      ),
      template,
    },
    { required: ['template'] },
  ),
  [
    {
      apiVersion: 'sluice/v1',
      kind: 'Workload',
      metadata: { name: 'tomcat' },
      spec: {
        replicas: 5,
        strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: {
          metadata: { labels: { app: 'tomcat' } },
          spec: {
            containers: [
              {
                name: 'tomcat',
                image: 'tomcat:8',
                ports: [{ name: 'http', containerPort: 8080 }],
                env: [{ name: 'GREETING', valueFrom: { configMapKeyRef: { name: 'shop', key: 'greeting' } } }],
                readinessProbe: { httpGet: { path: '/health', port: 'http' }, periodSeconds: 2 },
              },
            ],
          },
        },
      },
    },
  ],
);

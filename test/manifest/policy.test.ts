/** `container-instance`: each bound at its edge and one step beyond. */
import t from 'tap';
import { containerInstance } from '../../src/manifest/policy.ts';
import type { Container } from '../../src/manifest/resource.ts';

const container = (cpu?: string, memory?: string, part: 'limits' | 'requests' = 'limits'): Container => ({
  name: 'web',
  image: 'web:1',
  env: [],
  envFrom: [],
  ports: [],
  resources: { [part]: { ...(cpu !== undefined && { cpu }), ...(memory !== undefined && { memory }) } },
  volumeMounts: [],
  logs: [],
});
const said = (...containers: Container[]) =>
  containerInstance(containers).map(({ container, message }) => `${container ?? 'unit'}: ${message}`);

const fine: [what: string, containers: Container[]][] = [
  ['2 GiB for each CPU', [container('1', '2Gi')]],
  ['4 GiB for each CPU', [container('1', '4Gi')]],
  ['the smallest', [container('0.25', '1Gi')]],
  ['the greatest', [container('32', '128Gi')]],
  ['the greatest with the least memory', [container('32', '64Gi')]],
  ['steps of a quarter', [container('750m', '2Gi')]],
  ['parts that come to whole GiB', [container('0.25', '512Mi'), container('250m', '0.5Gi')]],
  ['the least memory of a container', [container('0.25', '205Mi'), container('0.25', '819Mi')]],
  ['five containers', Array.from({ length: 5 }, () => container('1', '2Gi'))],
  ['requests where there are no limits', [container('1', '2Gi', 'requests')]],
];
for (const [what, containers] of fine) t.test(`admits ${what}`, async (t) => t.strictSame(said(...containers), []));

const refused: [what: string, containers: Container[], says: string[]][] = [
  [
    'what is not said',
    [container()],
    ['0: cpu is missing; set resources.limits.cpu', '0: memory is missing; set resources.limits.memory'],
  ],
  [
    'a step that is none',
    [container('0.3', '1Gi')],
    ['0: the CPU of a container is 0.25 to 32 in steps of 0.25, found 0.3'],
  ],
  [
    'less than a quarter',
    [container('0.2', '1Gi'), container('0.8', '1Gi')],
    [
      '0: the CPU of a container is 0.25 to 32 in steps of 0.25, found 0.2',
      '1: the CPU of a container is 0.25 to 32 in steps of 0.25, found 0.8',
    ],
  ],
  [
    'more CPU than a unit has',
    [container('32', '64Gi'), container('0.25', '1Gi')],
    ['unit: the CPU of a unit is 0.25 to 32 in steps of 0.25, found 32.25'],
  ],
  [
    'memory that is not whole',
    [container('0.5', '1.5Gi')],
    ['unit: the memory of a unit is 1 to 128 GiB in whole GiB, found 1.5 GiB'],
  ],
  [
    'more memory than a unit has',
    [container('32', '128Gi'), container('0.25', '1Gi')],
    [
      'unit: the CPU of a unit is 0.25 to 32 in steps of 0.25, found 32.25',
      'unit: the memory of a unit is 1 to 128 GiB in whole GiB, found 129 GiB',
    ],
  ],
  [
    'less memory than a container needs',
    [container('0.25', '204Mi'), container('0.25', '820Mi')],
    ['0: a container has at least 0.2 GiB of memory, found 0.199 GiB'],
  ],
  [
    'too little memory for its CPU',
    [container('1', '1Gi')],
    ['unit: 1 CPU goes with 2 to 4 GiB of memory, found 1 CPU with 1 GiB'],
  ],
  [
    'too much memory for its CPU',
    [container('1', '5Gi')],
    ['unit: 1 CPU goes with 2 to 4 GiB of memory, found 1 CPU with 5 GiB'],
  ],
  [
    'six containers',
    Array.from({ length: 6 }, () => container('1', '2Gi')),
    ['unit: a unit has at most 5 containers, found 6'],
  ],
];
for (const [what, containers, says] of refused)
  t.test(`refuses ${what}`, async (t) => t.strictSame(said(...containers), says));

import t from 'tap';
import { versionChecks } from '../../src/rollout/version-skew.ts';
import { machine } from '../support/fleet-world.ts';

const cluster = (masters: string[], nodes: string[]) => [
  ...masters.map((version, index) => machine(`cp-${index + 1}`, { controlPlane: true, version })),
  ...nodes.map((version, index) => machine(`node-${index + 1}`, { version })),
];

const CASES: [string, string[], string[], RegExp | 'pass'][] = [
  ['1.36.0', ['1.35.2'], ['1.35.2'], 'pass'],
  ['1.36.3', ['1.36.0'], ['1.34.0', '1.33.1'], 'pass'],
  ['1.36.0', ['1.36.0', '1.35.0'], ['1.35.0'], 'pass'],
  ['v1.36.0', ['v1.35.2'], ['v1.35.2-k3s1'], 'pass'],
  ['1.37.0', ['1.35.2'], ['1.35.2'], /from cp-1 \(1.35.2\) to 1.37.0 is more than one minor/],
  ['2.0.0', ['1.35.2'], [], /more than one minor/],
  ['1.35.1', ['1.35.2'], ['1.35.0'], /a cluster is never downgraded: 1.35.1 is below what runs on cp-1 \(1.35.2\)/],
  ['1.36.0', ['1.36.0'], ['1.32.9'], /node-1 \(1.32.9\) would be more than 3 minors behind/],
  ['1.36.0', ['1.35.0'], ['1.36.0'], /node-1 \(1.36.0\) is newer than the control plane \(1.35.0\)/],
  ['1.36.0', ['', '1.35.0'], [], /the version of cp-1 is not known/],
  ['latest', ['1.35.0'], [], /latest is no version/],
];

for (const [wanted, masters, nodes, expected] of CASES) {
  t.test(`${masters.join(' ')} and ${nodes.join(' ')} to ${wanted}`, async (t) => {
    const results = versionChecks(wanted, cluster(masters, nodes));
    if (expected === 'pass')
      t.strictSame(
        results.map(({ result }) => result),
        ['pass'],
      );
    else {
      t.ok(results.every(({ result, remedy }) => result === 'fail' && remedy !== ''));
      t.match(results.map(({ message }) => message).join('\n'), expected);
    }
  });
}

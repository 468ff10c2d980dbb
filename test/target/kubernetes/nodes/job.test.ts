/** The Job of an upgrade: what it is, what it does on its node, and what is concluded from how it ended. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  type JobPod,
  jobName,
  nodeLabel,
  outcomeOf,
  upgradeJob,
  viewJob,
  viewJobPod,
} from '../../../../src/target/kubernetes/nodes/job.ts';
import { ALREADY, RUN_ON_NODE } from '../../../../src/target/kubernetes/nodes/script.ts';

const meta = (name: string) => ({ name, uid: `uid-${name}`, resourceVersion: '1' });

const upgrade = {
  ...{ resource: 'Cluster/prod' as const, node: 'ip-10-0-0-1.internal', attempt: 'ip-10-0-0-1.internal.7.1' },
  ...{ version: '1.36.3', script: { interpreter: 'sh' as const, run: 'kubeadm upgrade node', timeout: '10m' } },
};

t.test('the Job of an upgrade', (t) => {
  const labels = { 'sluice/upgrades-node': upgrade.node };
  const annotations = { 'sluice/attempt': upgrade.attempt };
  t.strictSame(upgradeJob(upgrade, 'busybox:1.37'), {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: jobName('Cluster/prod', upgrade.attempt), labels, annotations },
    spec: {
      suspend: true,
      backoffLimit: 0,
      activeDeadlineSeconds: 900,
      template: {
        metadata: { labels, annotations },
        spec: {
          nodeName: upgrade.node,
          tolerations: [{ operator: 'Exists' }],
          restartPolicy: 'Never',
          hostPID: true,
          hostNetwork: true,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 30,
          containers: [
            {
              name: 'upgrade',
              image: 'busybox:1.37',
              command: ['nsenter', '-t', '1', '-m', '-u', '-i', '-n', '-p', '--', 'sh', '-c', RUN_ON_NODE, 'sh'],
              args: [
                ...['/var/lib/sluice/attempts', upgrade.attempt, '600', 'kubeadm upgrade node'],
                ...['SLUICE_RESOURCE=Cluster/prod', 'SLUICE_ROLLOUT=7', `SLUICE_INSTANCE=${upgrade.node}`],
                'SLUICE_VERSION=1.36.3',
              ],
              securityContext: { privileged: true },
              terminationMessagePolicy: 'FallbackToLogsOnError',
            },
          ],
        },
      },
    },
  });
  t.equal(jobName('Cluster/prod', upgrade.attempt), 'sluice-ip-10-0-0-1-internal-7-1-5d0d096696');
  const long = `${'n'.repeat(200)}.7.1`;
  for (const name of [jobName('Cluster/prod', upgrade.attempt), jobName('Cluster/prod', long)])
    t.match(name, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])$/);
  t.not(jobName('Cluster/prod', 'n.7.1'), jobName('Cluster/test', 'n.7.1'));
  t.equal(nodeLabel('n-1'), 'n-1');
  t.ok(nodeLabel('n'.repeat(200)).length <= 63);
  t.end();
});

t.test('how a Job ended: nothing is claimed that its pod does not tell', (t) => {
  const job = (type?: string, reason = 'BackoffLimitExceeded') =>
    viewJob({
      metadata: meta('j'),
      spec: {},
      status: type === undefined ? {} : { conditions: [{ type, status: 'True', reason, message: 'it says' }] },
    });
  const exited = (exitCode: number, message = '', status: object = {}) =>
    viewJobPod({
      metadata: meta('p'),
      status: { ...status, containerStatuses: [{ state: { terminated: { exitCode, message } } }] },
    } as JobPod);
  const waiting = viewJobPod({
    metadata: meta('p'),
    status: { containerStatuses: [{ state: { waiting: { reason: 'ImagePullBackOff', message: 'no image' } } }] },
  });
  const refused = viewJobPod({
    metadata: meta('p'),
    status: { phase: 'Failed', reason: 'OutOfpods', message: 'full' },
  });
  const failed = job('Failed');
  const table: [string, ReturnType<typeof outcomeOf>, object | undefined][] = [
    ['runs', outcomeOf(job(), exited(0)), undefined],
    ['complete', outcomeOf(job('Complete'), undefined), { state: 'succeeded', message: '' }],
    [
      'its status',
      outcomeOf(failed, exited(3, 'one\n disk full \n\n')),
      { state: 'failed', message: 'exited with code 3: disk full' },
    ],
    ['says nothing', outcomeOf(failed, exited(1)), { state: 'failed', message: 'exited with code 1' }],
    [
      'timeout',
      outcomeOf(failed, exited(124, 'was ended after its timeout of 5 s')),
      { state: 'failed', message: 'was ended after its timeout of 5 s' },
    ],
    [
      'killed with its pod',
      outcomeOf(failed, exited(137, '', { reason: 'Evicted', message: 'low on disk' })),
      { state: 'unknown', message: 'its pod was killed: Evicted: low on disk, and left no outcome' },
    ],
    ['run before', outcomeOf(failed, exited(ALREADY, 'begun before')), { state: 'unknown', message: 'begun before' }],
    ['pod gone', outcomeOf(failed, undefined), { state: 'unknown', message: 'its pod is gone, and left no outcome' }],
    ['not admitted', outcomeOf(failed, refused), { state: 'failed', message: 'its Job failed: OutOfpods: full' }],
    [
      'never started',
      outcomeOf(job('Failed', 'DeadlineExceeded'), waiting),
      { state: 'failed', message: 'its Job failed: ImagePullBackOff: no image' },
    ],
    [
      'too late',
      outcomeOf(job('Failed', 'DeadlineExceeded'), undefined),
      { state: 'failed', message: 'its Job failed: DeadlineExceeded: it says' },
    ],
  ];
  for (const [what, seen, wanted] of table) t.strictSame(seen, wanted, what);
  t.end();
});

t.test('on the node, an attempt runs its script once, whatever starts it again', (t) => {
  const folder = join(t.testdir(), 'attempts');
  const run = (attempt: string, script: string, limit = '20', ...given: string[]) => {
    const args = ['-c', RUN_ON_NODE, 'sh', folder, attempt, limit, script, ...given];
    const { status, stdout } = spawnSync('sh', args, {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, SECRET: 'x' },
    });
    return { status, said: stdout.trim().split('\n').at(-1) };
  };
  const once = `echo ran >>${folder}/count; echo "$SLUICE_VERSION $HOME [$SECRET]"; exit 3`;
  t.strictSame(run('n.1.1', once, '20', 'SLUICE_VERSION=1.36.3 $(x)'), { status: 3, said: '1.36.3 $(x) /root []' });
  t.equal(run('n.1.1', once).status, 3, 'what it ended with is given again');
  t.equal(readFileSync(join(folder, 'count'), 'utf8'), 'ran\n');

  t.match(run('n.1.2', 'kill -9 $(cut -d " " -f 4 /proc/$PPID/stat)', '20').status, null, 'its runner is killed');
  t.strictSame(run('n.1.2', 'true'), {
    status: ALREADY,
    said: 'this attempt was begun on the node before, and left no outcome',
  });
  t.strictSame(run('n.1.3', 'sleep 30', '1'), { status: 124, said: 'was ended after its timeout of 1 s' });
  t.strictSame(run('n.1.4', 'kill -9 $$'), { status: 128, said: 'was ended by signal 9' });
  t.strictSame(run('n.1.4', 'true').status, 128);
  t.strictSame(run('n.1.5', 'cat; echo end').said, 'end', 'there is nothing to read');
  t.equal(spawnSync('sh', ['-c', RUN_ON_NODE, 'sh', '/proc/nowhere', 'n.1.6', '5', 'true']).status, 1);
  t.notOk(existsSync('/proc/nowhere'));
  t.end();
});

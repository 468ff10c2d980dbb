/** Valid documents of fleets, clusters and hosts → specs. The schema's defaults must be filled in already. */
import type { Check, ClusterSpec, DeclaredScript, FleetSpec, ScriptSource, SizeSchedule } from './resource.ts';
import type { SshHost, SshTarget } from './target.ts';
import type { WrittenCluster, WrittenCommand, WrittenFleet, WrittenScript, WrittenTarget } from './written.ts';

type Common = Pick<
  FleetSpec,
  'target' | 'description' | 'paused' | 'progressDeadlineSeconds' | 'revisionHistoryLimit' | 'windows'
>;

function common(written: WrittenFleet | WrittenCluster): Common & Pick<FleetSpec, 'onFailure'> {
  const { target, paused, progressDeadlineSeconds, revisionHistoryLimit, windows } = written as Common;
  return {
    target,
    ...(written.description !== undefined && { description: written.description }),
    paused,
    onFailure: written.onFailure ?? 'pause',
    progressDeadlineSeconds,
    revisionHistoryLimit,
    windows,
  };
}

export function toFleetSpec(name: string, written: WrittenFleet): FleetSpec {
  const { selector, size, image, rollbackImage, script, scaling } = written;
  const filled = written as Pick<FleetSpec, 'batches' | 'pause' | 'maxFailures' | 'check' | 'suspend' | 'suspended'>;
  return {
    kind: 'Fleet',
    ...common(written),
    members: selector === undefined ? { size: size ?? 0 } : { selector },
    host: written.host ?? `${name}.localhost`,
    ...(image !== undefined && { image }),
    ...(rollbackImage !== undefined && { rollbackImage }),
    ...(script && { script: toScript(script) }),
    batches: filled.batches,
    pause: filled.pause,
    maxFailures: filled.maxFailures,
    check: filled.check,
    suspend: filled.suspend,
    suspended: filled.suspended,
    schedules: (scaling?.schedules ?? []) as SizeSchedule[],
  };
}

export function toClusterSpec(written: WrittenCluster): ClusterSpec {
  const { image, controlPlane = 1, nodes = 0, prechecks = [] } = written;
  const { maxBatchPercent, drain, expireAfter, script, versionCommand } = written.upgrade as Required<
    Pick<NonNullable<WrittenCluster['upgrade']>, 'maxBatchPercent' | 'drain' | 'expireAfter'>
  > &
    NonNullable<WrittenCluster['upgrade']>;
  return {
    kind: 'Cluster',
    ...common(written),
    version: written.version ?? '',
    ...(image !== undefined && { create: { image, controlPlane, nodes } }),
    upgrade: {
      maxBatchPercent,
      drain: {
        timeout: drain.timeout ?? '',
        ...(drain.command !== undefined && { command: toCommand(drain.command) }),
        ...(drain.undo !== undefined && { undo: toCommand(drain.undo) }),
      },
      expireAfter,
      ...(script && { script: toScript(script) }),
      ...(versionCommand !== undefined && { versionCommand: toCommand(versionCommand) }),
    },
    prechecks: prechecks.map((check): Check => {
      if (check?.command !== undefined) return { command: toCommand(check.command) };
      return { http: { url: check?.http?.url ?? '' } };
    }),
  };
}

const toCommand = (written: WrittenCommand): string[] =>
  typeof written === 'string' ? ['sh', '-c', written] : written;

function toScript({
  interpreter = 'sh',
  run,
  runFile,
  rollback,
  rollbackFile,
  timeout = '',
}: WrittenScript): DeclaredScript {
  const undo = toSource(rollback, rollbackFile);
  return { interpreter, run: toSource(run, runFile) ?? { text: '' }, ...(undo && { rollback: undo }), timeout };
}

function toSource(text: string | undefined, file: string | undefined): ScriptSource | undefined {
  if (text !== undefined) return { text };
  return file === undefined ? undefined : { file };
}

export function toSshTarget({ ssh = {} }: WrittenTarget): SshTarget {
  const { user = '', port = 22, identityFile, knownHostsFile = '', jump, hosts = [], loadBalancer } = ssh;
  const haproxy = loadBalancer?.haproxy as SshTarget['loadBalancer'];
  return {
    key: identityFile === undefined ? { agent: true } : { identityFile },
    knownHostsFile,
    ...(jump && { jump: { address: jump.address ?? '', port: jump.port ?? 22, user: jump.user ?? user } }),
    hosts: hosts.map((host) => ({ port, user, labels: {}, ...host }) as SshHost),
    ...(haproxy && { loadBalancer: haproxy }),
  };
}

/** Resources as a commit would declare them, for tests of the pure parts. */
import { toJsonText } from '../../src/manifest/json-text.ts';
import type { PodTemplate, ReplicasResource, ServiceSpec, WorkloadSpec } from '../../src/manifest/resource.ts';

const template = toJsonText<PodTemplate>({
  metadata: { labels: {} },
  spec: { containers: [], volumes: [], terminationGracePeriodSeconds: 30 },
});

const common = {
  target: 'local',
  paused: false,
  onFailure: 'pause' as const,
  progressDeadlineSeconds: 600,
  revisionHistoryLimit: 5,
  windows: [],
};

export function workload(revision: string, over: Partial<WorkloadSpec> = {}): ReplicasResource {
  const spec: WorkloadSpec = {
    ...common,
    kind: 'Workload',
    replicas: 5,
    host: 'tomcat.localhost',
    strategy: { maxSurge: 1, maxUnavailable: 0 },
    minReadySeconds: 0,
    ...over,
  };
  return resource('Workload/tomcat', revision, spec);
}

export function service(revision: string, over: Partial<ServiceSpec> = {}): ReplicasResource {
  const spec: ServiceSpec = {
    ...common,
    kind: 'Service',
    replicas: 2,
    host: 'shop.localhost',
    upgrade: 'newVersion',
    traffic: { onDeploy: 'all' },
    keepVersions: 1,
    ...over,
  };
  return resource('Service/shop', revision, spec);
}

function resource(id: ReplicasResource['id'], revision: string, spec: ReplicasResource['spec']): ReplicasResource {
  return {
    id,
    spec,
    revision,
    digest: `${revision} ${JSON.stringify(spec)}`,
    runnable: { resource: id, revision, template, configMaps: {}, images: {} },
    inputs: [],
    place: { file: 'x.yaml', line: 1, column: 1 },
  };
}

/** The suite on a Docker Engine of the test's own. */
import t from 'tap';
import { freePort } from '../support/ports.ts';
import { startEngine, whyNoEngine } from '../target/docker/engine.ts';
import { type Harness, SERVERS } from './harness.ts';

interface Variation {
  router?: 'haproxy';
  /** Containers are reached at ports that are published here, as those of an engine on another machine. */
  address?: '127.0.0.1';
}

export async function dockerHarness({ router, address }: Variation = {}): Promise<Harness> {
  const missing = whyNoEngine();
  if (missing !== undefined) throw new Error(missing);
  const engine = await startEngine();
  t.teardown(() => engine.end());
  for (const [name, server] of Object.entries(SERVERS)) await engine.image(name, server);

  const routed = router === 'haproxy' ? await freePort() : undefined;
  const listen = routed === undefined ? '' : `, router: haproxy, listen: "127.0.0.1:${routed}"`;
  const published = address === undefined ? '' : `, address: ${address}`;
  const containers = (resource: string) =>
    engine.docker.listContainers({ filters: { label: [`sluice/resource=${resource}`] } });

  return {
    driver: routed === undefined ? 'docker' : 'docker with HAProxy',
    target: `{docker: {host: "${engine.host}"${listen}${published}}}`,
    ...(routed === undefined ? {} : { routed }),
    files: {},
    running: async (_, resource) => (await containers(resource)).map(({ Labels }) => Labels['sluice/attempt'] ?? ''),
    async kill(_, resource, attempt) {
      for (const { Id, Labels } of await containers(resource))
        if (Labels['sluice/attempt'] === attempt) await engine.docker.getContainer(Id).kill();
    },
    hasTraffic: true,
  };
}

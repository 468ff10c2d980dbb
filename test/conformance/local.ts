/** The suite on this machine. */
import { alive, processes } from '../e2e/support.ts';
import { type Harness, SERVERS } from './harness.ts';

const images = Object.entries(SERVERS).flatMap(([name, server]) => {
  const folder = `images/${name.replace(':', '/')}`;
  return [
    [`${folder}/image.yaml`, 'command: [node, server.js]\n'],
    [`${folder}/server.js`, server],
  ];
});

export const localHarness: Harness = {
  driver: 'local',
  target: '{local: {images: images}}',
  files: Object.fromEntries(images),
  running: async (at, resource) => [...alive(at, resource)],
  async kill(at, resource, attempt) {
    for (const each of processes(at, resource)) if (each.attempt === attempt) process.kill(each.pid, 'SIGKILL');
  },
  hasTraffic: true,
};

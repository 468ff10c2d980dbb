import { dockerHarness } from './docker.ts';
import { conformRouted } from './suite.ts';

await conformRouted(await dockerHarness({ router: 'haproxy', address: '127.0.0.1' }));

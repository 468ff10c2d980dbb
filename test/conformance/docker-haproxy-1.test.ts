import { dockerHarness } from './docker.ts';
import { conform } from './suite.ts';

await conform(await dockerHarness({ router: 'haproxy' }), 0, 2);

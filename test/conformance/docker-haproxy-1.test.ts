import { dockerHarness } from './docker.ts';
import { conform } from './suite.ts';

await conform(await dockerHarness('haproxy'), 0, 2);

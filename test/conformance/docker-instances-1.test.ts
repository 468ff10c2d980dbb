import { dockerHarness } from './docker.ts';
import { conformInstances } from './suite.ts';

await conformInstances(await dockerHarness(), 0, 2);

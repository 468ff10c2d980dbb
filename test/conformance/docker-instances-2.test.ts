import { dockerHarness } from './docker.ts';
import { conformInstances } from './suite.ts';

await conformInstances(await dockerHarness(), 1, 2);

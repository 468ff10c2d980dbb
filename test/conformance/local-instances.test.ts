import { localHarness } from './local.ts';
import { conformInstances } from './suite.ts';

await conformInstances(localHarness);

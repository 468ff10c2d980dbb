import { localHarness } from './local.ts';
import { conform } from './suite.ts';

await conform(localHarness, 1, 2);

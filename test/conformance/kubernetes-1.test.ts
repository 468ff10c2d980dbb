import t from 'tap';
import { kubernetesHarness, whyNoCluster } from './kubernetes.ts';
import { conform } from './suite.ts';

const why = whyNoCluster();
if (why === undefined) await conform(await kubernetesHarness(), 0, 2);
else t.plan(0, why);

import { fields, list, oneOf, text, whole } from './build.ts';
import { document, duration, imageWithoutTag, resourceSpec, webAddress } from './common.ts';
import { commandLine, script } from './script.ts';

const IDENTIFIERS = '[0-9A-Za-z-]{1,64}(\\.[0-9A-Za-z-]{1,64}){0,8}';

export const cluster = document(
  'Cluster',
  'A cluster that is upgraded node by node: its control plane first, then its nodes in batches that double.',
  fields(
    'Which version the nodes should run, and how they get there.',
    {
      ...resourceSpec,
      version: text('The version, e.g. `1.36.3`: one minor version at a time, and never down.', {
        pattern: `^(0|[1-9][0-9]{0,5})(\\.(0|[1-9][0-9]{0,5})){2}(-${IDENTIFIERS})?(\\+${IDENTIFIERS})?$`,
        patternErrorMessage: 'a version of three numbers, such as 1.36.3, without a "v"',
        minLength: 1,
        maxLength: 128,
      }),
      image: imageWithoutTag(
        'On a target that creates nodes: what they run, without its tag, which is the version: `node` is `node:1.36.3`.',
      ),
      controlPlane: whole('With `image`: how many nodes the control plane has. Default: 1.', 1, 100),
      nodes: whole('With `image`: how many other nodes there are. Default: 0.', 0, 10_000),
      upgrade: fields(
        'How the nodes get to another version.',
        {
          maxBatchPercent: whole(
            'Batches of 1, 2, 4 and so on nodes, but never more at once than this share of all that are not of the control plane; always at least 1.',
            1,
            100,
            { default: 10 },
          ),
          drain: fields(
            'How a node is emptied before it is upgraded.',
            {
              timeout: duration('After so long it has failed.', { default: '10m' }),
              command: commandLine(
                "Run on the node; exit status 0 means that it is empty. Default: the image's own `drain`.",
              ),
              undo: commandLine('Run on the node after its upgrade, to take back what `command` did.'),
            },
            { default: {} },
          ),
          expireAfter: duration('A rollout that is paused for so long is closed.', { default: '15d' }),
          script: script(
            'What upgrades one node to the version in `SLUICE_VERSION`. Needed on a target of hosts or of Kubernetes; where nodes are created, it runs once the new image is up.',
          ),
          versionCommand: commandLine(
            'Run on the node: prints the version that the node runs. Needed on a target of hosts; where nodes are created, the default is the tag of the image that was started.',
          ),
        },
        { default: {} },
      ),
      prechecks: list(
        'What must pass before anything is touched, besides what Sluice checks itself.',
        oneOf('One check: exactly one of `http` and `command`.', {
          http: fields(
            'Asks with GET; an answer from 200 to 399 passes.',
            { url: webAddress('What is asked, e.g. a question to a monitoring system.') },
            { required: ['url'] },
          ),
          command: commandLine('Run on every node; exit status 0 passes. It must change nothing.'),
        }),
        { default: [] },
      ),
    },
    { required: ['version'] },
  ),
  [
    {
      apiVersion: 'sluice/v1',
      kind: 'Cluster',
      metadata: { name: 'prod' },
      spec: {
        version: '1.36.3',
        image: 'node',
        controlPlane: 3,
        nodes: 40,
        upgrade: { maxBatchPercent: 10, drain: { timeout: '10m' } },
        prechecks: [{ http: { url: 'http://monitoring.internal/ready' } }],
      },
    },
  ],
);

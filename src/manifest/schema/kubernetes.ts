/** The driver `kubernetes` of a Target. */
import { fields, type Schema, text, whole } from './build.ts';
import { name } from './common.ts';
import { registries } from './registries.ts';

const label = (description: string, more: Schema = {}): Schema =>
  text(description, {
    pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
    patternErrorMessage: 'a name: lower-case letters, digits and "-"',
    maxLength: 63,
    ...more,
  });

export const kubernetes = fields('Pods in one namespace of a Kubernetes cluster.', {
  context: text(
    'The context of the kubeconfig. Default: the credentials of the pod that the operator runs in, which then must be in this cluster.',
    { minLength: 1, maxLength: 253 },
  ),
  kubeconfig: text(
    'The kubeconfig that has the context. Default: as kubectl finds it, `$KUBECONFIG` or `~/.kube/config`.',
    {
      pattern: '^(~?)/[^/]',
      patternErrorMessage: 'a file of the operator\'s machine, as an absolute path or one that starts with "~/"',
      minLength: 1,
    },
  ),
  namespace: label('Where everything is created; it must be there.', { default: 'default' }),
  gateway: fields(
    'The Gateway that routes attach to. Without it workloads are served inside of the cluster only, and services not at all.',
    {
      name: name('Its name.'),
      namespace: label('Its namespace. Default: that of the target.'),
      listener: label('The one of its listeners that routes attach to. Default: all that admit them.'),
    },
    { required: ['name'] },
  ),
  drainSeconds: whole('So long after traffic has left a version its pods go on serving what is under way.', 0, 3600, {
    default: 10,
  }),
  upgradeImage: text(
    'Of a Cluster here: what the Job that upgrades a node runs `nsenter` and `sh` from; the nodes must be able to pull it. Default: `busybox:1.37`.',
    { pattern: '^[^\\s]+$', patternErrorMessage: 'an image, such as busybox:1.37', minLength: 1, maxLength: 500 },
  ),
  registries: registries(
    'Registries that ask for a password when the operator asks them what a tag stands for. The nodes pull with what they have themselves.',
  ),
  project: name(
    'Under what name objects are marked as those of this repository: another repository that uses the same namespace needs another. Default: made of the address of the repository.',
  ),
});

import { choice, fields, oneOfNames, text } from './build.ts';
import { document } from './common.ts';
import { docker } from './docker.ts';
import { kubernetes } from './kubernetes.ts';
import { ssh } from './ssh.ts';

const local = fields('Processes on the machine of the operator.', {
  images: text(
    'The folder of images: in the config repository, or an absolute path on the machine, whose folders count as immutable.',
    {
      default: 'images',
      minLength: 1,
    },
  ),
  dataDir: text('Where units, volumes and logs lie, as an absolute path. Default: below `--data-dir`.', {
    pattern: '^/',
    patternErrorMessage: 'an absolute path, starting with "/"',
  }),
});

const policy = fields('Rules for what may run here.', {
  resources: choice(
    '`container-instance`: CPU 0.25 to 32 in steps of 0.25, per container and per unit; memory 1 to 128 GiB per unit in whole GiB; 2 to 4 GiB for each CPU; at most 5 containers, each with at least 0.25 CPU and 0.2 GiB.',
    ['container-instance'],
  ),
});

const onLocal = {
  apiVersion: 'sluice/v1',
  kind: 'Target',
  metadata: { name: 'local' },
  spec: { local: { images: 'images' }, policy: { resources: 'container-instance' } },
};
const onDocker = {
  apiVersion: 'sluice/v1',
  kind: 'Target',
  metadata: { name: 'containers' },
  spec: {
    docker: {
      host: 'tcp://10.0.0.5:2376',
      tls: { ca: '~/.docker/ca.pem', cert: '~/.docker/cert.pem', key: '~/.docker/key.pem' },
      address: '10.0.0.5',
      registries: [{ registry: 'registry.example.org', secret: 'registry' }],
    },
  },
};
const onKubernetes = {
  apiVersion: 'sluice/v1',
  kind: 'Target',
  metadata: { name: 'prod' },
  spec: { kubernetes: { context: 'prod', namespace: 'shop', gateway: { name: 'public', namespace: 'gateways' } } },
};
const onHosts = {
  apiVersion: 'sluice/v1',
  kind: 'Target',
  metadata: { name: 'web-hosts' },
  spec: {
    ssh: {
      user: 'deploy',
      identityFile: '~/.ssh/sluice',
      hosts: [
        { name: 'web-1', address: '10.0.0.11', labels: { role: 'web' } },
        { name: 'web-2', address: '10.0.0.12', labels: { role: 'web' } },
      ],
    },
  },
};

export const target = document(
  'Target',
  'A place where resources run.',
  fields(
    'Its driver, exactly one of `local`, `docker`, `kubernetes` and `ssh`, and what it admits.',
    { local, docker, kubernetes, ssh, policy },
    oneOfNames(['local', 'docker', 'kubernetes', 'ssh']),
  ),
  [onLocal, onDocker, onKubernetes, onHosts],
);

/** The driver `docker` of a Target. */
import { choice, fields, type Schema, text } from './build.ts';
import { name } from './common.ts';
import { registries } from './registries.ts';

const file = (description: string): Schema =>
  text(description, {
    pattern: '^(~?)/[^/]',
    patternErrorMessage: 'a file of the operator\'s machine, as an absolute path or one that starts with "~/"',
    minLength: 1,
  });

export const docker = fields('Containers on a Docker Engine, or on what speaks its API.', {
  host: text(
    'Where the engine listens, as `DOCKER_HOST` says it: `unix:///var/run/docker.sock`, `tcp://10.0.0.5:2376` or `ssh://deploy@10.0.0.5`.',
    {
      default: 'unix:///var/run/docker.sock',
      pattern:
        '^(unix:///[^/].*|tcp://([a-zA-Z0-9.-]+|\\[[0-9a-fA-F:]+\\]):[0-9]{1,5}|ssh://([a-zA-Z0-9_][a-zA-Z0-9_.-]*@)?[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]{1,5})?)$',
      patternErrorMessage: 'unix:///path/of/docker.sock, tcp://host:port or ssh://user@host',
    },
  ),
  tls: fields(
    'Proves who each side is, with `tcp://`: the three files of `DOCKER_CERT_PATH`.',
    {
      ca: file("The certificate that the engine's must be signed with: `ca.pem`."),
      cert: file("The operator's own certificate: `cert.pem`."),
      key: file('Its private key: `key.pem`.'),
    },
    { required: ['ca', 'cert', 'key'] },
  ),
  ssh: fields('With `ssh://`: who the machine is, and who logs in. The key of the machine is always verified.', {
    identityFile: file('The private key. Default: the keys of the agent at `SSH_AUTH_SOCK`.'),
    knownHostsFile: { ...file('Its key, as OpenSSH keeps it.'), default: '~/.ssh/known_hosts' },
  }),
  address: text(
    "The IP address of the engine's machine at which containers publish their ports, and are reached. Needed with `tcp://` and `ssh://`. Default: nothing is published, containers are reached at their own addresses, for which the operator must run on the same Linux machine.",
    {
      pattern: '^([0-9]{1,3}\\.){3}[0-9]{1,3}$|^[0-9a-fA-F]*:[0-9a-fA-F:]+$',
      patternErrorMessage: 'an IP address, such as 10.0.0.5',
      maxLength: 45,
    },
  ),
  network: text('The network that containers join; it must be there.', {
    default: 'bridge',
    pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]*$',
    patternErrorMessage: 'the name of a network of the engine',
    maxLength: 128,
  }),
  router: choice(
    "What divides requests among containers: `embedded`, the operator's own router at `--router`, or `haproxy`, a HAProxy of this target's own that the operator starts on its machine, which needs HAProxy 2.6 or later installed. Default: `embedded`.",
    ['embedded', 'haproxy'],
  ),
  listen: text('Where HAProxy serves, with `router: haproxy`. Default: `127.0.0.1:8081`.', {
    pattern: '^(([0-9]{1,3}\\.){3}[0-9]{1,3}|\\[[0-9a-fA-F:]+\\]):[1-9][0-9]{0,4}$',
    patternErrorMessage: 'an IP address and a port, such as 0.0.0.0:8081',
  }),
  project: name(
    'Under what name containers, volumes and images are marked as those of this repository: another repository that uses the same engine needs another. Default: made of the address of the repository.',
  ),
  registries: registries('Registries that ask for a password.', { default: [] }),
});

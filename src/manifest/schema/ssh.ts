/** The driver `ssh` of a Target. */
import { fields, flag, list, type Schema, text, whole } from './build.ts';
import { labels, name } from './common.ts';

/** So that a document of them stays within its bounds; a target more is no cost. */
const MAX_HOSTS = 2000;

const localFile = (description: string, rest: Omit<Schema, 'type' | 'description'> = {}): Schema =>
  text(description, {
    pattern: '^(~?)/[^/]',
    patternErrorMessage: 'a file of the operator\'s machine, as an absolute path or one that starts with "~/"',
    minLength: 1,
    ...rest,
  });
const user = (description: string): Schema =>
  text(description, {
    pattern: '^[a-zA-Z0-9_][-a-zA-Z0-9_.@\\\\]*$',
    patternErrorMessage: 'a user name, such as deploy',
    minLength: 1,
    maxLength: 64,
  });
/** It never reaches a command line, but nothing that starts with `-` or holds white space is one. */
const address = (description: string): Schema =>
  text(description, {
    pattern: '^[a-zA-Z0-9:][-a-zA-Z0-9.:_%]*$',
    patternErrorMessage: 'a host name or an IP address, such as 10.0.0.11',
    minLength: 1,
    maxLength: 253,
  });
const port = (description: string, rest = {}): Schema => whole(description, 1, 65_535, rest);

export const ssh = fields(
  'Hosts that are there already, reached over SSH. The keys of hosts are always verified.',
  {
    user: user('Who logs in, where a host says nothing else.'),
    port: port('The port of SSH, where a host says nothing else.', { default: 22 }),
    identityFile: localFile(
      "The private key, a file of the operator's machine; a key never lies in the config repository. Default: the keys of the agent.",
    ),
    agent: flag(
      '`true`: the keys of the agent at `SSH_AUTH_SOCK`; that is so too where `identityFile` is absent.',
      false,
    ),
    knownHostsFile: localFile(
      'The keys of the hosts, as OpenSSH keeps them; a host whose key is not in it is refused.',
      {
        default: '~/.ssh/known_hosts',
      },
    ),
    jump: fields(
      'A host through which all others are reached.',
      {
        address: address('Its host name or IP address.'),
        port: port('Its port.', { default: 22 }),
        user: user('Who logs in there. Default: `user`.'),
      },
      { required: ['address'] },
    ),
    hosts: list(
      'The hosts.',
      fields(
        'One host.',
        {
          name: name('What it is called in plans and in the status, unique in the target.'),
          address: address('Its host name or IP address.'),
          port: port('Its port. Default: `port` of the target.'),
          user: user('Who logs in. Default: `user` of the target.'),
          labels: labels(
            'By what fleets select it; `role: control-plane` makes it one of the control plane of a cluster.',
            {
              default: {},
              maxProperties: 50,
            },
          ),
        },
        { required: ['name', 'address'] },
      ),
      { minItems: 1, maxItems: MAX_HOSTS },
    ),
    loadBalancer: fields('What divides traffic between the hosts.', {
      haproxy: fields(
        'HAProxy, told through its runtime socket.',
        {
          socket: text('The socket, as an absolute path.', {
            pattern: '^/',
            patternErrorMessage: 'an absolute path, starting with "/"',
            minLength: 1,
          }),
          host: name("The host of this target on which the socket lies. Default: the operator's machine."),
          backends: list(
            'The backends in which an instance is the server of its own name.',
            text('One backend.', {
              pattern: '^[A-Za-z0-9_.:-]+$',
              patternErrorMessage: 'the name of a backend: letters, digits, "-", "_", "." and ":"',
              minLength: 1,
              maxLength: 128,
            }),
            { minItems: 1 },
          ),
        },
        { required: ['socket', 'backends'] },
      ),
    }),
  },
  { required: ['user', 'hosts'] },
);

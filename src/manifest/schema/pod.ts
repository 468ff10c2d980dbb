/** A pod template, in the words of Kubernetes. */

import { fields, flag, list, oneOf, oneOfNames, type Schema, text, whole } from './build.ts';
import { command, dataKey, imageName, LABEL_FIELD, labels, name, objectName, port, quantity } from './common.ts';

const OPTIONAL = flag('`true`: it need not be there.', false);

const httpGet = fields(
  'Asks with HTTP GET; an answer from 200 to 399 is a success.',
  {
    path: text('The path that is asked for.', {
      default: '/',
      pattern: '^/',
      patternErrorMessage: 'a path that starts with "/"',
    }),
    port: port('The port, by number or by its name in `ports`.'),
    httpHeaders: list(
      'Headers that are sent.',
      fields(
        'One header.',
        {
          name: text('Its name.', {
            minLength: 1,
            maxLength: 256,
            pattern: "^[-!#$%&'*+.^_`|~0-9A-Za-z]+$",
            patternErrorMessage: 'a header name: letters, digits and "-"',
          }),
          value: text('Its value.', {
            pattern: '^[^\\r\\n]*$',
            patternErrorMessage: 'one line',
            maxLength: 4096,
          }),
        },
        { required: ['name', 'value'] },
      ),
    ),
  },
  { required: ['port'] },
);
const exec = fields(
  'Runs a command on the unit; exit status 0 is a success.',
  { command: command('The command and its arguments.') },
  {
    required: ['command'],
  },
);
const tcpSocket = fields(
  'Opens a TCP connection.',
  { port: port('The port, by number or by its name in `ports`.') },
  { required: ['port'] },
);

const probe = (description: string, successThreshold: Schema): Schema =>
  fields(
    `${description} Exactly one of \`httpGet\`, \`tcpSocket\` and \`exec\`.`,
    {
      httpGet,
      tcpSocket,
      exec,
      initialDelaySeconds: whole('Seconds after the start before it is first asked.', 0, 86_400, { default: 0 }),
      periodSeconds: whole('Seconds from one question to the next.', 1, 86_400, { default: 10 }),
      timeoutSeconds: whole('Seconds after which a question without an answer has failed.', 1, 3600, { default: 1 }),
      successThreshold,
      failureThreshold: whole('Failures in a row that count as failed.', 1, 10_000, { default: 3 }),
    },
    oneOfNames(['httpGet', 'tcpSocket', 'exec']),
  );
const ONCE = whole('Successes in a row that count as a success: 1 for this probe.', 1, 1, { default: 1 });

const handler = (description: string): Schema =>
  oneOf(`${description} Exactly one of \`exec\` and \`httpGet\`.`, { exec, httpGet });

const keyRef = (what: string): Schema =>
  fields(
    `The value of one key of a ${what}.`,
    { name: objectName(`The ${what}, by name.`), key: dataKey('The key in it.'), optional: OPTIONAL },
    { required: ['name', 'key'] },
  );
const wholeRef = (what: string): Schema =>
  fields(
    `All keys of a ${what}.`,
    { name: objectName(`The ${what}, by name.`), optional: OPTIONAL },
    { required: ['name'] },
  );

const ENV_NAME = {
  pattern: '^(?!__proto__$)[-._a-zA-Z][-._a-zA-Z0-9]*$',
  patternErrorMessage: 'letters, digits, "_", "-" and ".", not starting with a digit',
};

const env = list(
  'Environment variables, besides those of the image. A later entry wins over `envFrom`.',
  fields(
    'One variable: exactly one of `value` and `valueFrom`.',
    {
      name: text('Its name.', { ...ENV_NAME, minLength: 1, maxLength: 256 }),
      value: text('Its value; put numbers in quotes.', { maxLength: 65_536 }),
      valueFrom: oneOf('Where its value comes from: exactly one source.', {
        configMapKeyRef: keyRef('ConfigMap'),
        secretKeyRef: keyRef('Secret'),
        fieldRef: fields(
          'A field of the unit itself.',
          {
            fieldPath: text(
              "`metadata.name` (the unit's name), `metadata.labels['<key>']` or `status.podIP` (its address).",
              {
                pattern: `^(metadata\\.name|${LABEL_FIELD}|status\\.podIP)$`,
                patternErrorMessage: "metadata.name, metadata.labels['<key>'] or status.podIP",
              },
            ),
          },
          { required: ['fieldPath'] },
        ),
      }),
    },
    { required: ['name'], ...oneOfNames(['value', 'valueFrom']) },
  ),
  { default: [], maxItems: 1000 },
);

const envFrom = list(
  'ConfigMaps and Secrets of which every key becomes an environment variable.',
  fields(
    'One source: exactly one of `configMapRef` and `secretRef`.',
    {
      prefix: text('Put before each name.', { ...ENV_NAME, maxLength: 256 }),
      configMapRef: wholeRef('ConfigMap'),
      secretRef: wholeRef('Secret'),
    },
    oneOfNames(['configMapRef', 'secretRef']),
  ),
  { default: [] },
);

const ports = list(
  'Ports that it listens on. On the target `local` each replica is given a port of its own in the environment variable `PORT`.',
  fields(
    'One port.',
    {
      name: text('Its name, for probes.', {
        pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
        patternErrorMessage: 'lower-case letters, digits and "-", at most 15 characters',
        minLength: 1,
        maxLength: 15,
      }),
      containerPort: whole('Its number.', 1, 65_535),
    },
    { required: ['containerPort'] },
  ),
  { default: [] },
);

const amounts = (description: string): Schema =>
  fields(description, {
    cpu: quantity('Cores: `0.5` or `500m`.'),
    memory: quantity('Bytes: `128Mi`, `1Gi`.'),
  });

const absolutePath = (description: string): Schema =>
  text(description, {
    pattern: '^/',
    patternErrorMessage: 'an absolute path, starting with "/"',
    minLength: 1,
    maxLength: 1024,
  });
const relativePath = (description: string): Schema =>
  text(description, {
    pattern: '^[^/]',
    patternErrorMessage: 'a relative path, not starting with "/"',
    minLength: 1,
    maxLength: 1024,
  });

const container = fields(
  'One program of the unit.',
  {
    name: name('Its name, unique in the unit.'),
    image: imageName(
      'What it runs, as `name:tag`. On the target `local`, `hello:8` is the folder `images/hello/8` of the config repository.',
    ),
    command: command("The program and its first arguments, instead of the image's own command."),
    args: command("Arguments after the command, or after the image's own program where there is no `command`.", {
      minItems: 0,
    }),
    workingDir: text("The folder in which it starts. Default: the image's folder.", { minLength: 1 }),
    env,
    envFrom,
    ports,
    resources: fields(
      'What it needs and what it may use.',
      {
        requests: amounts('Kept free for it.'),
        limits: amounts('More than this it does not get.'),
      },
      { default: {} },
    ),
    securityContext: fields(
      'Who it runs as and what it may do. On the targets `docker` and `kubernetes` it has no capability that is not added here, and cannot gain any.',
      {
        runAsUser: whole("The number of the user. Default: the image's.", 0, 2 ** 31 - 1),
        runAsGroup: whole("The number of the group. Default: the image's.", 0, 2 ** 31 - 1),
        readOnlyRootFilesystem: flag('`true`: it can write to its volumes only.', false),
        capabilities: fields('What it may do beyond any other process.', {
          add: list(
            'Capabilities that it is given, such as `NET_BIND_SERVICE`.',
            text('One capability.', {
              pattern: '^[A-Z][A-Z_]{1,40}$',
              patternErrorMessage: 'the name of a capability without CAP_, such as NET_BIND_SERVICE',
            }),
            { default: [] },
          ),
        }),
      },
    ),
    livenessProbe: probe('Whether it still works: when it fails, the replica is started again.', ONCE),
    readinessProbe: probe(
      'Whether it can serve: only then it gets traffic, and only then a rollout goes on.',
      whole('Successes in a row that count as a success.', 1, 10_000, { default: 1 }),
    ),
    startupProbe: probe('Whether it has started: the other probes wait until this one has succeeded.', ONCE),
    lifecycle: fields('What happens at the ends of its life.', {
      postStart: handler('Right after the start; it is not ready before this has succeeded.'),
      preStop: handler('Before it is told to stop, after it has lost its traffic.'),
    }),
    volumeMounts: list(
      'Where it finds the volumes.',
      fields(
        'One volume at one path.',
        {
          name: name('The volume, by its name in `volumes`.'),
          mountPath: absolutePath('Where it is, absolute.'),
          subPath: relativePath('A path in the volume that is mounted instead of its root.'),
          readOnly: flag('`true`: it cannot be written to.', false),
        },
        { required: ['name', 'mountPath'] },
      ),
      { default: [] },
    ),
    logs: list(
      'Log files that are collected besides standard output.',
      fields(
        'One file.',
        {
          path: text('The file, absolute or in the working directory.', { minLength: 1 }),
          maxSize: quantity('It is rotated so that it never passes this size.', { default: '10Mi' }),
        },
        { required: ['path'] },
      ),
      { default: [] },
    ),
  },
  { required: ['name', 'image'] },
);

const disk = (description: string): Schema =>
  fields(
    description,
    { size: quantity('Its size, e.g. `1Gi`.'), class: name('The class of storage, where the target has several.') },
    { required: ['size'] },
  );
const items = list(
  'Which keys become files, under which names. Default: every key, under its own.',
  fields(
    'One key.',
    { key: dataKey('The key.'), path: relativePath('The path of its file in the volume.') },
    { required: ['key', 'path'] },
  ),
);

const volume = fields(
  'One volume: `name`, and exactly one of the others.',
  {
    name: name('Its name, unique in the unit.'),
    disk: disk('Storage of one unit, its own; it stays when the unit is replaced.'),
    file: disk('Storage that all units share.'),
    configMap: fields(
      'The keys of a ConfigMap as files.',
      { name: objectName('The ConfigMap, by name.'), items, optional: OPTIONAL },
      { required: ['name'] },
    ),
    secret: fields(
      'The keys of a Secret as files.',
      { secretName: objectName('The Secret, by name: a folder in `--secrets-dir`.'), items, optional: OPTIONAL },
      { required: ['secretName'] },
    ),
    emptyDir: fields('An empty folder that goes with the unit.', { sizeLimit: quantity('Its greatest size.') }),
  },
  { required: ['name'], ...oneOfNames(['disk', 'file', 'configMap', 'secret', 'emptyDir']) },
);

export const template = fields(
  'What each replica runs: a pod template. A change of anything in it is a new revision.',
  {
    metadata: fields(
      'What the units carry.',
      {
        labels: labels('Labels.', { default: {} }),
      },
      { default: {} },
    ),
    spec: fields(
      'The programs and their volumes.',
      {
        containers: list(
          'The programs. The first one serves: its first port is the one that gets traffic.',
          container,
          {
            minItems: 1,
            maxItems: 20,
          },
        ),
        volumes: list('Storage and files that containers mount.', volume, { default: [] }),
        terminationGracePeriodSeconds: whole('Seconds from being told to stop to being killed.', 0, 86_400, {
          default: 30,
        }),
      },
      { required: ['containers'] },
    ),
  },
  { required: ['spec'] },
);

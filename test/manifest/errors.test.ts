/** Bad input and exactly what is said about it: `file:line:column path: what is wrong; what to do`. */
import t from 'tap';
import { formatDiagnostic } from '../../src/manifest/diagnostic.ts';
import { placed } from '../../src/manifest/documents.ts';
import { parseFile } from '../../src/manifest/parse.ts';

const pod = (container = '', more = '') => `  template:
    spec:
      containers:
        - name: web
          image: web:1
${container}${more}`;
const workload = (spec: string) => `apiVersion: sluice/v1
kind: Workload
metadata: {name: web}
spec:
${spec}`;
const service = (spec: string) => workload(spec).replace('Workload', 'Service');
const document = (kind: string, spec: string) => `apiVersion: sluice/v1
kind: ${kind}
metadata: {name: a-name}
spec: ${spec}
`;
const op = (spec: string) => document('Operation', spec);
const target = (spec: string) => document('Target', spec);

interface Case {
  what: string;
  yaml: string;
  /** With the code in brackets behind. */
  says: string[];
  /** It could not be named, so nothing of the file may be deleted. */
  unreadable?: boolean;
}

const cases: Case[] = [
  {
    what: 'broken YAML',
    yaml: 'a: [1\nb: 2\n',
    says: [
      'a.yaml:2:1: not valid YAML: flow sequence in block collection must be sufficiently indented and end with a ] [bad-yaml]',
    ],
    unreadable: true,
  },
  {
    what: 'a tab as indentation',
    yaml: 'spec:\n\treplicas: 1\n',
    says: ['a.yaml:2:1: not valid YAML: tabs are not allowed as indentation [bad-yaml]'],
    unreadable: true,
  },
  {
    what: 'an unknown tag',
    yaml: 'a: !secret x\n',
    says: ['a.yaml:1:4: not valid YAML: unresolved tag: !secret [bad-yaml]'],
    unreadable: true,
  },
  {
    what: 'a key twice',
    yaml: workload(`  replicas: 1\n  replicas: 2\n${pod()}`),
    says: ['a.yaml:6:3 spec.replicas: the key "replicas" is there twice; remove one [duplicate-key]'],
    unreadable: true,
  },
  {
    what: 'a key that reaches a prototype',
    yaml: workload(`  __proto__: {replicas: 1}\n  constructor: 1\n${pod()}`),
    says: [
      'a.yaml:5:3 spec: the key "__proto__" is not allowed; rename it [bad-key]',
      'a.yaml:6:3 spec: the key "constructor" is not allowed; rename it [bad-key]',
    ],
    unreadable: true,
  },
  {
    what: 'a name called constructor',
    yaml: workload(pod()).replace('name: web', 'name: constructor'),
    says: ['a.yaml:3:18 metadata.name: the name "constructor" is not allowed; choose another [bad-value]'],
    unreadable: true,
  },
  {
    what: 'an alias of nothing',
    yaml: 'a: *b\n',
    says: ['a.yaml:1:4 a: *b stands for itself or for nothing; it must follow the &b that it names [bad-alias]'],
    unreadable: true,
  },
  {
    what: 'an alias of itself',
    yaml: 'a: &a [*a]\n',
    says: ['a.yaml:1:8 a[0]: *a stands for itself or for nothing; it must follow the &a that it names [bad-alias]'],
    unreadable: true,
  },
  {
    what: 'not a number',
    yaml: workload(`  replicas: .inf\n${pod()}`),
    says: [
      'a.yaml:5:13 spec.replicas: Infinity is not a number that can be used; put it in quotes if it is text [wrong-type]',
    ],
    unreadable: true,
  },
  {
    what: 'an unknown field that is near',
    yaml: workload(`  replicsa: 1\n${pod()}`),
    says: ['a.yaml:5:3 spec.replicsa: unknown field "replicsa"; did you mean "replicas"? [unknown-field]'],
  },
  {
    what: 'an unknown field that is not near',
    yaml: workload(`  selector: {}\n${pod()}`),
    says: [
      'a.yaml:5:3 spec.selector: unknown field "selector"; known here: target, description, paused, onFailure, progressDeadlineSeconds, revisionHistoryLimit, windows, replicas, host, strategy, minReadySeconds, template [unknown-field]',
    ],
  },
  {
    what: 'a missing field',
    yaml: workload('  replicas: 1\n'),
    says: ['a.yaml:4:1 spec.template: missing; add "template": what each replica runs [missing-field]'],
  },
  {
    what: 'an empty value',
    yaml: workload(`  replicas:\n${pod()}`),
    says: [
      'a.yaml:5:3 spec.replicas: expected a whole number, found nothing; give a value or remove the line [wrong-type]',
    ],
  },
  {
    what: 'a wrong type',
    yaml: workload(`  replicas: many\n  paused: yes\n${pod('          env: {A: b}\n          command: node\n')}`),
    says: [
      'a.yaml:5:13 spec.replicas: expected a whole number, found "many" [wrong-type]',
      'a.yaml:6:11 spec.paused: expected true or false, found "yes" [wrong-type]',
      'a.yaml:12:16 spec.template.spec.containers[0].env: expected a list, found a map of fields [wrong-type]',
      'a.yaml:13:20 spec.template.spec.containers[0].command: expected a list, found "node" [wrong-type]',
    ],
  },
  {
    what: 'text that is not in quotes',
    yaml: workload(pod('          env: [{name: A, value: 1}]\n')),
    says: [
      'a.yaml:10:34 spec.template.spec.containers[0].env[0].value: expected text, found a number; put it in quotes [wrong-type]',
    ],
  },
  {
    what: 'too many',
    yaml: workload(`  replicas: 10001\n${pod()}`),
    says: ['a.yaml:5:13 spec.replicas: expected at most 10000, found 10001 [bad-value]'],
  },
  {
    what: 'a bad enum',
    yaml: workload(`  onFailure: rolback\n${pod()}`),
    says: [
      'a.yaml:5:14 spec.onFailure: expected one of pause, rollback, revert, found "rolback"; did you mean "rollback"? [bad-value]',
    ],
  },
  {
    what: 'a bad name',
    yaml: workload(pod()).replace('name: web', 'name: ../web'),
    says: [
      'a.yaml:3:18 metadata.name: expected lower-case letters, digits and "-", starting and ending with a letter or a digit, at most 63 characters, found "../web" [bad-value]',
    ],
    unreadable: true,
  },
  {
    what: 'an upper-case name',
    yaml: workload(pod()).replace('name: web', 'name: Web'),
    says: [
      'a.yaml:3:18 metadata.name: expected lower-case letters, digits and "-", starting and ending with a letter or a digit, at most 63 characters, found "Web" [bad-value]',
    ],
    unreadable: true,
  },
  {
    what: 'no name',
    yaml: workload(pod()).replace('name: web', ''),
    says: [
      'a.yaml:3:1 metadata.name: missing; add "name": its name, unique among all of kind Workload [missing-field]',
    ],
    unreadable: true,
  },
  {
    what: 'a name of 64 characters',
    yaml: workload(pod()).replace('name: web', `name: ${'a'.repeat(64)}`),
    says: ['a.yaml:3:18 metadata.name: expected at most 63 characters, found 64 [bad-value]'],
    unreadable: true,
  },
  {
    what: 'no containers',
    yaml: workload('  template: {spec: {containers: []}}\n'),
    says: ['a.yaml:5:33 spec.template.spec.containers: expected at least 1 entry, found 0 [bad-value]'],
  },
  {
    what: 'a bad host',
    yaml: workload(`  host: Shop_1.example.com:80\n${pod()}`),
    says: [
      'a.yaml:5:9 spec.host: expected a DNS name: parts of lower-case letters, digits and "-", joined by ".", without a port, found "Shop_1.example.com:80" [bad-value]',
    ],
  },
  {
    what: 'both bounds at 0',
    yaml: workload(`  strategy: {rollingUpdate: {maxSurge: 0}}\n${pod()}`),
    says: [
      'a.yaml:5:14 spec.strategy.rollingUpdate: maxSurge and maxUnavailable both come to 0, so no replica could ever be replaced; raise one [no-progress]',
    ],
  },
  {
    what: 'a percentage that rounds to 0',
    yaml: workload(`  replicas: 5\n  strategy: {rollingUpdate: {maxSurge: 0%, maxUnavailable: 10%}}\n${pod()}`),
    says: [
      'a.yaml:6:14 spec.strategy.rollingUpdate: maxSurge and maxUnavailable both come to 0 (10% of 5 rounds down to 0), so no replica could ever be replaced; raise one [no-progress]',
    ],
  },
  {
    what: 'a bad percentage',
    yaml: workload(`  strategy: {rollingUpdate: {maxSurge: 101%}}\n${pod()}`),
    says: [
      'a.yaml:5:40 spec.strategy.rollingUpdate.maxSurge: expected a number such as 1, or a percentage from 0% to 100%, found "101%" [bad-value]',
    ],
  },
  {
    what: 'bad windows',
    yaml: workload(
      `  windows: [{cron: "61 * * * *", duration: 4h, timezone: Mars/Olympus}, {cron: "0 2 * * 6", duration: 400d}, {cron: "0 2 * * 6", duration: "4"}]\n${pod()}`,
    ),
    says: [
      'a.yaml:5:20 spec.windows[0].cron: "61 * * * *" is not a cron expression that ever matches; expected minute, hour, day of month, month, day of week, such as "0 2 * * 6" [bad-cron]',
      'a.yaml:5:58 spec.windows[0].timezone: "Mars/Olympus" is not a time zone; expected a name such as UTC or Asia/Shanghai [bad-timezone]',
      'a.yaml:5:103 spec.windows[1].duration: "400d" is longer than 31 days; shorten it [bad-duration]',
      'a.yaml:5:140 spec.windows[2].duration: expected a duration: one whole number and one of ms, s, m, h, d, such as 90s or 10m, found "4" [bad-value]',
    ],
  },
  {
    what: 'cron expressions of another sort',
    yaml: workload(
      `  windows: [{cron: "0 0 2 * * 6", duration: 4h}, {cron: "@daily", duration: 4h}, {cron: "0 0 31 2 *", duration: 31d}]\n${pod()}`,
    ),
    says: [
      'a.yaml:5:20 spec.windows[0].cron: "0 0 2 * * 6" is not a cron expression that ever matches; expected minute, hour, day of month, month, day of week, such as "0 2 * * 6" [bad-cron]',
      'a.yaml:5:57 spec.windows[1].cron: "@daily" is not a cron expression that ever matches; expected minute, hour, day of month, month, day of week, such as "0 2 * * 6" [bad-cron]',
      'a.yaml:5:89 spec.windows[2].cron: "0 0 31 2 *" is not a cron expression that ever matches; expected minute, hour, day of month, month, day of week, such as "0 2 * * 6" [bad-cron]',
    ],
  },
  {
    what: 'two kinds of traffic',
    yaml: service(`  traffic: {onDeploy: all, percent: {latest: 100}}\n${pod()}`),
    says: [
      'a.yaml:5:3 spec.traffic: expected exactly one of onDeploy, steps, percent, match, found onDeploy and percent [exactly-one]',
    ],
  },
  {
    what: 'no kind of traffic',
    yaml: service(`  traffic: {}\n${pod()}`),
    says: [
      'a.yaml:5:3 spec.traffic: expected exactly one of onDeploy, steps, percent, match, found none [exactly-one]',
    ],
  },
  {
    what: 'a sum that is not 100',
    yaml: service(`  traffic: {percent: {latest: 20, stable: 70}}\n${pod()}`),
    says: ['a.yaml:5:13 spec.traffic.percent: latest 20 and stable 70 come to 90; the sum must be 100 [bad-sum]'],
  },
  {
    what: 'a fraction of a percent',
    yaml: service(`  traffic: {percent: {latest: 20.5, stable: 79.5}}\n${pod()}`),
    says: [
      'a.yaml:5:31 spec.traffic.percent.latest: expected a whole number, found 20.5 [wrong-type]',
      'a.yaml:5:45 spec.traffic.percent.stable: expected a whole number, found 79.5 [wrong-type]',
    ],
  },
  {
    what: 'steps that do not ascend',
    yaml: service(`  traffic: {steps: [{percent: 10}, {percent: 10}, {percent: 5}, {percent: 100}]}\n${pod()}`),
    says: [
      'a.yaml:5:46 spec.traffic.steps[1].percent: 10 does not follow 10; each step must be more than the one before [not-ascending]',
      'a.yaml:5:61 spec.traffic.steps[2].percent: 5 does not follow 10; each step must be more than the one before [not-ascending]',
    ],
  },
  {
    what: 'a step with a bad soak and check',
    yaml: service(
      `  traffic: {steps: [{percent: 10, soak: 10 minutes, check: [{http: {path: health}}, {}, {http: {path: /, port: htp}}]}]}\n${pod()}`,
    ),
    says: [
      'a.yaml:5:41 spec.traffic.steps[0].soak: expected a duration: one whole number and one of ms, s, m, h, d, such as 90s or 10m, found "10 minutes" [bad-value]',
      'a.yaml:5:75 spec.traffic.steps[0].check[0].http.path: expected a path that starts with "/", found "health" [bad-value]',
      'a.yaml:5:85 spec.traffic.steps[0].check[1]: expected exactly one of http, command, found none [exactly-one]',
      'a.yaml:5:112 spec.traffic.steps[0].check[2].http.port: the first container has no port named "htp"; name one that it has, or add it [missing-reference]',
    ],
  },
  {
    what: 'an empty glob',
    yaml: service(
      `  traffic: {match: {rules: [{version: latest, query: {beta: ""}}, {version: v8, query: {}}], default: stable}}\n${pod()}`,
    ),
    says: [
      'a.yaml:5:61 spec.traffic.match.rules[0].query.beta: expected at least 1 character, found empty text [bad-value]',
      'a.yaml:5:77 spec.traffic.match.rules[1].version: expected one of latest, stable, found "v8" [bad-value]',
      'a.yaml:5:88 spec.traffic.match.rules[1].query: expected at least 1 entry, found 0 [bad-value]',
    ],
  },
  {
    what: 'in place with steps',
    yaml: service(`  upgrade: inPlace\n  traffic: {steps: [{percent: 100}]}\n${pod()}`),
    says: [
      'a.yaml:6:13 spec.traffic.steps: upgrade: inPlace takes no steps, since traffic stays as it is; remove it [not-in-place]',
    ],
  },
  {
    what: 'in place with onDeploy',
    yaml: service(`  upgrade: inPlace\n  traffic: {onDeploy: all}\n${pod()}`),
    says: [
      'a.yaml:6:13 spec.traffic.onDeploy: upgrade: inPlace takes no onDeploy, since traffic stays as it is; remove it [not-in-place]',
    ],
  },
  {
    what: 'a version that is a role',
    yaml: service(`  version: stable\n${pod()}`),
    says: [
      'a.yaml:5:12 spec.version: "stable" is a role, not a name that a version can have; choose another [bad-value]',
    ],
  },
  {
    what: 'images that leave their folder',
    yaml: workload(`  template:
    spec:
      containers:
        - {name: a, image: "../web:1"}
        - {name: b, image: "/web:1"}
        - {name: c, image: "web\\\\x:1"}
        - {name: d, image: "web:.."}
        - {name: e, image: "a..b:1"}
        - {name: f, image: web}
`),
    says: [
      'a.yaml:8:28 spec.template.spec.containers[0].image: expected name:tag, such as hello:8: letters, digits, "-", "_" and ".", in parts joined by "/", without "..", found "../web:1" [bad-value]',
      'a.yaml:9:28 spec.template.spec.containers[1].image: expected name:tag, such as hello:8: letters, digits, "-", "_" and ".", in parts joined by "/", without "..", found "/web:1" [bad-value]',
      'a.yaml:10:28 spec.template.spec.containers[2].image: expected name:tag, such as hello:8: letters, digits, "-", "_" and ".", in parts joined by "/", without "..", found "web\\\\x:1" [bad-value]',
      'a.yaml:11:28 spec.template.spec.containers[3].image: expected name:tag, such as hello:8: letters, digits, "-", "_" and ".", in parts joined by "/", without "..", found "web:.." [bad-value]',
      'a.yaml:12:28 spec.template.spec.containers[4].image: expected name:tag, such as hello:8: letters, digits, "-", "_" and ".", in parts joined by "/", without "..", found "a..b:1" [bad-value]',
      'a.yaml:13:28 spec.template.spec.containers[5].image: expected name:tag, such as hello:8: letters, digits, "-", "_" and ".", in parts joined by "/", without "..", found "web" [bad-value]',
    ],
  },
  {
    what: 'names that are there twice',
    yaml: workload(`  template:
    spec:
      containers:
        - {name: a, image: "web:1", ports: [{name: x, containerPort: 1}, {name: x, containerPort: 1}]}
        - {name: a, image: "web:1", env: [{name: A, value: ""}, {name: A, value: ""}]}
      volumes: [{name: v, emptyDir: {}}, {name: v, emptyDir: {}}]
`),
    says: [
      'a.yaml:8:81 spec.template.spec.containers[0].ports[1].name: "x" is there already, at index 0; each needs a name of its own [duplicate]',
      'a.yaml:8:99 spec.template.spec.containers[0].ports[1].containerPort: 1 is there already, at index 0; each needs a containerPort of its own [duplicate]',
      'a.yaml:9:18 spec.template.spec.containers[1].name: "a" is there already, at index 0; each needs a name of its own [duplicate]',
      'a.yaml:9:72 spec.template.spec.containers[1].env[1].name: "A" is there already, at index 0; each needs a name of its own [duplicate]',
      'a.yaml:10:49 spec.template.spec.volumes[1].name: "v" is there already, at index 0; each needs a name of its own [duplicate]',
    ],
  },
  {
    what: 'volumes',
    yaml: workload(
      pod(
        `          volumeMounts:
            - {name: dta, mountPath: data}
            - {name: data, mountPath: /a/../b, subPath: ../x}
`,
        `      volumes:
        - {name: data, disk: {size: big}}
        - {name: two, emptyDir: {}, disk: {size: 1Gi}}
        - {name: none}
        - {name: conf, configMap: {name: shop, items: [{key: ../k, path: /etc}]}}
`,
      ),
    ),
    says: [
      'a.yaml:11:22 spec.template.spec.containers[0].volumeMounts[0].name: there is no volume "dta"; volumes declared: data, two, none, conf [missing-reference]',
      'a.yaml:11:38 spec.template.spec.containers[0].volumeMounts[0].mountPath: expected an absolute path, starting with "/", found "data" [bad-value]',
      'a.yaml:12:39 spec.template.spec.containers[0].volumeMounts[1].mountPath: must not contain ".."; write the path without it [bad-path]',
      'a.yaml:12:57 spec.template.spec.containers[0].volumeMounts[1].subPath: must not contain ".."; write the path without it [bad-path]',
      'a.yaml:14:37 spec.template.spec.volumes[0].disk.size: expected a quantity: a number, and m, k, M, G, T, P, Ki, Mi, Gi, Ti or Pi after it, such as 0.5, 500m or 128Mi, found "big" [bad-value]',
      'a.yaml:15:11 spec.template.spec.volumes[1]: expected exactly one of disk, file, configMap, secret, emptyDir, found disk and emptyDir [exactly-one]',
      'a.yaml:16:11 spec.template.spec.volumes[2]: expected exactly one of disk, file, configMap, secret, emptyDir, found none [exactly-one]',
      'a.yaml:17:62 spec.template.spec.volumes[3].configMap.items[0].key: expected letters, digits, "-", "_" and ".", not starting with "..", found "../k" [bad-value]',
      'a.yaml:17:74 spec.template.spec.volumes[3].configMap.items[0].path: expected a relative path, not starting with "/", found "/etc" [bad-value]',
    ],
  },
  {
    what: 'probes',
    yaml: workload(
      pod(`          ports: [{name: http, containerPort: 80}]
          livenessProbe: {httpGet: {port: htp}, successThreshold: 2}
          readinessProbe: {tcpSocket: {}, periodSeconds: 0}
          startupProbe: {periodSeconds: 1}
          lifecycle: {preStop: {httpGet: {port: admin}}}
`),
    ),
    says: [
      'a.yaml:11:43 spec.template.spec.containers[0].livenessProbe.httpGet.port: the container has no port named "htp"; ports declared: http [missing-reference]',
      'a.yaml:11:67 spec.template.spec.containers[0].livenessProbe.successThreshold: expected at most 1, found 2 [bad-value]',
      'a.yaml:12:28 spec.template.spec.containers[0].readinessProbe.tcpSocket.port: missing; add "port": the port, by number or by its name in `ports` [missing-field]',
      'a.yaml:12:58 spec.template.spec.containers[0].readinessProbe.periodSeconds: expected at least 1, found 0 [bad-value]',
      'a.yaml:13:11 spec.template.spec.containers[0].startupProbe: expected exactly one of httpGet, tcpSocket, exec, found none [exactly-one]',
      'a.yaml:14:49 spec.template.spec.containers[0].lifecycle.preStop.httpGet.port: the container has no port named "admin"; ports declared: http [missing-reference]',
    ],
  },
  {
    what: 'environment',
    yaml: workload(
      pod(`          env:
            - {name: 1A, value: x}
            - {name: B}
            - {name: C, value: x, valueFrom: {}}
            - {name: D, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
            - {name: E, valueFrom: {secretKeyRef: {name: db}}}
          envFrom: [{configMapRef: {name: a}, secretRef: {name: b}}]
`),
    ),
    says: [
      'a.yaml:11:22 spec.template.spec.containers[0].env[0].name: expected letters, digits, "_", "-" and ".", not starting with a digit, found "1A" [bad-value]',
      'a.yaml:12:15 spec.template.spec.containers[0].env[1]: expected exactly one of value, valueFrom, found none [exactly-one]',
      'a.yaml:13:15 spec.template.spec.containers[0].env[2]: expected exactly one of value, valueFrom, found value and valueFrom [exactly-one]',
      'a.yaml:13:35 spec.template.spec.containers[0].env[2].valueFrom: expected exactly one of configMapKeyRef, secretKeyRef, fieldRef, found none [exactly-one]',
      'a.yaml:14:59 spec.template.spec.containers[0].env[3].valueFrom.fieldRef.fieldPath: expected metadata.name, metadata.labels[\'<key>\'] or status.podIP, found "spec.nodeName" [bad-value]',
      'a.yaml:15:37 spec.template.spec.containers[0].env[4].valueFrom.secretKeyRef.key: missing; add "key": the key in it [missing-field]',
      'a.yaml:16:21 spec.template.spec.containers[0].envFrom[0]: expected exactly one of configMapRef, secretRef, found configMapRef and secretRef [exactly-one]',
    ],
  },
  {
    what: 'quantities',
    yaml: workload(
      pod(`          resources: {requests: {cpu: 2, memory: 12 GB}, limits: {cpu: 1, memory: 0}}
          logs: [{path: ../x.log, maxSize: 1e99}]
`),
    ),
    says: [
      'a.yaml:10:39 spec.template.spec.containers[0].resources.requests.cpu: more is requested than the limit of 1 allows; lower it or raise the limit [bad-value]',
      'a.yaml:10:50 spec.template.spec.containers[0].resources.requests.memory: expected a quantity: a number, and m, k, M, G, T, P, Ki, Mi, Gi, Ti or Pi after it, such as 0.5, 500m or 128Mi, found "12 GB" [bad-value]',
      'a.yaml:10:83 spec.template.spec.containers[0].resources.limits.memory: a limit of 0 lets nothing run; raise it or remove it [bad-value]',
      'a.yaml:11:25 spec.template.spec.containers[0].logs[0].path: must not contain ".."; write the path without it [bad-path]',
      'a.yaml:11:44 spec.template.spec.containers[0].logs[0].maxSize: 1e+99 is too large, or too fine, for a quantity; write one such as 500m or 1Gi [bad-quantity]',
    ],
  },
  {
    what: 'an unknown kind',
    yaml: 'apiVersion: sluice/v1\nkind: Worklaod\nmetadata: {name: web}\n',
    says: ['a.yaml:2:7 kind: unknown kind "Worklaod"; did you mean "Workload"? [unknown-kind]'],
    unreadable: true,
  },
  {
    what: 'no kind',
    yaml: 'apiVersion: sluice/v1\nmetadata: {name: web}\n',
    says: ['a.yaml:1:1 kind: missing; add one of Workload, Service, Fleet, Cluster, Target, Operation [unknown-kind]'],
    unreadable: true,
  },
  {
    what: 'another version of the format',
    yaml: 'apiVersion: sluice/v2\nkind: Service\n',
    says: ['a.yaml:1:13 apiVersion: this version of Sluice reads sluice/v1, not "sluice/v2" [bad-api-version]'],
    unreadable: true,
  },
  {
    what: 'no version of the format',
    yaml: 'kind: Service\nmetadata: {name: web}\n',
    says: ['a.yaml:1:1 apiVersion: missing; add "apiVersion: sluice/v1" [bad-api-version]'],
    unreadable: true,
  },
  {
    what: 'a secret in the clear',
    yaml: 'apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: hunter2}\n',
    says: [
      'a.yaml:2:7 kind: a Secret in the clear must not be in Git: remove it, change what it held, and keep its keys as files <name>/<key> in the folder given by --secrets-dir [secret-in-clear]',
    ],
  },
  {
    what: 'a secret in a list',
    yaml: 'apiVersion: v1\nkind: List\nitems:\n- {kind: ConfigMap}\n- {apiVersion: v1, kind: Secret, stringData: {password: hunter2}}\n',
    says: [
      'a.yaml:5:26 items[1].kind: a Secret in the clear must not be in Git: remove it, change what it held, and keep its keys as files <name>/<key> in the folder given by --secrets-dir [secret-in-clear]',
    ],
  },
  {
    what: 'a secret without its apiVersion',
    yaml: 'kind: Secret\nmetadata: {name: db}\n',
    says: [
      'a.yaml:1:7 kind: a Secret in the clear must not be in Git: remove it, change what it held, and keep its keys as files <name>/<key> in the folder given by --secrets-dir [secret-in-clear]',
    ],
  },
  {
    what: 'a working directory that leaves its folder',
    yaml: workload(pod('          workingDir: ../..\n')),
    says: [
      'a.yaml:10:23 spec.template.spec.containers[0].workingDir: must not contain ".."; write the path without it [bad-path]',
    ],
  },
  {
    what: 'a config map',
    yaml: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Shop}\ndata: {a: 1, ..: x, "a/b": y, ok: z}\nbinaryData: {ok: "%%%"}\n',
    says: [
      'a.yaml:3:18 metadata.name: expected lower-case letters, digits, "-" and ".", each part starting and ending with a letter or a digit, found "Shop" [bad-value]',
      'a.yaml:4:11 data.a: expected text, found a number; put it in quotes [wrong-type]',
      'a.yaml:4:14 data[".."]: not allowed as a name here; expected letters, digits, "-", "_" and ".", not starting with ".." [bad-value]',
      'a.yaml:4:21 data["a/b"]: not allowed as a name here; expected letters, digits, "-", "_" and ".", not starting with ".." [bad-value]',
      'a.yaml:5:14 binaryData.ok: "ok" is in data too; remove one [duplicate]',
      'a.yaml:5:18 binaryData.ok: expected base64, found "%%%" [bad-value]',
    ],
  },
  {
    what: 'a cluster in a kubeconfig of which no context is named, and a namespace that cannot be',
    yaml: target('{kubernetes: {kubeconfig: /etc/../kubeconfig, namespace: Shop, gateway: {}}}'),
    says: [
      'a.yaml:4:8 spec.kubernetes: context is missing; name the one of the kubeconfig that is meant [missing-field]',
      'a.yaml:4:33 spec.kubernetes.kubeconfig: must not contain ".."; write the path without it [bad-path]',
      'a.yaml:4:64 spec.kubernetes.namespace: expected a name: lower-case letters, digits and "-", found "Shop" [bad-value]',
      'a.yaml:4:70 spec.kubernetes.gateway.name: missing; add "name": its name [missing-field]',
    ],
  },
  {
    what: 'an engine on another machine that is reached nowhere, with the proofs of another way',
    yaml: target('{docker: {host: "tcp://10.0.0.5:2375", ssh: {identityFile: /key}}}'),
    says: [
      "a.yaml:4:8 spec.docker: address is missing; with tcp:// containers are reached at ports that the engine's machine publishes, so give its IP address [missing-field]",
      'a.yaml:4:46 spec.docker.ssh: ssh goes with ssh://, and host is tcp://; remove one [bad-value]',
    ],
  },
  {
    what: 'an engine that is named in no known way, and one registry twice',
    yaml: target('{docker: {host: build, registries: [{registry: r.io, secret: a}, {registry: r.io, secret: b}]}}'),
    says: [
      'a.yaml:4:23 spec.docker.host: expected unix:///path/of/docker.sock, tcp://host:port or ssh://user@host, found "build" [bad-value]',
      'a.yaml:4:83 spec.docker.registries[1].registry: "r.io" is there already, at index 0; each needs a registry of its own [duplicate]',
    ],
  },
  {
    what: 'an address for a router that is not there, and one that is none',
    yaml: target('{docker: {listen: "127.0.0.1:70000"}}'),
    says: [
      'a.yaml:4:17 spec.docker.listen: listen goes with `router: haproxy`; add that, or remove listen [bad-value]',
      'a.yaml:4:25 spec.docker.listen: a port is a number from 1 to 65535 [bad-value]',
    ],
  },
  {
    what: 'a target without a driver',
    yaml: target('{policy: {resources: container-instances}}'),
    says: [
      'a.yaml:4:1 spec: expected exactly one of local, docker, kubernetes, ssh, found none [exactly-one]',
      'a.yaml:4:28 spec.policy.resources: expected container-instance, found "container-instances"; did you mean "container-instance"? [bad-value]',
    ],
  },
  {
    what: 'a target that leaves its folder',
    yaml: target('{local: {images: ../images, dataDir: data}}'),
    says: [
      'a.yaml:4:24 spec.local.images: must not contain ".."; write the path without it [bad-path]',
      'a.yaml:4:44 spec.local.dataDir: expected an absolute path, starting with "/", found "data" [bad-value]',
    ],
  },
  {
    what: 'a target that is the whole repository',
    yaml: target('{local: {images: .}}'),
    says: [
      'a.yaml:4:24 spec.local.images: must be a folder such as images, without "." and without "/" at the end [bad-path]',
    ],
  },
  {
    what: 'an operation without a rollout',
    yaml: op('{resource: Service/shop, action: continue}'),
    says: ['a.yaml:4:1 spec.rollout: missing; continue needs it [missing-field]'],
  },
  {
    what: 'an operation with what it does not take',
    yaml: op(`{resource: Service/shop, rollout: 7, action: pause, unit: shop-1, commit: ${'a'.repeat(40)}}`),
    says: [
      'a.yaml:4:59 spec.unit: pause takes no unit; remove it [unknown-field]',
      'a.yaml:4:73 spec.commit: pause takes no commit; remove it [unknown-field]',
    ],
  },
  {
    what: 'confirmDeletion without a commit',
    yaml: op('{action: confirmDeletion, rollout: 1}'),
    says: [
      'a.yaml:4:1 spec.commit: missing; confirmDeletion needs it [missing-field]',
      'a.yaml:4:33 spec.rollout: confirmDeletion takes no rollout; remove it [unknown-field]',
    ],
  },
  {
    what: 'skip for a service',
    yaml: op('{resource: Service/shop, rollout: 7, action: skip, unit: shop-1}'),
    says: [
      'a.yaml:4:52 spec.action: skip is for units of a Fleet or a Cluster; a Service has none that could be skipped [unsupported-action]',
    ],
  },
  {
    what: 'cancel of one unit of a service',
    yaml: op('{resource: Service/shop, rollout: 7, action: cancel, unit: shop-1}'),
    says: [
      'a.yaml:4:66 spec.unit: cancel of one unit is for a Fleet or a Cluster; remove unit to cancel the rollout [unsupported-action]',
    ],
  },
  {
    what: 'an operation on nothing that is',
    yaml: op('{resource: shop, rollout: 0, action: retyr}'),
    says: [
      'a.yaml:4:18 spec.resource: expected Kind/name, such as Service/shop, found "shop" [bad-value]',
      'a.yaml:4:33 spec.rollout: expected at least 1, found 0 [bad-value]',
      'a.yaml:4:44 spec.action: expected one of pause, continue, retry, skip, cancel, rollback, confirmDeletion, found "retyr"; did you mean "retry"? [bad-value]',
    ],
  },
  {
    what: 'every document of a file',
    yaml: 'a: [\n---\napiVersion: sluice/v1\nkind: Workload\n---\napiVersion: sluice/v1\nkind: Worklod\n',
    says: [
      'a.yaml:2:1: not valid YAML: flow sequence in block collection must be sufficiently indented and end with a ] [bad-yaml]',
      'a.yaml:3:1 metadata: missing; add "metadata": what it is called [missing-field]',
      'a.yaml:3:1 spec: missing; add "spec": what should run, and how it is rolled out [missing-field]',
      'a.yaml:7:7 kind: unknown kind "Worklod"; did you mean "Workload"? [unknown-kind]',
    ],
    unreadable: true,
  },
  {
    what: 'text that is not for terminals',
    yaml: workload(`  "\\e[31mred": 1\n  onFailure: "\\u202Ekcabllor"\n${pod()}`),
    says: [
      'a.yaml:5:3 spec["\\u001b[31mred"]: unknown field "\\u001b[31mred"; known here: target, description, paused, onFailure, progressDeadlineSeconds, revisionHistoryLimit, windows, replicas, host, strategy, minReadySeconds, template [unknown-field]',
      'a.yaml:6:14 spec.onFailure: expected one of pause, rollback, revert, found "\\u202ekcabllor" [bad-value]',
    ],
  },
];

for (const { what, yaml, says, unreadable = false } of cases)
  t.test(`it says what is wrong with ${what}`, async (t) => {
    const file = parseFile(yaml);
    const said = file.diagnostics.map((found) => `${formatDiagnostic(placed('a.yaml', found))} [${found.code}]`);
    t.strictSame(said, says);
    t.equal(file.unreadable, unreadable);
    t.ok(
      file.documents.every(({ declares }) => declares === undefined),
      'it declares nothing',
    );
  });

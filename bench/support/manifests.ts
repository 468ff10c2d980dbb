/** A config repository as large as wanted: of ten manifests eight Workloads, a Service and a ConfigMap that others name. */
import { mkdirSync } from 'node:fs';
import { bareRepository, commitFiles } from '../../test/support/git-servers.ts';

/** Files in one folder, as people who have many of them keep them. */
const FOLDER = 100;

export interface ManifestOptions {
  replicas?: number;
}

export const manifestPath = (index: number): string => `apps/team-${Math.floor(index / FOLDER)}/app-${index}.yaml`;

/** Some 1.5 KB; `edition` is what another commit changes. */
export function manifest(index: number, edition = 1, { replicas = 2 }: ManifestOptions = {}): string {
  if (index % 10 === 0) return configMap(index, edition);
  // A Service without replicas never gets its traffic.
  return index % 10 === 1 && replicas > 0 ? service(index, edition, replicas) : workload(index, edition, replicas);
}

/** A bare repository with one commit on `main` of so many manifests and the image that they name. */
export function configRepository(folder: string, count: number, options: ManifestOptions = {}): string {
  mkdirSync(folder, { recursive: true });
  const repository = bareRepository(folder, `config-${count}.git`);
  const files: Record<string, string> = {
    'images/app/1/image.yaml': 'command: [node, server.mjs]\n',
    'images/app/1/server.mjs':
      "import { createServer } from 'node:http';\ncreateServer((_, response) => response.end('ok')).listen(Number(process.env.PORT), '127.0.0.1');\n",
  };
  for (let index = 0; index < count; index++) files[manifestPath(index)] = manifest(index, 1, options);
  commitFiles(repository, files);
  return repository;
}

function configMap(index: number, edition: number): string {
  const lines = Array.from(
    { length: 24 },
    (_, line) => `  SETTING_${line}: "value ${line} of ${index}, as long as such values are"\n`,
  );
  return `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings-${index}\ndata:\n  EDITION: "${edition}"\n${lines.join('')}`;
}

const workload = (index: number, edition: number, replicas: number): string => `# One of many.
apiVersion: sluice/v1
kind: Workload
metadata:
  name: app-${index}
spec:
  description: Application ${index} of team ${Math.floor(index / FOLDER)}
  replicas: ${replicas}
  strategy:
    rollingUpdate:
      maxSurge: 1 # at most one more at any time
      maxUnavailable: 0
${template(index, edition)}`;

const service = (index: number, edition: number, replicas: number): string => `# One of many.
apiVersion: sluice/v1
kind: Service
metadata:
  name: app-${index}
spec:
  description: Application ${index} of team ${Math.floor(index / FOLDER)}
  replicas: ${replicas}
  traffic:
    steps:
      - percent: 10
        soak: 10m
      - percent: 50
        pause: true
      - percent: 100
${template(index, edition)}`;

const template = (index: number, edition: number): string => `  progressDeadlineSeconds: 300
  revisionHistoryLimit: 3
  template:
    metadata:
      labels:
        app: app-${index}
        team: team-${Math.floor(index / FOLDER)}
        tier: backend
    spec:
      terminationGracePeriodSeconds: 20
      containers:
        - name: app
          image: app:1
          ports:
            - name: http
              containerPort: 8080
          env:
            - name: EDITION
              value: "${edition}"
            - name: APPLICATION
              value: app-${index}
            - name: GREETING
              valueFrom:
                configMapKeyRef:
                  name: settings-${index - (index % 10)}
                  key: SETTING_0
          readinessProbe:
            httpGet:
              path: /ready
              port: http
            periodSeconds: 5
            failureThreshold: 3
          livenessProbe:
            httpGet:
              path: /alive
              port: http
            initialDelaySeconds: 10
            periodSeconds: 10
          volumeMounts:
            - name: scratch
              mountPath: /scratch
      volumes:
        - name: scratch
          emptyDir: {}
`;

/** The highest epoch that ever acted on this target, kept in its namespace, so that operators elsewhere see it. */
import { StaleEpoch } from '../ports.ts';
import { type Kube, type KubeObject, statusOf } from './client.ts';
import { corePath, epochName, type Scope, scopeLabels } from './names.ts';

interface Marker extends KubeObject {
  data?: { epoch?: string };
}

const where = ({ namespace }: Scope) => `namespace ${namespace}`;
const epochIn = (marker: Marker | undefined): number => Number(marker?.data?.epoch) || 0;

/** Throws StaleEpoch when a later operator has taken over. */
export async function checkKubernetesEpoch(kube: Kube, scope: Scope, mine: number): Promise<Marker | undefined> {
  const marker = await kube.find<Marker>(corePath(scope, 'configmaps', epochName(scope)));
  const seen = epochIn(marker);
  if (seen > mine) throw new StaleEpoch(mine, seen, where(scope));
  return marker;
}

/** Takes the target over for `mine`, unless a later operator has it; of two at the same moment the later wins. */
export async function claimKubernetesEpoch(kube: Kube, scope: Scope, mine: number): Promise<void> {
  for (;;) {
    const marker = await checkKubernetesEpoch(kube, scope, mine);
    if (epochIn(marker) === mine) return;
    const metadata = { name: epochName(scope), namespace: scope.namespace, labels: scopeLabels(scope) };
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { epoch: String(mine) } };
    try {
      if (marker === undefined) await kube.ask('POST', corePath(scope, 'configmaps'), { body: object });
      else {
        const { resourceVersion } = marker.metadata;
        const body = { ...object, metadata: { ...metadata, resourceVersion } };
        await kube.ask('PUT', corePath(scope, 'configmaps', metadata.name), { body });
      }
      return;
    } catch (error) {
      // Somebody else was faster: looked at again.
      if (statusOf(error) !== 409) throw error;
    }
  }
}
